"""Desired state of serving, watched in the KV bucket ``deployments`` under ``<project>.<name>``."""

from __future__ import annotations

from pydantic import Field

from tidemill.contracts.references import ArtifactRef, Frozen, Name, RunId


class DeployedVersion(Frozen):
    """One version of a deployment and its share of the traffic."""

    version: int = Field(ge=1)
    model: ArtifactRef
    weight: float = Field(default=1.0, ge=0, le=1)
    run_id: RunId
    traceparent: str | None = None
    """W3C trace context of the run that made it; the first prediction becomes part of that trace."""


class Deployment(Frozen):
    """Which versions of a model serve, with what weights. Several replicas watch it."""

    project: Name = "default"
    name: Name
    task: str
    versions: list[DeployedVersion] = Field(min_length=1)
