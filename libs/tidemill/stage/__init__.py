"""What all stages do alike: plan, jobs, lease and fence, fingerprint, commit, join, announce.

A service hands ``create_stage_app`` a ``Stage``: three plain functions and a few facts. See ``definition``.
"""

from tidemill.stage.definition import Job, JobResult, Stage

__all__ = ["Job", "JobResult", "Stage"]
