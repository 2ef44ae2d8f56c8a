"""Measures how fast this computer runs models: alone, best of several, with its conditions noted."""

from localllm.core.calibration.run import CalibrationResult, Measured, calibrate

__all__ = ["CalibrationResult", "Measured", "calibrate"]
