"""Where each record is kept, as ``schema`` says. Numbers are zero-padded, so that keys sort as the numbers do."""

from __future__ import annotations

import hashlib
import re

from tidemill.errors import InvalidInput

_REFUSED = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST = 200
"""Bytes of one part of a key: file systems take 255, and the store needs a few for itself."""


def project_folder(project: str) -> str:
    """Everything of a project."""
    return f"records/{_part(project, 'project')}"


def runs_folder(project: str) -> str:
    """A folder for every run."""
    return f"{project_folder(project)}/runs"


def run_folder(project: str, run_id: str) -> str:
    """The run's own record, and the folders ``stages`` and ``outcomes``."""
    return f"{runs_folder(project)}/{_part(run_id, 'run id')}"


def stage_key(project: str, run_id: str, stage: str) -> str:
    """The event that a stage of a run announced."""
    return f"{run_folder(project, run_id)}/stages/{_part(stage, 'stage')}.json"


def claimed_version_key(project: str, run_id: str) -> str:
    """Which version of its dataset a run makes."""
    return f"{run_folder(project, run_id)}/dataset.json"


def dataset_versions_folder(project: str, name: str) -> str:
    """The versions of a dataset. A name that is too long for a key has its digest as the folder."""
    folder = name if len(name.encode()) <= _LONGEST else hashlib.sha256(name.encode()).hexdigest()
    return f"{project_folder(project)}/datasets/{_part(folder, 'dataset name')}"


def dataset_version_key(project: str, name: str, version: int) -> str:
    """One version of a dataset."""
    return f"{dataset_versions_folder(project, name)}/{version:08d}.json"


def outcome_key(project: str, run_id: str, epoch: int) -> str:
    """How an epoch of a run ended."""
    return f"{run_folder(project, run_id)}/outcomes/{epoch:06d}.json"


def epoch_key(project: str, run_id: str, epoch: int) -> str:
    """The retry that started an epoch of a run."""
    return f"{run_folder(project, run_id)}/epochs/{epoch:06d}.json"


def attempts_folder(project: str, run_id: str, fingerprint: str) -> str:
    """A run's tries of one job."""
    return f"{run_attempts_folder(project, run_id)}/{_part(fingerprint, 'fingerprint')}"


def run_attempts_folder(project: str, run_id: str) -> str:
    """A run's tries of all its jobs."""
    return f"{project_folder(project)}/attempts/{_part(run_id, 'run id')}"


def attempt_key(project: str, run_id: str, fingerprint: str, attempt_id: str) -> str:
    """One try."""
    return f"{attempts_folder(project, run_id, fingerprint)}/{_part(attempt_id, 'attempt id')}.json"


def result_key(project: str, fingerprint: str, generation: int) -> str:
    """The commit of a job; the first generation has no number, since nearly all are."""
    name = _part(fingerprint, "fingerprint")
    return f"{project_folder(project)}/results/{name}{f'.{generation:06d}' if generation > 1 else ''}.json"


def checkpoints_folder(project: str, fingerprint: str) -> str:
    """A job's checkpoints, of all owners that it had."""
    return f"{project_folder(project)}/checkpoints/{_part(fingerprint, 'fingerprint')}"


def checkpoint_key(project: str, fingerprint: str, token: int, number: int) -> str:
    """One checkpoint."""
    return f"{checkpoints_folder(project, fingerprint)}/{token:012d}-{number:06d}.json"


def checkpoint_order(key: str) -> tuple[int, int]:
    """Token and number of a checkpoint's key."""
    token, _, number = key.rpartition("/")[2].removesuffix(".json").partition("-")
    return int(token), int(number)


def decisions_folder(project: str) -> str:
    """A project's chain of decisions."""
    return f"{project_folder(project)}/decisions"


def audit_folder(project: str) -> str:
    """A project's audit log."""
    return f"{project_folder(project)}/audit"


def erasures_folder(project: str) -> str:
    """What was erased for people."""
    return f"{project_folder(project)}/erasures"


def erasure_key(project: str, erasure: str) -> str:
    """What one erasure did."""
    return f"{erasures_folder(project)}/{_part(erasure, 'erasure')}.json"


def letters_folder(project: str) -> str:
    """A project's dead letters."""
    return f"{project_folder(project)}/dead-letters"


def letter_key(project: str, letter_id: str) -> str:
    """One dead letter."""
    return f"{letters_folder(project)}/{_part(letter_id, 'dead letter')}.json"


def listed_letters_folder(project: str) -> str:
    """The dead letters by time."""
    return f"{letters_folder(project)}/listed"


def listed_letter_key(project: str, moment: str, letter_id: str) -> str:
    """The entry of one dead letter in the list by time."""
    return f"{listed_letters_folder(project)}/{_part(moment, 'time')}-{_part(letter_id, 'dead letter')}.json"


def replayed_letters_folder(project: str) -> str:
    """The dead letters that were replayed."""
    return f"{letters_folder(project)}/replayed"


def replayed_letter_key(project: str, letter_id: str) -> str:
    """The mark that a dead letter was replayed."""
    return f"{replayed_letters_folder(project)}/{_part(letter_id, 'dead letter')}.json"


def number_of(key: str) -> int:
    """The number that a key ends in."""
    return int(key.rpartition("/")[2].removesuffix(".json"))


def _part(value: str, what: str) -> str:
    if not value or value.startswith(".") or _REFUSED.search(value):
        raise InvalidInput(
            f"{value!r} cannot be a {what}: it must not be empty, begin with '.' or hold a slash or a control character"
        )
    if len(value.encode()) > _LONGEST:
        raise InvalidInput(f"{value!r} cannot be a {what}: it is longer than {_LONGEST} bytes in UTF-8")
    return value
