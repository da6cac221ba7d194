"""What an outcome depends on beside the data and the recipe: versions of packages, the files of a model.

They are part of every fingerprint: hashes of another version of Daft would be compared with kept ones and find no
duplicates, and another list of phone numbers finds others. Knows no steps.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata

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


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
