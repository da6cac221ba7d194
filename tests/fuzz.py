"""`make fuzz`: made-up messages and requests in numbers, and what each of those who take them made of them.

Messages of the bus go through the parser, planners, the registry and a worker (tests/forged), requests through a
gateway (tests/security/test_contract_fuzz.py). Ends with the first failing case of each, if there is one.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import pytest


class Table:
    """Prints the tally below pytest's own summary."""

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        from tests import tally

        terminalreporter.section("cases")
        for line in tally.table():
            terminalreporter.write_line(line)


def main() -> int:
    """Run the tests marked ``full`` of both with the asked number of cases; pytest's exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000, help="how many in all")
    asked = parser.parse_args()
    os.environ["TIDEMILL_FUZZ_CASES"] = str(asked.cases)  # before anything reads it
    places = ["tests/forged/test_any_message.py", "tests/security/test_contract_fuzz.py"]
    return int(pytest.main(["-q", "-m", "full", *places], plugins=[Table()]))


if __name__ == "__main__":
    sys.exit(main())
