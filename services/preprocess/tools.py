"""What an outcome depends on beside the data and the recipe: versions of packages, the files of a model, the
code of a hook.

They are part of every fingerprint: hashes of another version of Daft would be compared with kept ones and find no
duplicates, and another list of phone numbers finds others. Knows no steps.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from tidemill.contracts.data import Data
from tidemill.contracts.privacy import Privacy

_ALWAYS = ("daft", "pyarrow")
"""Hashes, casts and patterns; the bytes of Parquet files."""


def tools_of(data: Data, privacy: Privacy) -> dict[str, str]:
    """Versions by package, and ``model``: the SHA-256 of the files of ``privacy.model``.

    Raises:
        InvalidInput: there is no such model.
        TransientError: the hub that has it cannot be reached.
    """
    packages = list(_ALWAYS)
    if data.text_rules.languages is not None:
        packages.append("py3langid")
    if privacy.protects:
        packages.append("phonenumbers")
    found = {package: _version(package) for package in packages}
    if privacy.model is not None:
        # Daft comes with it, which a service that only plans does without otherwise.
        from services.preprocess.privacy.model import model_fingerprint

        found["model"] = model_fingerprint(privacy.model)
    return found


def hook_of(data: Data) -> str | None:
    """The SHA-256 of the file of the module that ``augment.text.back_translation`` names; None when it names none, or
    there is no such file, which is for the job to say. Nothing is imported: a recipe must not say what code runs.
    """
    rule = data.augment.text
    if rule is None or rule.back_translation is None:
        return None
    file = _source_of(rule.back_translation.partition(":")[0])
    return None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()


def _source_of(module: str) -> Path | None:
    """The module's file. ``importlib.util.find_spec`` would import the packages around it."""
    found, name = None, ""
    for piece in module.split("."):
        name = f"{name}.{piece}" if name else piece
        try:
            if found is None:
                found = find_spec(name)
            else:
                found = PathFinder.find_spec(name, found.submodule_search_locations or [])
        except ValueError:  # no name, or a module that is loaded and came from nowhere
            return None
        if found is None:
            return None
    file = None if found is None or found.origin is None else Path(found.origin)
    return file if file is not None and file.is_file() else None


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
