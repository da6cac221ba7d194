"""Fingerprints: what a result was made from, as one hash. Two jobs with the same fingerprint are the same job."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping
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
