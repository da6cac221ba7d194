"""How many made-up cases each fuzzed thing was given, and what came of them; `make fuzz` prints it."""

from __future__ import annotations

import os
from collections import Counter, defaultdict

CASES = int(os.environ.get("TIDEMILL_FUZZ_CASES", "25000"))
"""How many cases the tests marked ``full`` share: three fifths are messages, two fifths requests."""

MESSAGES = CASES * 3 // 5
REQUESTS = CASES - MESSAGES

_counted: defaultdict[str, Counter[str]] = defaultdict(Counter)


def count(what: str, got: str) -> None:
    """One more case of ``what``, with its outcome in a word."""
    _counted[what][got] += 1


def table() -> list[str]:
    """Lines: how many cases, of what, what each got; the sum last."""
    lines = [
        f"{outcomes.total():7,}  {what:<52}  {', '.join(f'{got} {n:,}' for got, n in sorted(outcomes.items()))}"
        for what, outcomes in sorted(_counted.items())
    ]
    return [*lines, f"{sum(outcomes.total() for outcomes in _counted.values()):7,}  cases in all"]
