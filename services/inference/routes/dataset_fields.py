"""What the fields of a published dataset say, as values of the event. Knows nothing of files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from services.inference.access.caller import LOCAL
from services.inference.routes.views import Provenance
from services.inference.web.problems import HttpProblem
from tidemill.contracts import RecipeError, parse_recipe
from tidemill.contracts.machine_paths import on_a_machine
from tidemill.errors import InvalidInput

FIELDS = ("name", "recipe", "use_cache", "promote", "append", "licence", "owner")
_PROVENANCE: TypeAdapter[str] = TypeAdapter(Provenance)
_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def form_values(fields: Mapping[str, str], actor: str) -> dict[str, Any]:
    """Values of the event in the fields of an upload of ``actor``'s, of which ``name`` is there.

    Raises:
        HttpProblem: 400 that names the key of the recipe.
        InvalidInput: another field cannot be used; names it.
    """
    recipe = checked_recipe(_recipe_text(fields.get("recipe")), actor)
    if parse_recipe(recipe).data.query is not None:
        raise HttpProblem(400, "invalid-recipe", "data.query is for a database; remove it, since files were sent")
    values: dict[str, Any] = {"name": fields["name"], "recipe": recipe}
    for field in ("use_cache", "promote", "append"):
        if field in fields:
            values[field] = _flag(field, fields[field])
    for field in ("licence", "owner"):
        if fields.get(field, "").strip():
            try:
                values[field] = _PROVENANCE.validate_python(fields[field])
            except ValidationError as invalid:
                raise InvalidInput(f"field {field!r}: {invalid.errors()[0]['msg']}") from None
    return values


def checked_recipe(recipe: dict[str, Any] | None, actor: str) -> dict[str, Any] | None:
    """``recipe`` if it is valid and ``actor`` may ask for it: folders and keys of the machines are their user's alone.

    Raises:
        HttpProblem: 400 that names the key.
    """
    try:
        parsed = parse_recipe(recipe)
    except RecipeError as error:
        raise HttpProblem(400, "invalid-recipe", str(error)) from None
    refused = on_a_machine(parsed) if actor != LOCAL else None
    if refused is not None:
        raise HttpProblem(400, "invalid-recipe", refused)
    return recipe


def _recipe_text(text: str | None) -> dict[str, Any] | None:
    if text is None or not text.strip():
        return None
    from tidemill.recipe_text import parse  # YAML takes longer to import than a start should

    try:
        return parse(text)
    except InvalidInput as error:
        raise HttpProblem(400, "invalid-recipe", str(error)) from None


def _flag(name: str, text: str) -> bool | None:
    if name == "promote" and not text.strip():
        return None
    try:
        return _WORDS[text.strip().lower()]
    except KeyError:
        raise InvalidInput(f"field {name!r} is {text!r}; send true or false") from None
