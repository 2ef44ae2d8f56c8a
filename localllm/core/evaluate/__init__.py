"""How good a model is on a text, and how far a quantization is from the model it was made from."""

from localllm.core.evaluate.chart import Chart, ChartPoint, make_charts
from localllm.core.evaluate.figures import Divergence, Estimated, Figures
from localllm.core.evaluate.groups import Group, Row, group_results
from localllm.core.evaluate.meaning import Meaning, explain_figures
from localllm.core.evaluate.references import References
from localllm.core.evaluate.results import Evaluation, Results
from localllm.core.evaluate.run import DEFAULT_CHUNKS, EvaluationWish, evaluate

__all__ = [
    "DEFAULT_CHUNKS",
    "Chart",
    "ChartPoint",
    "Divergence",
    "Estimated",
    "Evaluation",
    "EvaluationWish",
    "Figures",
    "Group",
    "Meaning",
    "References",
    "Results",
    "Row",
    "evaluate",
    "explain_figures",
    "group_results",
    "make_charts",
]
