"""What lies around when everything has stopped."""

from __future__ import annotations

import re

from tests.faults.audit.violation import Violation
from tests.faults.platform import HurtPlatform

_OBJECT = re.compile(r"^[0-9a-f]{64}$")
_MANIFEST = re.compile(r"^[0-9a-f]{64}\.json$")


def found(platform: HurtPlatform) -> list[Violation]:
    """Files that nobody will ever look at again, in the store and in the scratch folders."""
    violations = []
    if platform.scene == "folder":
        artifacts = platform.disk / "store" / "artifacts"
        for folder, shape in (("objects", _OBJECT), ("manifests", _MANIFEST)):
            for path in (artifacts / folder).rglob("*"):
                if path.is_file() and not shape.match(path.name):
                    violations.append(Violation("half-written", "", f"a temporary file is left: {path.name}"))
    for path in (platform.disk / "scratch").rglob("*"):
        if path.is_file():
            violations.append(Violation("half-written", "", f"scratch is left: {path.relative_to(platform.disk)}"))
    return violations
