import os
from dataclasses import replace

import pytest

from localllm.core.estimate import Question, subject_of_row
from localllm.core.estimate.comparison import compare
from localllm.core.fit import FitSettings
from localllm.engine.protocol import DeviceBuffers, LoadedModel
from tests.core import machines
from tests.core.estimators import estimator_in

MIB = 2**20
GIB = 2**30
ON_GPU = 5 * GIB


@pytest.fixture
def loaded():
    buffers = (DeviceBuffers("CPU", 300 * MIB, 0, 20 * MIB, MIB), DeviceBuffers("CUDA0", ON_GPU, 0, 0, 0))
    return LoadedModel(
        path="m.gguf", name="m", context_length=2048, trained_context=2048, threads=1, gpu_layers=99,
        template="", load_ms=1.0, architecture="qwen3", parameters=1, size=1, layers=36,
        buffers=buffers, overhead=250 * MIB,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("others", "learned"),
    [(0, 600 * MIB), (50 * MIB, 650 * MIB), (4 * GIB, None), (-2 * GIB, None)],
    ids=["alone", "a little beside", "a game was started", "a game was ended"],
)
def test_what_other_programs_do_on_the_gpu_is_not_learned_as_the_drivers_share(
    tmp_path, catalogue, loaded, others, learned
):
    before = machines.with_engine(machines.RTX_4090)
    row = catalogue.model("qwen3-8b")
    subject = subject_of_row(row, row.quants[0])
    predicted = estimator_in(tmp_path).estimate(Question(subject, FitSettings(2048), before, here=False))
    free = before.gpus[0].memory_free - ON_GPU - 600 * MIB - others
    after = replace(before, gpus=(replace(before.gpus[0], memory_free=free),))
    load = compare(predicted, loaded, os.getpid(), before, after)
    assert (load and load.gpu_overhead) == learned
