"""A domain function in a real child process: what comes back, and what is left when it ends badly."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from tidemill import telemetry
from tidemill.errors import Cancelled, HandedBack, InvalidInput, TransientError
from tidemill.jobs import Inputs, JobCrashed, JobFailed, JobRunner, Progress, forkserver, spans_of, usage_of
from tidemill.jobs.preload import usable_processors
from tidemill.testing import job_functions as functions
from tidemill.testing.job_functions import Spec

MODULE = "tidemill.testing.job_functions"
PATIENCE = 30.0


@pytest.fixture(scope="module")
async def runner() -> AsyncIterator[JobRunner]:
    runner = JobRunner([MODULE], sample_interval=0.05)
    await runner.warm()
    yield runner
    await runner.close()


async def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Progresses(list[Progress]):
    """Collects progress, and waits for the first."""

    async def first(self) -> Progress:
        await eventually(lambda: self)
        return self[0]


async def test_a_function_answers_from_a_child_that_has_the_imports(
    runner: JobRunner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        outcome = await runner.run(functions.answer, Spec(text="好 good"), Inputs(), tmp_path)
        again = await runner.run(functions.answer, Spec(text="again"), Inputs(), tmp_path)
    assert outcome.value.text == "好 good"
    assert outcome.value.pid not in (os.getpid(), again.value.pid)
    assert outcome.value.loaded_in == again.value.loaded_in == forkserver.pid()
    assert (tmp_path / "text.txt").read_text(encoding="utf-8") == "again"
    lines = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert ("tidemill.jobs.output", "INFO", "printed 好 good") in lines
    assert ("tidemill.jobs.output", "INFO", "progress bar 100%") in lines
    assert ("tidemill.jobs.output", "INFO", "no newline at the end") in lines
    assert ("domain", "WARNING", "logged 好 good") in lines


async def test_partials_and_calls_of_another_shape(runner: JobRunner, tmp_path: Path) -> None:
    outcome = await runner.run(functools.partial(functions.scaled, 3), Spec(number=7), Inputs(), tmp_path)
    assert outcome.value == 21
    await runner.run_call(functions.snapshot, "as it was", tmp_path)
    assert (tmp_path / "snapshot.txt").read_text() == "as it was"


async def test_progress_is_thinned_but_metrics_and_the_last_arrive(runner: JobRunner, tmp_path: Path) -> None:
    seen = Progresses()
    await runner.run(functions.chatter, Spec(number=2000), Inputs(), tmp_path, on_progress=seen.append)
    assert len([progress for progress in seen if progress.metrics]) == 20
    assert len(seen) < 200
    assert seen[-1] == Progress(1999 / 2000, "step 1999")


async def test_a_progress_callback_that_fails_does_not_harm_the_job(runner: JobRunner, tmp_path: Path) -> None:
    async def fails(progress: Progress) -> None:
        raise ConnectionError("the bus is away")

    outcome = await runner.run(functions.chatter, Spec(number=200), Inputs(), tmp_path, on_progress=fails)
    assert outcome.value is None


async def test_a_domain_error_keeps_its_type_and_message(runner: JobRunner, tmp_path: Path) -> None:
    with pytest.raises(functions.RottenRow, match=r"^row 3: '也许' is not a label$") as caught:
        await runner.run(functions.rotten, Spec(text="row 3: '也许' is not a label"), Inputs(), tmp_path)
    assert isinstance(caught.value, InvalidInput)
    assert usage_of(caught.value).attempts == 1


async def test_an_unforeseen_error_is_short_for_people_and_whole_for_the_log(runner: JobRunner, tmp_path: Path) -> None:
    with pytest.raises(JobFailed) as caught:
        await runner.run(functions.unforeseen, Spec(text="label"), Inputs(), tmp_path, traceparent=TRACEPARENT)
    assert str(caught.value).startswith("KeyError: 'label' (tidemill/testing/job_functions.py, line ")
    assert "Traceback (most recent call last)" in caught.value.traceback
    (span,) = spans_of(caught.value)
    assert (span.name, span.status) == ("look up", "error")


async def test_what_cannot_be_sent_back_is_a_failure_not_a_hang(runner: JobRunner, tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="cannot pickle"):
        await runner.run(functions.unpicklable, Spec(), Inputs(), tmp_path)


@pytest.mark.parametrize(
    ("function", "number", "signal_name", "message"),
    [
        (functions.segfault, 0, "SIGSEGV", "killed by SIGSEGV"),
        (functions.kill_itself, 0, "SIGKILL", "because memory ran out"),
        (functions.leave, 3, None, "exit status 3"),
        (functions.out_of_memory, 0, None, "out of memory: MemoryError: cannot allocate 9 TB"),
    ],
)
async def test_a_crash_ends_the_job_and_not_the_runner(
    runner: JobRunner,
    tmp_path: Path,
    function: Callable[..., None],
    number: int,
    signal_name: str | None,
    message: str,
) -> None:
    with pytest.raises(JobCrashed, match=message) as caught:
        await runner.run(function, Spec(number=number), Inputs(), tmp_path)
    assert caught.value.signal == signal_name
    usage = usage_of(caught.value)
    # A process may be dead before its memory is looked at for the first time.
    assert usage.peak_memory_bytes > 2**20 or usage.wall_seconds < 0.1
    if function is functions.segfault:
        assert "about to fall" in caught.value.output
        assert "Fatal Python error: Segmentation fault" in caught.value.output
    outcome = await runner.run(functools.partial(functions.scaled, 1), Spec(number=1), Inputs(), tmp_path)
    assert outcome.value == 1


async def test_a_child_that_is_killed_from_outside_is_a_crash(runner: JobRunner, tmp_path: Path) -> None:
    seen = Progresses()
    job = asyncio.create_task(runner.run(functions.spin, Spec(), Inputs(), tmp_path, on_progress=seen.append))
    os.kill(int((await seen.first()).message), signal.SIGKILL)
    with pytest.raises(JobCrashed, match="SIGKILL"):
        await job


async def test_cancel_takes_grandchildren_along_even_in_another_session(runner: JobRunner, tmp_path: Path) -> None:
    seen = Progresses()
    job = asyncio.create_task(runner.run(functions.family, Spec(), Inputs(), tmp_path, on_progress=seen.append))
    pids = [int(pid) for pid in (await seen.first()).message.split()]
    assert not any(gone(pid) for pid in pids)
    with pytest.raises(RuntimeError, match="one at a time"):
        await runner.run(functions.deaf, Spec(), Inputs(), tmp_path)
    await runner.cancel()
    with pytest.raises(Cancelled):
        await job
    await eventually(lambda: all(gone(pid) for pid in pids))


async def test_cancelling_the_task_kills_the_child(runner: JobRunner, tmp_path: Path) -> None:
    seen = Progresses()
    job = asyncio.create_task(runner.run(functions.family, Spec(), Inputs(), tmp_path, on_progress=seen.append))
    pids = [int(pid) for pid in (await seen.first()).message.split()]
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    await eventually(lambda: all(gone(pid) for pid in pids))
    assert not runner.busy


async def test_processes_that_a_good_job_forgot_are_ended(runner: JobRunner, tmp_path: Path) -> None:
    seen = Progresses()
    await runner.run(functions.family, Spec(text="return"), Inputs(), tmp_path, on_progress=seen.append)
    child, near, far = (int(pid) for pid in seen[0].message.split())
    await eventually(lambda: gone(child) and gone(near))
    if not gone(far):  # it left the group, and ended the job before anybody could look
        os.kill(far, signal.SIGKILL)


async def test_a_stopped_job_saves_its_checkpoint_and_is_handed_back(tmp_path: Path) -> None:
    runner = JobRunner([MODULE])
    seen, stored = Progresses(), []

    async def store(directory: Path) -> None:
        await asyncio.sleep(0.05)
        stored.append((directory / "state.txt").read_text())

    job = asyncio.create_task(
        runner.run(
            functions.until_stopped,
            Spec(text="step 7"),
            Inputs(),
            tmp_path,
            on_progress=seen.append,
            on_checkpoint=store,
        )
    )
    await seen.first()
    runner.request_stop(grace=PATIENCE)
    with pytest.raises(HandedBack, match="stopped at step 7"):
        await job
    assert stored == ["step 7"]
    with pytest.raises(HandedBack, match="leaving"):
        await runner.run(functions.deaf, Spec(), Inputs(), tmp_path)
    await runner.close()


async def test_a_deaf_job_is_killed_after_its_grace(tmp_path: Path) -> None:
    runner = JobRunner([MODULE])
    seen = Progresses()
    job = asyncio.create_task(runner.run(functions.deaf, Spec(), Inputs(), tmp_path, on_progress=seen.append))
    await seen.first()
    pid = runner.pid
    assert pid is not None
    runner.request_stop(grace=0.1)
    with pytest.raises(HandedBack, match=r"did not stop within 0\.1 s"):
        await job
    await eventually(lambda: gone(pid))
    await runner.close()


async def test_a_checkpoint_that_cannot_be_stored_raises_in_the_function(runner: JobRunner, tmp_path: Path) -> None:
    async def full(directory: Path) -> None:
        raise TransientError("the disk is full")

    outcome = await runner.run(functions.checkpoint, Spec(), Inputs(), tmp_path, on_checkpoint=full)
    assert outcome.value == "refused: the disk is full"
    outcome = await runner.run(functions.checkpoint, Spec(), Inputs(), tmp_path, on_checkpoint=lambda directory: None)
    assert outcome.value == "stored"


async def test_resources_of_the_child_and_its_children_are_counted(runner: JobRunner, tmp_path: Path) -> None:
    outcome = await runner.run(functions.work_hard, Spec(number=60), Inputs(), tmp_path)
    usage = outcome.usage
    assert 0.9 < usage.cpu_seconds < 4
    assert usage.wall_seconds > 0.5
    assert 100 * 2**20 < usage.peak_memory_bytes < 600 * 2**20
    assert usage.written_bytes >= 3 * 2**20
    assert (usage.gpu_seconds, usage.attempts) == (0.0, 1)


TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
async def test_torch_loaded_before_the_fork_computes_on_its_threads_after_it(tmp_path: Path) -> None:
    runner = JobRunner(["torch"])
    for _ in range(2):
        outcome = await runner.run(functions.multiply, Spec(number=300), Inputs(), tmp_path)
        assert outcome.value == (usable_processors(), 300.0**3)
    await runner.close()


@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="needs a GPU")
async def test_seconds_on_the_gpu_are_counted(runner: JobRunner, tmp_path: Path) -> None:
    outcome = await runner.run(functions.hold_gpu, Spec(number=2), Inputs(), tmp_path)
    assert 1 < outcome.usage.gpu_seconds <= outcome.usage.wall_seconds


async def test_spans_of_the_child_hang_below_the_given_parent(runner: JobRunner, tmp_path: Path) -> None:
    outcome = await runner.run(functions.traced, Spec(number=5), Inputs(), tmp_path, traceparent=TRACEPARENT)
    inner, outer = outcome.spans
    assert (outer.trace_id, outer.parent_id, outer.attributes) == (TRACE, "b7ad6b7169203331", {"rows": 5})
    assert (inner.name, inner.parent_id) == ("inner 内", outer.span_id)
    assert outer.start_ns <= inner.start_ns <= inner.end_ns <= outer.end_ns


async def test_by_default_the_current_span_is_the_parent(runner: JobRunner, tmp_path: Path) -> None:
    configured = telemetry.configure("trainer", tmp_path / "data", "t1")
    try:
        with telemetry.span("train") as current:
            outcome = await runner.run(functions.traced, Spec(), Inputs(), tmp_path)
    finally:
        configured.shutdown()
    assert outcome.spans[1].parent_id == f"{current.get_span_context().span_id:016x}"
    assert {(span.service, span.instance) for span in outcome.spans} == {("trainer", "t1")}


async def test_a_forkserver_that_died_is_replaced(tmp_path: Path) -> None:
    runner = JobRunner([MODULE])
    once = functools.partial(functions.scaled, 1)
    await runner.run(once, Spec(number=1), Inputs(), tmp_path)
    first = forkserver.pid()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    outcome = await runner.run(once, Spec(number=2), Inputs(), tmp_path)
    assert outcome.value == 2
    assert forkserver.pid() != first
    await runner.close()


async def test_a_job_outlives_its_forkserver(runner: JobRunner, tmp_path: Path) -> None:
    seen = Progresses()
    job = asyncio.create_task(runner.run(functions.spin, Spec(), Inputs(), tmp_path, on_progress=seen.append))
    child = int((await seen.first()).message)
    server = forkserver.pid()
    assert server is not None
    os.kill(server, signal.SIGKILL)
    await eventually(lambda: gone(server))
    assert not job.done()
    await runner.cancel()
    with pytest.raises(Cancelled):
        await job
    await eventually(lambda: gone(child))


async def test_a_preload_that_fails_is_named_and_the_job_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runner = JobRunner(["tidemill.no_such_module", MODULE])
    outcome = await runner.run(functools.partial(functions.scaled, 2), Spec(number=4), Inputs(), tmp_path)
    assert outcome.value == 8
    assert "could not load tidemill.no_such_module ahead of the jobs: ModuleNotFoundError" in caplog.text
    await runner.close()


async def test_a_preload_that_kills_its_process_fails_the_job_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tidemill_test_lethal.py").write_text("import os; os._exit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    if (server := forkserver.pid()) is not None:
        os.kill(server, signal.SIGKILL)
        await eventually(lambda: gone(server))
    lethal = JobRunner(["tidemill_test_lethal"])
    with pytest.raises(JobCrashed, match="died while it loaded tidemill_test_lethal"):
        await lethal.run(functools.partial(functions.scaled, 1), Spec(), Inputs(), tmp_path)
    await lethal.close()
    healthy = JobRunner([MODULE])
    outcome = await healthy.run(functools.partial(functions.scaled, 1), Spec(number=3), Inputs(), tmp_path)
    assert outcome.value == 3
    await healthy.close()


def test_a_killed_service_leaves_no_process(tmp_path: Path) -> None:
    script = tmp_path / "service.py"
    script.write_text(
        textwrap.dedent(
            """
            import asyncio
            from pathlib import Path
            from tidemill.jobs import Inputs, JobRunner, forkserver
            from tidemill.testing import job_functions as functions

            async def main() -> None:
                runner = JobRunner(["tidemill.testing.job_functions"])
                say = lambda progress: print(forkserver.pid(), progress.message, flush=True)
                await runner.run(functions.family, functions.Spec(), Inputs(), Path("."), on_progress=say)

            if __name__ == "__main__":
                asyncio.run(main())
            """
        )
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as service:
        assert service.stdout is not None
        pids = [int(pid) for pid in service.stdout.readline().split()]
        assert len(pids) == 4
        helpers = [process.pid for process in psutil.Process(service.pid).children(recursive=True)]
        service.kill()
    asyncio.run(eventually(lambda: all(gone(pid) for pid in {*pids, *helpers})))


def test_no_library_in_a_job_exports_by_itself(tmp_path: Path) -> None:
    script = tmp_path / "service.py"
    script.write_text(
        textwrap.dedent(
            """
            import asyncio, os
            from pathlib import Path
            from tidemill.jobs import Inputs, JobRunner
            from tidemill.testing import job_functions as functions

            async def main() -> None:
                runner = JobRunner(["tidemill.testing.job_functions"])
                spec = functions.Spec(text="OTEL_")
                seen = await runner.run(functions.variables, spec, Inputs(), Path("."))
                print(seen.value, sorted(name for name in os.environ if name.startswith("OTEL_")))
                await runner.close()

            if __name__ == "__main__":
                asyncio.run(main())
            """
        )
    )
    own = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    theirs = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "100"}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, cwd=tmp_path, env=own | theirs, check=True
    )
    assert done.stdout.strip() == f"{['OTEL_BSP_SCHEDULE_DELAY']} {sorted(theirs)}"


async def test_close_leaves_neither_child_nor_forkserver(tmp_path: Path) -> None:
    runner = JobRunner([MODULE])
    seen = Progresses()
    job = asyncio.create_task(runner.run(functions.spin, Spec(), Inputs(), tmp_path, on_progress=seen.append))
    child = int((await seen.first()).message)
    await runner.close()
    with pytest.raises(Cancelled):
        await job
    await eventually(lambda: gone(child))
