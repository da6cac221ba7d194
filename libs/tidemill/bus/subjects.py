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

COMMANDS_DURABLE = "registry-commands"
"""The durable consumer of commands to the registry."""

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


def job_subject(stage: StageName, resource_class: ResourceClass, project: str, run_id: str) -> str:
    """Where a job of a run is queued: its subject tells whose it is, so that a queue can be looked at by run."""
    return f"{job_lane(stage, resource_class, token(project))}.{token(run_id)}"


def job_lane(stage: StageName, resource_class: ResourceClass, project_token: str) -> str:
    """What all jobs of a project and resource class have in common; ``project_token`` is ``token(project)``."""
    return f"tidemill.job.{stage}.{resource_class}.{project_token}"


def job_filter(stage: StageName, resource_class: ResourceClass) -> str:
    """What a worker of ``resource_class`` consumes."""
    return f"tidemill.job.{stage}.{resource_class}.>"


def command_subject(project: str) -> str:
    """Where commands to the registry are queued: jobs of the stage ``register``."""
    return job_lane("register", "cpu", token(project))


def events_durable(stage: StageName) -> str:
    """The durable consumer of the events that ``stage`` takes; of ``register`` it is the registry."""
    return "registry-events" if stage == "register" else f"{stage}-events"


def dead_subject(stage: str) -> str:
    """Where a message that ``stage`` could not handle is kept."""
    return f"tidemill.dead.{stage}"


def key(project: str, name: str) -> str:
    """Key of ``name`` of ``project`` in a KV bucket."""
    return f"{token(project)}.{token(name)}"
