"""The compose file as it is written: merged anchors, nothing interpolated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = REPOSITORY / "docker-compose.yml"
DOCKERFILE = REPOSITORY / "deploy" / "docker" / "Dockerfile"
SERVICES = ("ingest", "preprocess", "trainer", "compressor", "registry", "inference")


def compose(path: Path = COMPOSE) -> dict[str, Any]:
    """The document of a compose file."""
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def all_services() -> dict[str, dict[str, Any]]:
    """Every service of the platform's compose file, those of profiles too."""
    services: dict[str, dict[str, Any]] = compose()["services"]
    return services


def environment(service: dict[str, Any]) -> dict[str, str]:
    """A service's environment; compose takes mappings alone here."""
    found: dict[str, str] = service.get("environment", {})
    return found
