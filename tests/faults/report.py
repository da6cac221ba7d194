"""The table that `make faults` prints, and its JSON."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.faults.faults import BY_NAME
from tests.faults.scene import Findings
from tests.faults.schedule import Injection

HOW = (
    "Recovery: from the injection of a kill, a pause or a loss, and from the end of an outage that the suite ends "
    "itself, until what the column 'measured to' names. Seconds."
)


def document(findings: Sequence[Findings], seed: int) -> dict[str, Any]:
    """Everything as one JSON object."""
    return {
        "seed": seed,
        "totals": totals(findings),
        "kinds": rows(findings),
        "violations": [
            {"scene": one.scene, "sort": violation.sort, "run_id": violation.run_id, "seen": violation.seen}
            for one in findings
            for violation in one.violations
        ],
        "injections": [{"scene": one.scene, **vars(injection)} for one in findings for injection in one.injections],
    }


def totals(findings: Sequence[Findings]) -> dict[str, Any]:
    """Runs, ends, faults and broken promises over all scenes."""
    states: dict[str, int] = defaultdict(int)
    sorts: dict[str, int] = defaultdict(int)
    for one in findings:
        for state, count in one.states.items():
            states[state] += count
        for violation in one.violations:
            sorts[violation.sort] += 1
    return {
        "runs": sum(one.runs for one in findings),
        "strays": sum(one.strays for one in findings),
        "states": dict(states),
        "faults": sum(not injection.skipped for one in findings for injection in one.injections),
        "lost": sorts.pop("lost", 0),
        "duplicated": sorts.pop("duplicate", 0),
        "untruthful": sorts.pop("untruthful", 0),
        "other": dict(sorts),
        "seconds": round(sum(one.seconds for one in findings), 1),
    }


def rows(findings: Sequence[Findings]) -> list[dict[str, Any]]:
    """One row for each kind of fault."""
    by_kind: dict[str, list[Injection]] = defaultdict(list)
    for one in findings:
        for injection in one.injections:
            by_kind[injection.kind].append(injection)
    table = []
    for name in [name for name in BY_NAME if name in by_kind]:
        injections = by_kind[name]
        seconds = [one.seconds for one in injections if one.seconds is not None]
        committed = [one.committed for one in injections if one.committed is not None]
        table.append(
            {
                "kind": name,
                "injected": sum(not one.skipped for one in injections),
                "skipped": sum(bool(one.skipped) for one in injections),
                "not_recovered": sum(bool(one.problem) for one in injections),
                "p50": round(statistics.median(seconds), 2) if seconds else None,
                "max": round(max(seconds), 2) if seconds else None,
                "committed_p50": round(statistics.median(committed), 2) if committed else None,
                "committed_max": round(max(committed), 2) if committed else None,
                "measured_to": BY_NAME[name].measured,
                "why_skipped": sorted({one.skipped for one in injections if one.skipped}),
            }
        )
    return table


def show(console: Console, findings: Sequence[Findings], seed: int) -> None:
    """Print the table, the totals and every violation."""
    table = Table(title=f"Faults, seed {seed}", caption=HOW, title_justify="left", caption_justify="left")
    for column, justify in (
        ("fault", "left"), ("injected", "right"), ("not recovered", "right"), ("p50", "right"), ("max", "right"),
        ("measured to", "left"), ("skipped", "right"),
    ):  # fmt: skip
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for row in rows(findings):
        table.add_row(
            row["kind"], str(row["injected"]), str(row["not_recovered"]), _seconds(row["p50"]), _seconds(row["max"]),
            row["measured_to"], str(row["skipped"] or ""),
        )  # fmt: skip
        if row["committed_p50"] is not None:
            table.add_row("", "", "", _seconds(row["committed_p50"]), _seconds(row["committed_max"]), "job committed")
    console.print(table)
    total = totals(findings)
    ends = ", ".join(f"{count} {state}" for state, count in sorted(total["states"].items()))
    console.print(f"{total['runs']} runs ({ends}; {total['strays']} more that a publisher got no answer for) "
                  f"in {total['seconds']:.0f} s")  # fmt: skip
    console.print(
        f"{total['faults']} faults injected; lost {total['lost']}, duplicated {total['duplicated']}, "
        f"untruthful {total['untruthful']}; other broken promises: {total['other'] or 0}"
    )
    for one in findings:
        for violation in one.violations:
            console.print(
                f"[red]{one.scene}: {violation.sort}[/red] {violation.run_id} {violation.seen}", highlight=False
            )
    for row in rows(findings):
        for why in row["why_skipped"]:
            console.print(f"[dim]{row['kind']}: {why}[/dim]", highlight=False)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
