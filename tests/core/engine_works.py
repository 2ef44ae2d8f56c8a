"""Work in a real engine that is as quick and as repeatable as a test needs."""

from localllm.core.engine_work import EngineWork
from localllm.core.estimate import Estimator
from localllm.engine.protocol import LoadSettings
from localllm.paths import Paths
from tests.core import machines

# One thread: several wait for each other, which on a busy machine takes a hundred times as long.
# AMX crashes on some machines; tests/core/test_session.py has the way round it.
PLAIN = LoadSettings(threads=1, gpu_layers=0, extra_buffers=False)


def plain_work(settings=PLAIN):
    paths = Paths.for_user()
    return EngineWork(paths, machines.REFERENCE, Estimator.for_paths(paths), settings)
