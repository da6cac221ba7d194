"""SECURITY.md names a test for every attack; each is there."""

from __future__ import annotations

import ast
import re

from tests.conftest import REPOSITORY

ROWS = re.compile(r"^\| (?!attack|-)(.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`")


def test_every_attack_names_tests_that_there_are() -> None:
    text = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
    table = text.partition("## Attacks tried")[2].partition("\n## ")[0]
    rows = ROWS.findall(table)
    assert len(rows) > 40
    for attack, got, tests in rows:
        named = NAMED.findall(tests)
        assert named, f"no test is named for: {attack}"
        assert got
        for file, test in named:
            assert test, f"{file} is named without its test for: {attack}"
            module = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
            functions = {one.name for one in module.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert test in functions, f"{file} has no {test}"
