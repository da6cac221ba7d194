"""A domain function in a child process: progress, checkpoints, cancellation, resource usage."""

from tidemill.jobs.outcome import JobCrashed, JobFailed, JobOutcome, Progress, spans_of, usage_of
from tidemill.jobs.report import Inputs, ProgressReport, SilentReport
from tidemill.jobs.runner import JobRunner

__all__ = [
    "Inputs",
    "JobCrashed",
    "JobFailed",
    "JobOutcome",
    "JobRunner",
    "Progress",
    "ProgressReport",
    "SilentReport",
    "spans_of",
    "usage_of",
]
