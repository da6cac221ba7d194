"""Any bytes as any event, command, question or job: taken, or answered in words; never an unhandled exception.

Some hundred cases in `make test`; with ``-m full`` more than five thousand.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.settings import IngestSettings
from services.ingest.stage import ingest_stage
from services.preprocess.stage import preprocess_stage
from services.registry.answers import Answers
from services.registry.dead_letters import DeadLetters
from services.registry.erasing.erasures import Erasures
from services.registry.live import Live
from services.registry.subscribers import Subscribers
from tests import tally
from tests.forged.made_up import bodies, commands, events, right
from tests.registry.conftest import Bench, parts
from tests.registry.databases import Databases
from tidemill.artifacts import open_store
from tidemill.bus import Bus, MalformedEvent, parse_event
from tidemill.bus.consumers import Retry
from tidemill.bus.delivery import Delivery
from tidemill.contracts import EVENTS, ArtifactLost, DatasetIngested, DatasetPublished, Event, Prices
from tidemill.contracts.queries import QUESTION_TYPES, Answer
from tidemill.errors import PermanentError, TransientError
from tidemill.records.schema import RunRecord
from tidemill.stage import Stage
from tidemill.stage.failure import FailurePolicy
from tidemill.stage.job_command import JobCommand
from tidemill.stage.join import Joiner
from tidemill.stage.planner import Planner
from tidemill.stage.remaking import Remaker
from tidemill.stage.runs import Runs
from tidemill.stage.worker import parse_job
from tidemill.testing.events import EventLog, put_on_record
from tidemill.testing.nats import running_nats, settings_for

sequences = itertools.count(1)


def amount(quick: int, full: int) -> Any:
    """How many cases: few, the same every time, in `make test`; many, always others, in `make test-full`.

    ``full`` is of the 15,000 messages that `make test-full` makes up; `make fuzz` has its own sum.
    """
    many = -(-full * tally.MESSAGES // 15_000)
    return pytest.mark.parametrize("cases", [quick, pytest.param(many, marks=pytest.mark.full)])


def check(what: str, strategy: st.SearchStrategy[Any], cases: int, holds: Callable[[Any], str]) -> None:
    """Let ``holds`` judge as many cases; it says in a word what each got."""

    def judged(case: Any) -> None:
        tally.count(what, holds(case))

    derandomize = cases <= 250
    settings(max_examples=cases, deadline=None, derandomize=derandomize, database=None)(given(strategy)(judged))()


def _sort(outcome: str) -> str:
    return outcome if outcome in ("done", "again") else "dead letter"


@dataclass
class Desk:
    """Those who take messages, on a real server and store. Messages are handed to them as consumers do."""

    run: Callable[[Awaitable[Any]], Any]
    bench: Bench
    planners: dict[str, Planner[Any, Any, Any]]
    registry: Subscribers
    answers: Answers

    def deliver(
        self, handler: Callable[[Delivery], Awaitable[None]], subject: str, body: bytes, headers: dict[str, str]
    ) -> str:
        """How it ended, as the consumer sees it: ``done``, ``again``, or the words that go into the dead letter."""
        delivery = Delivery(
            subject=subject, body=body, headers=headers, stream="EVENTS", sequence=next(sequences),
            stored_at=datetime.now(UTC),
        )  # fmt: skip
        try:
            self.run(handler(delivery))
        except (Retry, TransientError):
            return "again"
        except PermanentError as error:
            return _words(error)
        return "done"

    def unforeseen(self) -> list[str]:
        """What no one had thought of: it would be tried again, with a traceback in the log."""
        return list(self.run(self._unforeseen()))

    async def _unforeseen(self) -> list[str]:
        records = self.bench.records
        return [
            one.error
            for project in await records.projects()
            for run_id in await records.run_ids(project)
            for one in await records.run_attempts(project, run_id)
            if one.kind == "unforeseen" and "is no dataset artifact" not in one.error  # that is foreseen, and counted
        ]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield runner.run(_open(stack, folder, runner.run))
        runner.run(stack.aclose())


async def _open(stack: AsyncExitStack, folder: Path, run: Callable[[Any], Any]) -> Desk:
    server = await stack.enter_async_context(running_nats(folder))
    platform = settings_for(server, folder)
    store = open_store(platform.store_url, cache=folder / "cache")
    bus = Bus.from_settings(platform, "test")
    await bus.connect()
    stack.push_async_callback(bus.broker.stop)
    bench = Bench(platform, bus, EventLog(), store, store.records(), folder, Databases("sqlite", folder))
    joined = await stack.enter_async_context(parts(bench))
    letters = DeadLetters(bus, bench.records)
    answers = Answers(joined.database, joined.projection, letters, Live(), Prices())
    erasures = Erasures(
        bus=bus, objects=store.objects, records=bench.records, commands=joined.commands, projection=joined.projection,
        database=joined.database, scratch=folder / "erasures", silence=platform.silence, owner="registry@test",
    )  # fmt: skip
    registry = Subscribers(
        bus=bus, projection=joined.projection, registrar=joined.registrar, commands=joined.commands, erasures=erasures,
        answers=answers, live=Live(),
    )  # fmt: skip
    stages: tuple[Stage[Any, Any, Any], ...] = (
        ingest_stage(IngestSettings(platform=platform).policy),
        preprocess_stage(),
    )
    for run_id in ("run-0", "run-1", "run-2"):  # of half of the runs that are made up there is a record
        event = DatasetPublished.model_validate(right(DatasetPublished, run_id=run_id))
        await bench.records.create_run(RunRecord(event=event, created_at=datetime.now(UTC)))
        recipe = await bench.recipe(None)
        ingested = DatasetIngested.model_validate(right(DatasetIngested, run_id=run_id, recipe=recipe))
        await put_on_record(bench.records, "ingest", ingested)
    return Desk(run, bench, {stage.name: _planner(stage, bench) for stage in stages}, registry, answers)


def _planner(stage: Stage[Any, Any, Any], bench: Bench) -> Planner[Any, Any, Any]:
    runs = Runs(bench.bus, bench.records)
    joiner = Joiner(stage, bench.bus, bench.store, bench.records, runs)
    remaker = Remaker(bench.bus, bench.store, bench.records)
    failures = FailurePolicy(stage.name, stage.consumes.subject, runs, bench.records, 3, remaker)
    return Planner(stage, bus=bench.bus, runs=runs, joiner=joiner, failures=failures)


def _words(error: Exception) -> str:
    words = str(error).strip()
    assert words
    return words


def _says(error: Exception, what: str) -> None:
    assert what in _words(error)


@amount(250, 4000)
def test_the_parser(cases: int) -> None:
    def holds(message: tuple[str, bytes, dict[str, str]]) -> str:
        subject, body, headers = message
        try:
            event = parse_event(subject, body, headers, run_id="run-x")
        except MalformedEvent as malformed:
            _says(malformed, f"{subject}: ")
            return "refused"
        assert isinstance(event, EVENTS[subject])
        assert parse_event(subject, event.model_dump_json().encode(), None) == event, "what was taken can be kept"
        return "taken"

    check("events, to the parser", events, cases, holds)


@amount(60, 1500)
@pytest.mark.parametrize(
    ("stage", "kinds"),
    [("ingest", (DatasetPublished, ArtifactLost)), ("preprocess", (DatasetIngested, ArtifactLost))],
)
def test_a_planner(desk: Desk, stage: str, kinds: tuple[type[Event], ...], cases: int) -> None:
    planner = desk.planners[stage]
    messages = st.one_of(*(st.tuples(st.just(kind.subject), bodies(kind)) for kind in kinds))

    def holds(message: tuple[str, bytes]) -> str:
        return _sort(desk.deliver(planner.on_event, *message, {}))

    check(f"events, to the planner of {stage}", messages, cases, holds)
    assert desk.unforeseen() == []


@amount(80, 2000)
def test_the_registry_takes_events(desk: Desk, cases: int) -> None:
    check(
        "events, to the registry", events, cases,
        lambda message: _sort(desk.deliver(desk.registry.on_event, *message)),
    )  # fmt: skip


@amount(80, 2000)
def test_the_registry_takes_commands(desk: Desk, cases: int) -> None:
    def holds(body: bytes) -> str:
        return _sort(desk.deliver(desk.registry.on_command, "tidemill.job.register.cpu.default", body, {}))

    check("commands, to the registry", commands, cases, holds)


@amount(80, 2000)
def test_the_registry_answers_questions(desk: Desk, cases: int, caplog: pytest.LogCaptureFixture) -> None:
    asked = st.sampled_from(QUESTION_TYPES).flatmap(lambda kind: st.tuples(st.just(kind.subject), bodies(kind)))

    def holds(question: tuple[str, bytes]) -> str:
        reply = Answer.model_validate_json(desk.run(desk.answers.reply(*question, most_bytes=1 << 20)))
        assert reply.problem is None or reply.problem.kind in ("not-found", "invalid"), reply.problem
        return reply.problem.kind if reply.problem is not None else "answered"

    check("questions, to the registry", asked, cases, holds)


@amount(80, 2000)
def test_a_worker_reads_jobs(cases: int) -> None:
    def holds(body: bytes) -> str:
        try:
            job = parse_job(Delivery(subject="tidemill.job.train.cpu.default.run-1", body=body))
        except PermanentError as error:
            _says(error, "not a job: ")
            return "refused"
        assert job.fingerprint in job.fingerprints
        return "taken"

    check("jobs, to a worker", bodies(JobCommand), cases, holds)
    assert holds(JobCommand.model_validate(right(JobCommand)).model_dump_json().encode()) == "taken"
