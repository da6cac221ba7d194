"""References: how events name things whose bytes are somewhere else."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

NAME_PATTERN = r"\w[\w.\-]{0,99}"
"""Names of datasets, models and projects: letters of any script, digits, ``_``, ``-`` and ``.``; at most 100."""

RUN_ID_PATTERN = r"^[a-z0-9][a-z0-9\-]{0,63}$"
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"

_NAME = re.compile(NAME_PATTERN)


def valid_name(name: str) -> str:
    """``name`` if a dataset, a model or a project can have it.

    Raises:
        ValueError: it cannot; says what a name may hold.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise ValueError(
            f"{name!r} is not a usable name: use letters, digits, '_', '-' or '.' (at most 100), "
            "starting with a letter, a digit or '_'"
        )
    return name


Name = Annotated[str, AfterValidator(valid_name)]
RunId = Annotated[str, Field(pattern=RUN_ID_PATTERN)]
LetterId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""Names a dead letter."""
Digest = Annotated[str, Field(pattern=DIGEST_PATTERN)]

ArtifactKind = Literal["source", "dataset", "recipe", "model", "checkpoint", "report", "quarantine", "vault"]

StageName = Literal["ingest", "preprocess", "train", "compress", "register"]
"""The stages of a run in their order; ``register`` is the registry's own, which reacts rather than works."""

STAGES: tuple[StageName, ...] = ("ingest", "preprocess", "train", "compress", "register")

ResourceClass = Literal["cpu", "gpu", "large", "io"]
"""What a job needs most of. ``io`` jobs wait for a network, so that a worker may do several at the same time."""


class Frozen(BaseModel):
    """A value: immutable, compared by content. Unknown keys are ignored, as the wire is tolerant."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ArtifactRef(Frozen):
    """The name of an immutable artifact: the digest of its manifest, with its size for people and planners."""

    digest: Digest
    kind: ArtifactKind
    size_bytes: int = Field(ge=0)
    """Total size of the files in bytes."""
