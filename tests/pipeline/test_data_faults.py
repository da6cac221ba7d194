"""Preparation under faults: killed replicas, killed children, pieces that are damaged. The dataset is the same."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.pipeline.conftest import Whole, start, stop
from tests.pipeline.tables import PEOPLE, cleaned, finished, in_one_job, names, people, prepare, with_data
from tidemill.client.run import Run
from tidemill.contracts import ArtifactRef
from tidemill.records import open_records
from tidemill.records.schema import AttemptRecord, ResultRecord

SHARDED = with_data(PEOPLE, shard_rows=1000, missing={"columns": {"age": "median"}})


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    running = start(tmp_path_factory.mktemp("platform"), "--replicas", "preprocess=2")
    yield running
    stop(running)


def test_a_replica_that_is_killed_between_shards_costs_its_job_alone(platform: Whole, tmp_path: Path) -> None:
    run = platform.client.publish(people(tmp_path / "people.csv", 1800), name="survivor", recipe=SHARDED)
    until_finished(platform, run, jobs=2)
    platform.kill("preprocess-1")
    view = finished(run.wait(timeout=120))
    done = Counter(one.fingerprint for one in attempts(platform, run.run_id) if one.kind == "finished")
    assert len(done) == 1 + 2 + 1 + 2 + 1 + 1
    assert set(done.values()) == {1}
    assert platform.prepared(view.run_id).dataset.digest == in_one_job(platform, view.run_id, tmp_path)
    assert not [letter for letter in platform.client.dead_letters() if letter.run_id == run.run_id]


@pytest.mark.full
def test_a_child_that_is_killed_goes_on_behind_its_last_step(platform: Whole, tmp_path: Path) -> None:
    recipe = PEOPLE | {"privacy": {"detect": "structural"}}
    source = people(tmp_path / "many.csv", 120_000)
    run = platform.client.publish(source, name="stepwise", recipe=recipe)
    until_kept(platform, run.run_id, steps=1)
    assert len(kill_children(platform)) == 1
    view = finished(run.wait(timeout=120))
    assert [one.kind for one in attempts(platform, run.run_id)].count("crash") == 1
    assert platform.prepared(view.run_id).dataset.digest == in_one_job(platform, view.run_id, tmp_path)
    worked = names(platform, view)
    assert "clean" not in worked, "a killed process leaves no spans, and the next began behind it"
    assert "deidentify" in worked


def test_a_piece_of_an_earlier_round_that_is_damaged_is_made_again(platform: Whole, tmp_path: Path) -> None:
    source = people(tmp_path / "people.csv", 1500, seed=3)
    first = prepare(platform, source, "damaged", SHARDED)
    damage(platform, rows_of_a_shard(platform, first.run_id))
    again = prepare(platform, source, "damaged", with_data(SHARDED, features={"scale": "standard"}))
    assert len(cleaned(platform, again)) == 1
    assert platform.prepared(again.run_id).dataset.digest == in_one_job(platform, again.run_id, tmp_path)


def attempts(whole: Whole, run_id: str) -> list[AttemptRecord]:
    """The tries of the run's preprocess jobs."""
    found = asyncio.run(open_records(whole.record.store_url).run_attempts("default", run_id))
    return [one for one in found if one.stage == "preprocess"]


def until_finished(whole: Whole, run: Run, *, jobs: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while sum(one.kind == "finished" for one in attempts(whole, run.run_id)) < jobs:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def until_kept(whole: Whole, run_id: str, *, steps: int, seconds: float = 60) -> None:
    """Wait for the outcomes of steps of a run to be kept."""
    deadline = time.monotonic() + seconds
    while len(kept := [one for one in results(whole) if one.run_id == run_id and "step" in one.artifacts]) < steps:
        assert time.monotonic() < deadline, kept
        time.sleep(0.02)


def results(whole: Whole) -> list[ResultRecord]:
    folder = whole.data_dir / "store" / "records" / "default" / "results"
    return [ResultRecord.model_validate_json(path.read_bytes()) for path in folder.glob("*.json")]


def rows_of_a_shard(whole: Whole, run_id: str) -> ArtifactRef:
    return next(one.artifacts["rows"] for one in results(whole) if one.run_id == run_id and "rows" in one.artifacts)


def damage(whole: Whole, artifact: ArtifactRef) -> None:
    """Overwrite the artifact's bytes where they lie."""
    artifacts = whole.data_dir / "store" / "artifacts"
    manifest = (artifacts / "manifests" / f"{artifact.digest.removeprefix('sha256:')}.json").read_text()
    spoiled = 0
    for path in artifacts.rglob("*"):
        if path.is_file() and path.parent.name != "manifests" and path.name in manifest:
            path.write_bytes(bytes(path.stat().st_size))
            spoiled += 1
    assert spoiled
    for path in (whole.data_dir / "cache" / "objects").rglob("*"):
        if path.is_file() and path.name in manifest:
            path.unlink()


def kill_children(whole: Whole) -> list[int]:
    """Kill the processes in which the preprocess replicas have their jobs done; their numbers."""
    killed = []
    for process in whole.record.processes:
        if process.name.startswith("preprocess") and process.identity is not None:
            for forkserver in psutil.Process(process.identity.pid).children():
                for child in forkserver.children():
                    os.kill(child.pid, signal.SIGKILL)
                    killed.append(child.pid)
    return killed
