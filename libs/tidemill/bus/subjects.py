"""Subjects, streams and buckets by name: the one place where they are spelt."""

from __future__ import annotations

import re

from tidemill.contracts import ResourceClass, StageName

EVENTS = "EVENTS"
JOBS = "JOBS"
OBSERVATIONS = "OBSERVATIONS"
FEEDBACK = "FEEDBACK"
DEAD = "DEAD"
ADVISORIES = "ADVISORIES"

RUNS_BUCKET = "runs"
LEASES_BUCKET = "leases"
ATTEMPTS_BUCKET = "attempts"
DEPLOYMENTS_BUCKET = "deployments"

_PLAIN = re.compile(r"^[A-Za-z0-9_\-]+$")


def token(name: str) -> str:
    """``name`` as one token of a subject or a KV key; names outside ASCII or with dots become hex behind ``=``."""
    if _PLAIN.match(name):
        return name
    return "=" + name.encode().hex()


def name_of(token_: str) -> str:
    """The name that ``token`` made ``token_`` from."""
    if token_.startswith("="):
        return bytes.fromhex(token_[1:]).decode()
    return token_


def job_subject(stage: StageName, resource_class: ResourceClass, project: str) -> str:
    """Where a job of ``stage`` is queued; workers filter on stage and resource class."""
    return f"tidemill.job.{stage}.{resource_class}.{token(project)}"


def job_filter(stage: StageName, resource_class: ResourceClass) -> str:
    """What a worker of ``resource_class`` consumes."""
    return f"tidemill.job.{stage}.{resource_class}.>"


def command_subject(project: str) -> str:
    """Where commands to the registry are queued: jobs of the stage ``register``."""
    return job_subject("register", "cpu", project)


def dead_subject(stage: str) -> str:
    """Where a message that ``stage`` could not handle is kept."""
    return f"tidemill.dead.{stage}"


def key(project: str, name: str) -> str:
    """Key of ``name`` of ``project`` in a KV bucket."""
    return f"{token(project)}.{token(name)}"
