"""What ``publish`` is given: a path of this machine, whose files are uploaded, or a URI, which travels as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tidemill.contracts import Recipe, RecipeError, parse_recipe, valid_name
from tidemill.contracts.source_uri import check_secrets
from tidemill.errors import InvalidInput

_URI = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.\-]*://")
_SUFFIXES = re.compile(r"(?:\.(?:zip|tar|tgz|tbz2?|txz|gz|bz2|xz|zst))+$", re.IGNORECASE)

Source = Path | str | Sequence[Path | str]
"""A file, a folder, an archive or a URI; or several files and folders."""
RecipeSource = Mapping[str, Any] | Recipe | Path | str | None


def is_uri(source: Path | str) -> bool:
    """Whether ``source`` names something that the platform reads by itself."""
    return isinstance(source, str) and _URI.match(source) is not None


def local_path(source: Path | str) -> Path | str:
    """The path that a ``file://`` URI names if it is on this machine; anything else as it is."""
    if not isinstance(source, str) or not source.lower().startswith("file://"):
        return source
    parts = urlsplit(source)
    path = Path(unquote(parts.path))
    return path if parts.netloc in ("", "localhost") and path.exists() else source


def read_recipe(recipe: RecipeSource) -> dict[str, Any]:
    """The recipe as a checked document: keys as the user wrote them, nothing added.

    Raises:
        RecipeError: it is not valid, or its file cannot be read as YAML; says what to do.
    """
    if recipe is None:
        return {}
    if isinstance(recipe, Recipe):
        return recipe.model_dump(mode="json", exclude_unset=True)
    document = load_yaml(Path(recipe).expanduser()) if isinstance(recipe, str | Path) else dict(recipe)
    parse_recipe(document)
    return document


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in the YAML file at ``path``; empty for an empty file.

    Raises:
        RecipeError: no such file, not UTF-8, not YAML, or not a mapping.
    """
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"recipe {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"recipe {path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise RecipeError(f"recipe {path}{where}: not YAML ({getattr(error, 'problem', None) or error})") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise RecipeError(f"recipe {path}: must be a mapping of sections, e.g. 'training: {{epochs: 2}}'")
    return document


def check_uri(uri: str) -> str:
    """``uri``, if it holds no password. Raises InvalidInput otherwise; the message does not repeat it."""
    try:
        return check_secrets(uri)
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def check_name(name: str) -> str:
    """``name`` if a dataset or model can have it.

    Raises:
        InvalidInput: it cannot; says what a name looks like.
    """
    try:
        return valid_name(name)
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def default_name(sources: Sequence[Path | str]) -> str:
    """A name made from what the source is called: the file, the folder, or the folder that several files are in.

    Raises:
        InvalidInput: nothing in it can be a name.
    """
    if len(sources) == 1:
        given = str(sources[0])
        where = given.partition("?")[0] if is_uri(given) else given
    else:
        where = given = os.path.commonpath([Path(source).expanduser().absolute().parent for source in sources])
    last = where.rstrip("/").rpartition("/")[2]
    last = last.partition("@")[0] if given.startswith("hf://") else last
    last = _SUFFIXES.sub("", last) or last
    stem = last.rsplit(".", 1)[0] if "." in last.strip(".") else last
    name = re.sub(r"[^\w.\-]+", "-", stem).strip("-._")
    try:
        return check_name(name)
    except InvalidInput:
        raise InvalidInput(f"no name can be made from {given!r}; give one") from None
