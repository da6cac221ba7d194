"""docs/access.md says of every operation what it asks for, as it is."""

from __future__ import annotations

import re
from pathlib import Path

from services.inference.openapi import OPERATIONS
from services.inference.web.operations import ANYBODY, Operation
from tidemill.contracts import SCOPES

DOCUMENT = Path(__file__).parents[2] / "docs" / "access.md"


def needs(operation: Operation) -> str:
    if operation.is_public:
        return "nothing"
    words = "any" if operation.scopes == ANYBODY else " or ".join(f"`{scope}`" for scope in operation.scopes)
    return f"{words}, of the platform" if operation.of_platform else words


def table() -> str:
    rows = ["| operation | scope |", "|---|---|"]
    for operation in sorted(OPERATIONS, key=lambda one: (one.path, one.method)):
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", operation.path)
        rows.append(f"| `{operation.method} {path}` | {needs(operation)} |")
    return "\n".join(rows)


def test_the_table_of_scopes_is_what_the_gateway_asks_for() -> None:
    found = re.search(r"\| operation \| scope \|\n(?:\|.*\n)+", DOCUMENT.read_text(encoding="utf-8"))
    assert found is not None
    assert found[0].strip() == table(), f"put this into {DOCUMENT}:\n{table()}"
    assert all(f"`{scope}`" in found[0] for scope in SCOPES)
