"""Every run is where it ought to be, and everybody says the same about it."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Sequence
from typing import Any

from tests.faults.arena import Arena
from tests.faults.audit.bus import end_events
from tests.faults.audit.facts import RunOnRecord
from tests.faults.audit.violation import Violation
from tests.faults.runs import PROJECT
from tidemill.client import Platform
from tidemill.contracts.queries import RunView
from tidemill.errors import TidemillError


def lost(arena: Arena, facts: Sequence[RunOnRecord]) -> list[Violation]:
    """Published, but not on record, or never ended."""
    known = {one.run_id for one in facts}
    found = []
    for run in arena.runs.tracked:
        if run.run_id is None:
            found.append(Violation("lost", "", f"{run.order.name}: publishing it by {run.order.way} never succeeded"))
        elif run.run_id not in known:
            found.append(Violation("lost", run.run_id, f"{run.order.name} is not on record"))
    for one in facts:
        if one.outcome is None:
            stages = [stage.stage for stage in one.stages]
            found.append(
                Violation(
                    "lost", one.run_id, f"{one.record.event.name} has not ended; done: {stages}, epoch {one.epoch}"
                )
            )
    return found


def expected(arena: Arena, facts: Sequence[RunOnRecord]) -> list[Violation]:
    """How a run ended is how such a run has to end."""
    found = []
    for one in facts:
        if one.outcome is not None and (wrong := _unexpected(arena, one)):
            found.append(Violation("untruthful", one.run_id, f"{one.record.event.name}: {wrong}"))
    return found


def _unexpected(arena: Arena, one: RunOnRecord) -> str | None:
    outcome = one.outcome
    assert outcome is not None
    run = one.tracked
    fate = one.record.event.name.rsplit("-", 2)[0]
    if fate == "poison":
        stage = one.record.event.name.rsplit("-", 2)[1]
        good = outcome.state == "failed" and outcome.reason == "exhausted" and outcome.stage == stage
        return None if good and outcome.error else f"a job that always dies gave {_words(outcome)}"
    if outcome.state == "finished":
        return None if outcome.version else "finished without a version"
    if outcome.state == "cancelled":
        return (
            None if run is not None and run.cancelled and not run.retried else f"nobody cancelled it: {_words(outcome)}"
        )
    named = any(name in (outcome.error or "") for name in arena.corrupted | arena.damaged)
    return None if named else f"a healthy run {_words(outcome)}"


def _words(outcome: Any) -> str:
    return f"{outcome.state} in {outcome.stage} ({outcome.reason}): {outcome.error}"


async def agreed(arena: Arena, facts: Sequence[RunOnRecord]) -> list[Violation]:
    """The outcome record, the KV entry, the registry's table, both gateways and the events tell the same end."""
    rows = await asyncio.to_thread(_rows, arena)
    states = arena.platform.bus
    from tidemill.bus import RunStates

    entries = RunStates(states)
    ends = await end_events(arena)
    found: list[Violation] = []
    for one in facts:
        outcome = one.outcome
        if outcome is None:
            continue
        truth = (outcome.state, one.epoch)
        entry = await entries.get(PROJECT, one.run_id)
        if entry is not None and (entry.state, entry.epoch) != truth:
            found.append(_differs(one, "KV entry", (entry.state, entry.epoch)))
        row = rows.get(one.run_id)
        if row is None or row[:2] != truth or (outcome.state == "finished" and row[2] != outcome.version):
            found.append(_differs(one, "registry's table", row))
        for number in range(2):
            view = await _view(arena, one.run_id, number)
            said = None if view is None else (view.state, view.version)
            wanted = (outcome.state, outcome.version)
            if view is None or said != wanted or (outcome.state == "failed" and view.error != outcome.error):
                found.append(_differs(one, f"gateway {number + 1}", said))
        told = ends.get(one.run_id, set())
        expected_to_be_there = all(outcome.ended_at > lost for lost in arena.events_lost_at)
        if (expected_to_be_there and outcome.state not in told) or told - {past.state for past in one.outcomes}:
            found.append(_differs(one, "end events", sorted(told)))
    return found


def _differs(one: RunOnRecord, where: str, said: object) -> Violation:
    outcome = one.outcome
    assert outcome is not None
    truth = f"{outcome.state}, epoch {one.epoch}, version {outcome.version}"
    return Violation("untruthful", one.run_id, f"{one.record.event.name} is {truth}; {where}: {said}")


def _rows(arena: Arena) -> dict[str, tuple[Any, ...]]:
    path = arena.platform.data.root / "registry.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        rows = database.execute("select run_id, state, epoch, version from runs").fetchall()
    return {row[0]: tuple(row[1:]) for row in rows}


async def _view(arena: Arena, run_id: str, gateway: int) -> RunView | None:
    def show(client: Platform) -> RunView:
        return client.run(run_id).show()

    try:
        return await arena.runs.ask(show, seconds=20.0, gateway=gateway)
    except TidemillError:
        return None


async def replayed(arena: Arena, facts: Sequence[RunOnRecord], chance: random.Random) -> list[Violation]:
    """A dead letter of a failed run, replayed: the run goes on in its next epoch and ends as truthfully as before."""
    failed = [one for one in facts if one.outcome is not None and one.outcome.state == "failed"]
    found: list[Violation] = []
    for one in chance.sample(failed, min(2, len(failed))):
        letters = await arena.runs.ask(lambda client: client.dead_letters(limit=500))
        letter = next((letter for letter in letters if letter.run_id == one.run_id), None)
        if letter is None:
            continue  # reported elsewhere

        def replay(client: Platform, number: int = letter.id) -> None:
            client.replay(number)

        await arena.runs.ask(replay)

        async def ended_again(run_id: str = one.run_id, epoch: int = one.epoch) -> bool:
            outcomes = await arena.platform.records.outcomes(PROJECT, run_id)
            return any(outcome.epoch > epoch for outcome in outcomes)

        try:
            await arena.until(ended_again, patience=90.0)
        except Exception as error:
            found.append(Violation("dead-letter", one.run_id, f"replayed, and {error}"))
    return found
