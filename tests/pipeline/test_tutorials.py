"""The tutorials, run as they are written: every `$ …` line in order, in an empty folder with their recipes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tidemill.contracts import parse_recipe

TUTORIALS = Path(__file__).resolve().parents[2] / "docs" / "tutorials"


def blocks(name: str, language: str) -> list[str]:
    text = (TUTORIALS / name).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.full
@pytest.mark.parametrize("tutorial", ["first-model.md", "backup.md", "data.md", "privacy.md", "erasure.md", "trust.md"])
def test_a_tutorial_runs_as_it_is_written(tmp_path: Path, tutorial: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    write_recipes(tutorial, tmp_path)
    commands = [line[2:] for block in blocks(tutorial, "console") for line in block.splitlines()]
    assert len(commands) >= 8
    try:
        for command in commands:
            program, *arguments = shlex.split(command.replace("$PWD", str(tmp_path)))
            assert program in ("tidemill", "mkdir", "cp", "openssl")
            done = subprocess.run(
                [sys.executable, "-m", "tidemill.cli", *arguments] if program == "tidemill" else [program, *arguments],
                cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    finally:
        for folder in tmp_path.glob("**/platform.json"):
            subprocess.run(
                [sys.executable, "-m", "tidemill.cli", "down", "--data-dir", str(folder.parent)],
                cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=False,
            )  # fmt: skip


@pytest.mark.parametrize("tutorial", ["recipe.md", "data.md", "privacy.md", "erasure.md"])
def test_the_recipes_in_a_tutorial_are_some(tutorial: str) -> None:
    recipes = [yaml.safe_load(block) for block in blocks(tutorial, "yaml")]
    assert recipes
    for recipe in recipes:
        parse_recipe(recipe)


def write_recipes(tutorial: str, folder: Path) -> None:
    """Recipes that begin with the name of a file are written into it, as a reader does."""
    for block in blocks(tutorial, "yaml"):
        if named := re.match(r"# (\S+\.yaml)\n", block):
            (folder / named[1]).write_text(block, encoding="utf-8")
