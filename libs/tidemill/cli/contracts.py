"""``python -m tidemill.cli.contracts --to proto``: the generated contracts, written or compared; ``make contracts``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tidemill.contracts.asyncapi import asyncapi_document, recipe_schema


def documents() -> dict[str, str]:
    """File names and contents."""
    generated = {"asyncapi.json": asyncapi_document(), "recipe.schema.json": recipe_schema()}
    return {name: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for name, document in generated.items()}


def main() -> None:
    """Write them to the folder that ``--to`` names."""
    parser = argparse.ArgumentParser(prog="tidemill.cli.contracts")
    parser.add_argument("--to", type=Path, required=True)
    folder: Path = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)


if __name__ == "__main__":
    main()
