"""What ``publish`` is given: a path of this machine, whose files are uploaded, or a URI, which travels as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tidemill.contracts import Recipe, RecipeError, parse_recipe
from tidemill.errors import InvalidInput

_URI = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.\-]*://")
_PART_STEMS = ("train", "validation", "valid", "val", "dev", "test")
_MOST_FILES = 64

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


def files_to_upload(source: Path | str) -> list[Path]:
    """The file itself; of a folder its given parts (``train.*``, ``test.*``, ``validation.*``) or else its files.

    Raises:
        InvalidInput: there is nothing to upload; names the path.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    if not path.exists():
        raise InvalidInput(f"{path}: no such file or folder")
    if not path.is_dir():
        raise InvalidInput(f"{path} is neither a file nor a folder")
    files = sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith((".", "_")))
    parts = [file for file in files if file.stem.casefold() in _PART_STEMS]
    stems = {file.stem.casefold() for file in parts}
    chosen = parts if {"train", "test"} <= stems else files
    if not chosen:
        raise InvalidInput(f"folder {path} holds no file; expected a data file, or train.* and test.*")
    if len(chosen) > _MOST_FILES:
        raise InvalidInput(f"folder {path} holds {len(chosen)} files; name the one that is the dataset")
    return chosen


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
