"""How fast a model answers: from this machine's own measurements, or from tables."""

from localllm.core.speed.fits import SpeedFits
from localllm.core.speed.history import SpeedHistory
from localllm.core.speed.predict import Basis, Calibration, SpeedEstimate, predict_speed
from localllm.core.speed.work import TimedModel

__all__ = [
    "Basis",
    "Calibration",
    "SpeedEstimate",
    "SpeedFits",
    "SpeedHistory",
    "TimedModel",
    "predict_speed",
]
