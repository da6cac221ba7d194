"""SIGKILL of everything in mid-run: the run still ends, with one model version."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.conftest import TINY, Whole, reviews, start, stop, write_csv
from tidemill.contracts.queries import RunView
from tidemill.errors import TidemillError

SLOWER: dict[str, Any] = TINY | {"training": TINY["training"] | {"epochs": 60, "early_stopping": 0}}


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    running = start(tmp_path_factory.mktemp("replicated"), "--replicas", "trainer=2")
    yield running
    stop(running)


def test_sigkill_of_every_service_and_of_nats(replicated: Whole, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", reviews(seed=11))
    run = replicated.client.publish(path, name="survivor", recipe=SLOWER)
    wait_until(replicated, run.run_id, lambda view: running_stage(view) == "train")
    replicated.kill("trainer")
    for name in ("ingest", "preprocess", "compressor", "registry", "nats", "inference"):
        time.sleep(0.5)
        replicated.kill(name)
    view = run.wait(timeout=240)
    assert view.state == "finished", view.error
    model = when_back(lambda: replicated.client.model("survivor"))
    assert [version.version for version in model.versions] == [1]
    assert not [letter for letter in replicated.client.dead_letters() if letter.run_id == run.run_id]


def test_folds_of_a_cross_validation_run_on_two_replicas(replicated: Whole, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", reviews(seed=12))
    recipe = TINY | {"evaluation": {"folds": 5}, "training": TINY["training"] | {"epochs": 12}}
    run = replicated.client.publish(path, name="folded", recipe=recipe)
    view = run.wait(timeout=240)
    assert view.state == "finished", view.error
    assert view.cross_validation is not None
    assert len(view.cross_validation.folds) == 5
    assert view.cross_validation.mean["accuracy"] > 0.6
    spans = replicated.document("trace", run.run_id)["spans"]
    folds = [span for span in spans if span["name"].startswith("train fold")]
    assert len(folds) == 5
    assert len({span["instance"] for span in folds}) == 2
    begun = sorted(folds, key=lambda span: span["start_ns"])
    assert any(later["start_ns"] < earlier["end_ns"] for earlier, later in itertools.pairwise(begun))


def test_cancel_stops_the_work_and_retry_goes_on_from_there(replicated: Whole, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", reviews(seed=13))
    run = replicated.client.publish(path, name="stopped", recipe=SLOWER)
    wait_until(replicated, run.run_id, lambda view: running_stage(view) == "train")
    run.cancel()
    view = run.wait(timeout=30)
    assert view.state == "cancelled"
    run.retry()
    wait_until(replicated, run.run_id, lambda view: view.state == "running")
    view = run.wait(timeout=240)
    assert view.state == "finished", view.error
    ingest = next(stage for stage in view.stages if stage.name == "ingest")
    assert ingest.state == "finished"


def test_a_worker_that_is_told_to_stop_hands_its_job_over(replicated: Whole, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", reviews(seed=14))
    run = replicated.client.publish(path, name="handed", recipe=SLOWER)
    wait_until(replicated, run.run_id, lambda view: running_stage(view) == "train")
    replicated.kill("trainer", signal.SIGTERM)
    view = run.wait(timeout=240)
    assert view.state == "finished", view.error
    assert [version.version for version in replicated.client.model("handed").versions] == [1]


def running_stage(view: RunView) -> str | None:
    return next((stage.name for stage in view.stages if stage.state == "running" and stage.fraction), None)


def wait_until(whole: Whole, run_id: str, condition: Callable[[RunView], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition(view := when_back(whole.client.run(run_id).show)):
        assert time.monotonic() < deadline, view
        time.sleep(0.05)


def when_back(ask: Callable[[], Any], seconds: float = 30) -> Any:
    """The answer, however often the gateway or the registry has to be asked while it comes back."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except TidemillError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
