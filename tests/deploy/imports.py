"""What a service's code imports, functions that import when they are called included: read, not run."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

from tests.deploy.compose import REPOSITORY

ROOTS = {"tidemill": REPOSITORY / "libs", "services": REPOSITORY}


def third_party(service: str, *, never: Collection[str] = ()) -> dict[str, str]:
    """Distributions whose modules the service may import, each with one of our modules that names it.

    ``never`` are modules of ours that are reached on paper and never used by this service.
    """
    waiting = [f"services.{service}.{name}" for name in ("app", "__main__")]
    seen, found = {*waiting, *never}, dict[str, str]()
    providers = packages_distributions()
    while waiting:
        module = waiting.pop()
        for name in [*_imported(module), *_packages(module)]:
            top = name.partition(".")[0]
            if top in ROOTS:
                if name not in seen:
                    seen.add(name)
                    waiting.append(name)
            elif top not in sys.stdlib_module_names:
                found.setdefault(_normal(providers.get(top, [top])[0]), module)
    return found


def installed_with(names: Collection[str]) -> set[str]:
    """The distributions that come with these requirements, as they are installed here."""
    waiting, found = [Requirement(name) for name in names], set[str]()
    while waiting:
        requirement = waiting.pop()
        key = f"{_normal(requirement.name)}[{','.join(sorted(requirement.extras))}]"
        if key in found:
            continue
        found |= {key, _normal(requirement.name)}
        try:
            needs = [Requirement(line) for line in requires(requirement.name) or []]
        except PackageNotFoundError:
            continue
        for extra in ("", *requirement.extras):
            waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return {name for name in found if not name.endswith("]")}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _packages(module: str) -> Iterator[str]:
    parts = module.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts)))


def _file(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] not in ROOTS:
        return None
    path = ROOTS[parts[0]].joinpath(*parts)
    return next((one for one in (path / "__init__.py", path.with_suffix(".py")) if one.is_file()), None)


def _imported(module: str) -> Iterator[str]:
    file = _file(module)
    if file is None:
        return
    tree = ast.parse(file.read_text(encoding="utf-8"))
    checked = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {id(inner) for node in checked for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (name for alias in node.names if _file(name := f"{node.module}.{alias.name}"))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value and _file(node.value):
            yield node.value  # a function that a job's process is told by name, or what it preloads
