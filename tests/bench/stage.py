"""The state machinery of one stage without its domain function, beside a Celery task and a Prefect flow of one task.

From the publication of an event to the stage's own event: plan, fingerprint, durable job, lease, a function that
returns at once, commit, join, announcement; every write synced. Two forms: with the function in a child process, as in
the product, and with it called in the service, so that what is left is the machinery alone. Celery has a Redis broker
and result backend, which sync nothing, and acknowledges late; Prefect a server of its own. All in one run, in turns.
`make bench-stage`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import shutil
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from tests.bench.environments import SCRIPTS, Missing, ask, environment, process, wait_for_port
from tests.bench.idle_stage import InService, idle_stage, prepare_run
from tidemill.bus import Bus
from tidemill.platform.nats_server import free_port
from tidemill.settings import StageSettings
from tidemill.stage import application
from tidemill.testing.nats import running_nats, settings_for

TURNS = 12
RUNS = 5
"""Runs in one turn of one contender."""
CELERY = ["celery[redis]==5.5.3"]
PREFECT = ["prefect==3.9.1"]

IN_A_CHILD = "Tidemill stage, function in a child process"
ALONE = "Tidemill stage, the machinery alone"
CELERY_ROW = "Celery task (Redis, acks_late, result)"
PREFECT_ROW = "Prefect flow of one task (server, SQLite)"

Turn = Callable[[int], Awaitable[list[float]]]


async def main(turns: int, environments: Path) -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as peers:
        folder = Path(name)
        async with AsyncExitStack() as stages:
            contenders: dict[str, Turn] = {
                IN_A_CHILD: await stages.enter_async_context(tidemill(folder / "child", in_service=False)),
                ALONE: await stages.enter_async_context(tidemill(folder / "alone", in_service=True)),
            }
            missing: dict[str, str] = {}
            for row, start in ((CELERY_ROW, celery), (PREFECT_ROW, prefect)):
                try:
                    contenders[row] = await asyncio.to_thread(peers.enter_context, start(environments, folder))
                except Missing as reason:
                    missing[row] = str(reason)
            report(await measured(contenders, turns), missing)


async def measured(contenders: dict[str, Turn], turns: int) -> dict[str, list[list[float]]]:
    """Milliseconds of every run by turn; the first turn warms up and is not kept."""
    times: dict[str, list[list[float]]] = {name: [] for name in contenders}
    for number in range(turns + 1):
        for name, turn in contenders.items():
            taken = await turn(RUNS)
            if number:
                times[name].append(taken)
    return times


def report(times: dict[str, list[list[float]]], missing: dict[str, str]) -> None:
    middles = {name: statistics.median(itertools.chain(*turns)) for name, turns in times.items()}
    base = middles.get(CELERY_ROW)
    print(f"{'one stage, from event to event':46} {'p50 ms':>8} {'× Celery':>9}")
    for name, middle in middles.items():
        print(f"{name:46} {middle:8.1f} " + (f"{middle / base:9.1f}" if base else ""))
    for name, reason in missing.items():
        print(f"{name:46} left out: {reason}")
    if PREFECT_ROW in middles:
        print(f"target: ahead of Prefect: {'met' if middles[IN_A_CHILD] < middles[PREFECT_ROW] else 'NOT met'}")
    if base:
        met = "met" if middles[ALONE] <= 5 * base else "NOT met"
        print(f"target: the machinery within 5 times of Celery: {met} ({middles[ALONE] / base:.1f})")


@asynccontextmanager
async def tidemill(folder: Path, *, in_service: bool) -> AsyncIterator[Turn]:
    """A stage on a server and a store of its own."""
    folder.mkdir()
    numbers = itertools.count(1)
    async with running_nats(folder) as server:
        settings = settings_for(server, folder, log_level="WARNING")
        with patched_runner() if in_service else ExitStack():
            app = application.create_stage_app(idle_stage(), StageSettings(platform=settings))
        bus = Bus.from_settings(settings, "bench")
        await bus.connect()
        await app.start()

        async def turn(runs: int) -> list[float]:
            return [await (await prepare_run(bus, settings.store_url, f"run-{next(numbers)}"))() for _ in range(runs)]

        try:
            yield turn
        finally:
            await app.stop()
            await bus.broker.stop()


@contextmanager
def patched_runner() -> Iterator[None]:
    """The application made in the block calls its function itself."""
    own = application.JobRunner
    application.JobRunner = InService  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        application.JobRunner = own  # type: ignore[misc]


@contextmanager
def celery(environments: Path, folder: Path) -> Iterator[Turn]:
    redis = shutil.which("redis-server")
    if redis is None:
        raise Missing("there is no redis-server; on Debian: apt-get install redis-server")
    binaries = environment(environments, "celery", CELERY)
    port = free_port()
    home = folder / "celery"
    home.mkdir()
    variables = {"BENCH_REDIS": f"redis://127.0.0.1:{port}/0", "PYTHONPATH": str(SCRIPTS)}
    with ExitStack() as running:
        command = [redis, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home)]
        wait_for_port(port, running.enter_context(process(command, home / "redis.log")), home / "redis.log")
        worker = [str(binaries / "celery"), "-A", "celery_task", "worker", "-c", "1", "--without-gossip"]
        running.enter_context(process(worker, home / "worker.log", variables))
        script = [str(binaries / "python"), str(SCRIPTS / "celery_task.py")]
        yield asked(running.enter_context(process(script, home / "client.log", variables, talks=True)), home)


@contextmanager
def prefect(environments: Path, folder: Path) -> Iterator[Turn]:
    binaries = environment(environments, "prefect", PREFECT)
    port = free_port()
    home = folder / "prefect"
    home.mkdir()
    variables = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "ERROR",
    }
    with ExitStack() as running:
        command = [str(binaries / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        server = running.enter_context(process(command, home / "server.log", variables))
        wait_for_port(port, server, home / "server.log")
        script = [str(binaries / "python"), str(SCRIPTS / "prefect_flow.py")]
        yield asked(running.enter_context(process(script, home / "client.log", variables, talks=True)), home)


def asked(running: object, home: Path) -> Turn:
    async def turn(runs: int) -> list[float]:
        return await asyncio.to_thread(ask, running, runs, home / "client.log")  # type: ignore[arg-type]

    return turn


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument(
        "--environments", type=Path, default=Path(".tidemill/bench"), help="where Celery and Prefect are installed"
    )
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.turns, given.environments.absolute())))
