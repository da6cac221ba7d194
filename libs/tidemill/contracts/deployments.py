"""Desired state of serving, watched in the KV bucket ``deployments`` under ``<project>.<name>``."""

from __future__ import annotations

from pydantic import Field

from tidemill.contracts.references import ArtifactRef, Frozen, Name, RunId


class PackageSignature(Frozen):
    """A registry's Ed25519 signature of one version of a model. See ``tidemill.signing`` for what is signed."""

    key_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    """Of the public key that verifies it."""
    value: str
    """Base64 of the 64 bytes."""


class DeployedVersion(Frozen):
    """One version of a deployment and its share of the traffic."""

    version: int = Field(ge=1)
    model: ArtifactRef
    signature: PackageSignature | None = None
    """What says that the registry registered this package under this number; a gateway loads no other."""
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
