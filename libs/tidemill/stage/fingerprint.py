"""Fingerprints: what a result was made from, as one hash. Two jobs with the same fingerprint are the same job."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from tidemill.contracts import ArtifactRef

_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimd", "sve")


def job_fingerprint(
    stage: str,
    revision: int,
    spec: BaseModel,
    inputs: Mapping[str, ArtifactRef],
    *,
    hardware: str | None = None,
    salt: str | None = None,
) -> str:
    """Hex sha256 over the stage and its revision, the spec, the digests of the inputs and the hardware class.

    ``salt`` makes a fingerprint of its own for a run that must not use or feed the cache.
    """
    document = {
        "stage": stage,
        "revision": revision,
        "spec": spec.model_dump(mode="json"),
        "inputs": {name: ref.digest for name, ref in inputs.items()},
        "hardware": hardware,
        "salt": salt,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def step_fingerprints(
    stage: str,
    revision: int,
    steps: Sequence[BaseModel],
    inputs: Mapping[str, ArtifactRef],
    *,
    salt: str | None = None,
) -> list[str]:
    """Hex sha256 of what the outcome of each step depends on: stage, revision, inputs, and the steps up to it."""
    last = job_fingerprint(f"{stage} step", revision, _Nothing(), inputs, salt=salt)
    chain = []
    for step in steps:
        text = json.dumps(step.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        last = hashlib.sha256(f"{last}\n{type(step).__name__}\n{text}".encode()).hexdigest()
        chain.append(last)
    return chain


class _Nothing(BaseModel):
    """A spec that says nothing."""


def stage_fingerprint(jobs: Iterable[str]) -> str:
    """Hex sha256 over the fingerprints of a stage's jobs, in the order of the plan."""
    return hashlib.sha256("\n".join(jobs).encode()).hexdigest()


@functools.cache
def hardware_class() -> str:
    """This machine as far as measured latencies depend on it: architecture, vector extensions, processors."""
    flags: set[str] = set()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith(("flags", "Features")):
                flags = set(line.partition(":")[2].split())
                break
    features = [feature for feature in _FEATURES if feature in flags]
    return f"{platform.machine()}:{'+'.join(features)}:{os.cpu_count()}"
