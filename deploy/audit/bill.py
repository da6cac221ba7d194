"""A CycloneDX bill of materials for every image: what its extra installs, with licences and dependencies.

cyclonedx-py describes the environment once; an image's bill is the part of it that its extra needs, found from the
requirements of ``pyproject.toml`` and of the installed packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.audit.verdict import Verdict, last_line, run, why_not

TITLE = "bills of materials"
IMAGES = {
    "ingest": ("ingest",), "preprocess": ("preprocess",), "trainer": ("trainer",), "compressor": ("compressor",),
    "registry": ("registry",), "eraser": ("eraser",), "inference": ("inference",), "tools": ("tools",),
    "preprocess-ray": ("ray",), "all": ("all",),
}  # fmt: skip
"""Images by name, and the extras of the distribution that each installs; ``all`` is one machine."""


def write_bills(root: Path, tools: Path, to: Path) -> Verdict:
    """One file for each image, ``sbom-<image>.cdx.json``."""
    whole = to / "environment.cdx.json"
    arguments = ["environment", "--pyproject", "pyproject.toml", "--of", "JSON"]
    try:
        done = run(tools / "cyclonedx-py", [*arguments, "-o", str(whole.absolute()), sys.executable], cwd=root)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Verdict(TITLE, "unknown", [why_not("cyclonedx-py", error)])
    if done.returncode:
        return Verdict(TITLE, "unknown", [last_line(done.stderr)])
    environment = json.loads(whole.read_text(encoding="utf-8"))
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines, missing = [], set()
    for image, extras in IMAGES.items():
        names, absent = closure(project, extras)
        missing |= absent
        bill = part_of(environment, names, image)
        path = to / f"sbom-{image}.cdx.json"
        path.write_text(json.dumps(bill, indent=1, ensure_ascii=False), encoding="utf-8")
        lines.append(f"{path}: {len(bill['components'])} components")
    if missing:
        return Verdict(
            TITLE, "unknown", [*lines, f"not installed here, so not in the bills: {', '.join(sorted(missing))}"]
        )
    return Verdict(TITLE, "clean", lines)


def closure(project: dict[str, Any], extras: Iterable[str]) -> tuple[set[str], set[str]]:
    """Canonical names of all packages that the distribution with ``extras`` installs, and of those that are absent."""
    optional: dict[str, list[str]] = project["optional-dependencies"]
    own = canonicalize_name(project["name"])
    waiting = [*map(Requirement, project["dependencies"])]
    waiting += [Requirement(f"{project['name']}[{extra}]") for extra in extras]
    seen: set[tuple[str, str]] = set()
    names: set[str] = set()
    absent: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name == own:
            for extra in requirement.extras:
                if (name, extra) not in seen:
                    seen.add((name, extra))
                    waiting += map(Requirement, optional[extra])
            continue
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                needs = [Requirement(text) for text in requires(name) or []]
            except PackageNotFoundError:
                absent.add(name)
                continue
            names.add(name)
            waiting += [one for one in needs if one.marker is None or one.marker.evaluate({"extra": extra})]
    return names, absent


def part_of(environment: dict[str, Any], names: set[str], image: str) -> dict[str, Any]:
    """The part of a bill that consists of the packages ``names``."""
    components = [one for one in environment["components"] if canonicalize_name(one["name"]) in names]
    kept = {one["bom-ref"] for one in components}
    root = environment["metadata"]["component"]["bom-ref"]
    dependencies = [
        {**one, "dependsOn": [ref for ref in one.get("dependsOn", []) if ref in kept]}
        for one in environment["dependencies"]
        if one["ref"] in kept
    ]
    metadata = environment["metadata"]
    component = {**metadata["component"], "name": f"{metadata['component']['name']}-{image}"}
    identity = json.dumps(sorted(kept))
    return {
        **environment,
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'tidemill-{image}-{identity}')}",
        "metadata": {**metadata, "component": component},
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": sorted(kept)}, *dependencies],
    }
