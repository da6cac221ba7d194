"""What is signed: one version of a model, as canonical JSON."""

from __future__ import annotations

from tidemill.records.documents import canonical

_TYPE = "tidemill.model-version.v1"
"""Keeps a signature of this from being one of anything else."""


def version_statement(project: str, name: str, version: int, digest: str) -> bytes:
    """That version ``version`` of ``name`` is the package ``digest``."""
    return canonical({"type": _TYPE, "project": project, "name": name, "version": version, "digest": digest})
