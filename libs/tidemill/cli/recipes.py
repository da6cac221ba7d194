"""``tidemill recipe``, and how a recipe is composed from a file and ``--set``."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, Any

import typer

from tidemill.cli.screen import JsonOption, Misused, print_document

commands = typer.Typer(help="The recipe: show it with its defaults, print its JSON Schema.", no_args_is_help=True)

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, e.g. training.epochs=2; repeatable."),
]


def compose(file: Path | None, changes: list[str]) -> dict[str, Any]:
    """The recipe in ``file`` with ``changes`` (``section.key=value``, the value as YAML), checked, without defaults.

    Raises:
        RecipeError: the result is not a valid recipe; names the key.
        Misused: a change is not of the form KEY=VALUE.
    """
    from tidemill.client.sources import load_yaml
    from tidemill.contracts import parse_recipe

    document = load_yaml(file.expanduser()) if file is not None else {}
    for change in changes:
        document = _changed(document, change)
    if document:
        parse_recipe(document)
    return document


def _changed(document: dict[str, Any], change: str) -> dict[str, Any]:
    import yaml

    path, equals, text = change.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise Misused(f"--set {change}: give a key and a value, e.g. --set training.epochs=2")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Misused(f"--set {change}: the value is not YAML ({getattr(error, 'problem', error)})") from None
    changed = copy.deepcopy(document)
    section = changed
    for key in keys[:-1]:
        if section.get(key) is None:
            section[key] = {}
        section = section[key]
        if not isinstance(section, dict):
            raise Misused(f"--set {change}: {key!r} is a value, not a section")
    section[keys[-1]] = value
    return changed


@commands.command()
def show(
    file: Annotated[Path | None, typer.Argument(metavar="YAML", help="The recipe's file; none shows defaults.")] = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """The whole recipe: what was given, and the defaults for the rest."""
    import yaml

    from tidemill.contracts import parse_recipe

    document = parse_recipe(compose(file, changes or [])).model_dump(mode="json")
    if as_json:
        print_document(document)
    else:
        print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), end="")


@commands.command()
def schema(as_json: JsonOption = False) -> None:  # JSON either way: the option is there since every command has it
    """The recipe's JSON Schema, for editors."""
    from tidemill.contracts.asyncapi import recipe_schema

    print_document(recipe_schema())
