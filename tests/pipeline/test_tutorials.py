"""The tutorials, run as they are written: every `$ tidemill …` line in order, in an empty folder."""

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
def test_first_model(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    commands = [line[2:] for block in blocks("first-model.md", "console") for line in block.splitlines()]
    assert len(commands) >= 8
    try:
        for command in commands:
            program, *arguments = shlex.split(command)
            assert program == "tidemill"
            done = subprocess.run(
                [sys.executable, "-m", "tidemill.cli", *arguments],
                cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    finally:
        subprocess.run(
            [sys.executable, "-m", "tidemill.cli", "down"],
            cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=False,
        )  # fmt: skip


def test_the_recipe_in_the_tutorial_is_one() -> None:
    for block in blocks("recipe.md", "yaml"):
        parse_recipe(yaml.safe_load(block))
