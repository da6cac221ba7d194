"""Artifacts: immutable directories in object storage, named by what is in them."""

from tidemill.artifacts.object_store import ObjectArtifactStore, open_store
from tidemill.artifacts.store import ArtifactStore

__all__ = ["ArtifactStore", "ObjectArtifactStore", "open_store"]
