"""Subjects, streams and buckets by name: the one place where they are spelt."""

from __future__ import annotations

import hashlib
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
ACCESS_BUCKET = "access"

ERASED = "tidemill.erased.v1"
"""Core subject: something was erased, and every service drops it at once."""

_LONGEST_IN_NAME = 150
COMMANDS_DURABLE = "registry-commands"
"""The durable consumer of commands to the registry."""
QUERIES = "tidemill.query.>"
"""Every question to the registry."""
LIVE_EVENTS = "tidemill.*.*.v1"
"""Every event of every kind; neither jobs nor questions nor dead letters have this form."""
RECONCILER_LEASE = "reconciler"
"""The lease of the registry's replica that looks after runs."""
BUCKET_NOTIFIED = "tidemill.bucket.notified"
"""Where an object store tells of new objects, in a format of its own; in the stream ``EVENTS``."""
NOTIFICATIONS_DURABLE = "ingest-notifications"
"""The durable consumer of what an object store tells."""

SAYING = (EVENTS, JOBS, DEAD, FEEDBACK, OBSERVATIONS, f"KV_{RUNS_BUCKET}")
"""Streams whose messages may say something of a person: an address, an error, a label."""

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


def jobs_of(stage: StageName) -> str:
    """Every job of a stage."""
    return f"tidemill.job.{stage}.>"


def job_filter(stage: StageName, resource_class: ResourceClass) -> str:
    """What a worker of ``resource_class`` consumes."""
    return f"tidemill.job.{stage}.{resource_class}.>"


def command_subject(project: str) -> str:
    """Where commands to the registry are queued: jobs of the stage ``register``."""
    return job_lane("register", "cpu", token(project))


def project_of(subject: str) -> str:
    """The project that a job or a command belongs to, as its subject says; ``default`` for any other subject."""
    parts = subject.split(".")
    return name_of(parts[4]) if subject.startswith("tidemill.job.") and len(parts) > 4 else "default"


def job_consumer(stage: StageName, lane: str) -> str:
    """Name of the durable consumer of a lane: what ``job_lane`` gives. The server takes no longer names."""
    resource_class, project = lane.split(".")[-2:]
    if len(project) > _LONGEST_IN_NAME:
        project = f"={hashlib.sha256(project.encode()).hexdigest()[:32]}"
    return f"{stage}-jobs-{resource_class}-{project}"


def kv_subject(bucket: str, keys: str = ">") -> str:
    """The subject that entries of a KV bucket are written on; ``keys`` may hold wildcards."""
    return f"$KV.{bucket}.{keys}"


ANSWERS = "_INBOX"
"""What every subject that answers go to begins with."""


def inbox(source: str) -> str:
    """Prefix of the subjects on which a client takes its answers: nobody else may listen there."""
    return f"{ANSWERS}_{source}"


def events_durable(stage: StageName) -> str:
    """The durable consumer of the events that ``stage`` takes; of ``register`` it is the registry."""
    return "registry-events" if stage == "register" else f"{stage}-events"


def dead_subject(stage: str) -> str:
    """Where a message that ``stage`` could not handle is kept."""
    return f"tidemill.dead.{stage}"


def key(project: str, name: str) -> str:
    """Key of ``name`` of ``project`` in a KV bucket."""
    return f"{token(project)}.{token(name)}"
