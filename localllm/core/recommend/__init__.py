"""Which model, in which quantization, with which settings, on this computer or an imagined one, and why."""

from localllm.core.recommend.candidates import Situation
from localllm.core.recommend.choice import Choice, Recommendation, RecommendedSettings
from localllm.core.recommend.needs import GpuOption, Needs, hardware_needed
from localllm.core.recommend.picks import choice_of, choices_of, recommend
from localllm.core.recommend.serving import Command, ServingPlan, serving_plans
from localllm.core.recommend.what_if import WhatIf, gpu_names, hypothetical_machine
from localllm.core.recommend.why import Change, Neighbour, Part, Why, explain_choice
from localllm.core.recommend.wish import KV_WISHES, READING_SPEED, KvWish, Wish, suits

__all__ = [
    "KV_WISHES",
    "READING_SPEED",
    "Change",
    "Choice",
    "Command",
    "GpuOption",
    "KvWish",
    "Needs",
    "Neighbour",
    "Part",
    "Recommendation",
    "RecommendedSettings",
    "ServingPlan",
    "Situation",
    "WhatIf",
    "Why",
    "Wish",
    "choice_of",
    "choices_of",
    "explain_choice",
    "gpu_names",
    "hardware_needed",
    "hypothetical_machine",
    "recommend",
    "serving_plans",
    "suits",
]
