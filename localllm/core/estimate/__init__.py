"""What a model takes on a computer, exactly where llama.cpp can be asked, and what would change that."""

from localllm.core.estimate.estimator import Estimator
from localllm.core.estimate.records import DeviceMemory, Estimate, Question
from localllm.core.estimate.subject import Subject, subject_of_file, subject_of_row

__all__ = [
    "DeviceMemory",
    "Estimate",
    "Estimator",
    "Question",
    "Subject",
    "subject_of_file",
    "subject_of_row",
]
