"""Data as a user meets it: datasets that are taken in, prepared, versioned, appended to and refused by their runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.pipeline.conftest import TINY, Whole, reviews, start, stop, write_csv
from tests.pipeline.tables import (
    PEOPLE,
    PREPARED,
    cleaned,
    in_one_job,
    names,
    people,
    prepare,
    prepared_rows,
    report_of,
    with_data,
)
from tidemill.contracts.queries import RunView
from tidemill.datasets import read_part
from tidemill.errors import NotFound


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    running = start(tmp_path_factory.mktemp("platform"), "--replicas", "preprocess=2")
    yield running
    stop(running)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return people(tmp_path_factory.mktemp("people") / "people.csv", 400)


@pytest.fixture(scope="module")
def until_prepared(platform: Whole, table: Path) -> RunView:
    return prepare(platform, table, "people")


def test_what_stood_for_nothing_is_missing_and_spaces_are_gone(
    platform: Whole, until_prepared: RunView, tmp_path: Path
) -> None:
    rows = prepared_rows(platform, until_prepared.run_id, tmp_path)
    assert len(rows) == 400
    assert {row["job"] for row in rows} == {"nurse", "smith", "clerk", None}
    assert {row["income"] for row in rows} == {"high", "low"}
    assert all(row["age"] is None or 18 <= row["age"] <= 80 for row in rows)
    assert 10 < sum(row["age"] is None for row in rows) < 80
    repairs = {(one["column"], one["says"]) for one in report_of(platform, until_prepared.run_id)["intake"]["repairs"]}
    assert ("age", "'?' says that there is no value") in repairs
    assert ("job", "white space around the value") in repairs


def test_it_has_two_stages_and_no_model(platform: Whole, until_prepared: RunView) -> None:
    assert [stage.name for stage in until_prepared.stages if stage.state == "finished"] == ["ingest", "preprocess"]
    assert (until_prepared.model, until_prepared.version, until_prepared.promoted) == (None, None, False)
    assert until_prepared.rows == 400
    assert "400 rows" in until_prepared.reason
    with pytest.raises(NotFound):
        platform.client.model("people")


def test_the_commands_speak_of_a_dataset(platform: Whole, until_prepared: RunView, tmp_path: Path) -> None:
    shown = platform.cli("runs", "show", until_prepared.run_id).stdout
    assert "400 rows" in shown
    assert f"tidemill datasets report {until_prepared.run_id}" in shown
    assert "call" not in shown
    assert platform.document("runs", "show", until_prepared.run_id)["endpoint"] is None
    assert re.search(r"people .* dataset", platform.cli("runs", "list").stdout)
    (row,) = [one for one in platform.document("datasets", "list") if one["name"] == "people"]
    assert (row["versions"], row["rows"], row["task"]) == (1, 400, "tabular-classification")
    page = tmp_path / "report.html"
    platform.cli("datasets", "report", until_prepared.run_id, "--save", str(page))
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "http" not in re.sub(r"xmlns=\S+", "", page.read_text(encoding="utf-8"))


def test_publish_and_wait_ends_well(platform: Whole, table: Path, until_prepared: RunView, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(PEOPLE))
    arguments = ["publish", str(table), "--name", "people", "--recipe", str(recipe), "--wait"]
    document = platform.document(*arguments)
    assert (document["state"], document["dataset"], document["rows"]) == ("finished", "people", 400)
    assert (document["model"], document["version"], document["endpoint"]) == (None, None, None)
    assert all(stage["cached"] for stage in document["stages"])
    said = platform.cli(*arguments).stdout
    assert "nothing is trained" in said
    assert "curl" not in said


def test_a_task_that_is_not_trained_says_what_to_write(platform: Whole, table: Path) -> None:
    recipe = {key: value for key, value in PEOPLE.items() if key != "until"}
    view = platform.client.publish(table, name="untrained", recipe=recipe).wait(timeout=60)
    assert (view.state, view.error_stage) == ("failed", "ingest")
    assert "set until: prepared" in (view.error or "")


def test_a_folder_of_images_in_an_archive(platform: Whole, tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    archive = tmp_path / "flowers.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for label in ("rose", "菊花"):
            for number in range(20):
                picture = tmp_path / "picture.png"
                Image.fromarray(chance.integers(0, 255, (12, 12, 3), np.uint8)).save(picture)
                file.write(picture, f"flowers/{label}/{number}.png")
        file.writestr("flowers/rose/broken.png", b"\x89PNG and nothing else")
    recipe = PREPARED | {"data": {"on_bad_row": "quarantine"}}
    view = prepare(platform, archive, "flowers", recipe)
    event = platform.prepared(view.run_id)
    assert (event.task, event.labels, sum(event.parts.values())) == ("image-classification", ["rose", "菊花"], 40)
    assert platform.ingested(view.run_id).quarantine is not None
    rows = prepared_rows(platform, view.run_id, tmp_path)
    assert all(isinstance(row["image"], bytes) and row["image"].startswith(b"\x89PNG") for row in rows)


@pytest.fixture(scope="module")
def versions_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("versions")


@pytest.fixture(scope="module")
def first_version(platform: Whole, versions_folder: Path) -> RunView:
    source = people(versions_folder / "first.csv", 300)
    return prepare(platform, source, "census", licence="CC-BY-4.0", owner="统计局")


@pytest.fixture(scope="module")
def second_version(platform: Whole, versions_folder: Path, first_version: RunView) -> RunView:
    return prepare(platform, people(versions_folder / "second.csv", 300, seed=2, oldest=55), "census")


def test_licence_and_owner_are_shown(platform: Whole, first_version: RunView) -> None:
    (version,) = platform.client.dataset_versions("census")
    assert (version.version, version.rows, version.run_id) == (1, 300, first_version.run_id)
    assert (version.licence, version.owner) == ("CC-BY-4.0", "统计局")
    shown = platform.cli("datasets", "versions", "census").stdout
    assert "CC-BY-4.0" in shown
    assert "统计局" in shown


def test_the_same_again_is_the_same_version(platform: Whole, versions_folder: Path, first_version: RunView) -> None:
    again = prepare(platform, versions_folder / "first.csv", "census")
    assert all(stage.cached for stage in again.stages if stage.name in ("ingest", "preprocess"))
    assert again.usage.attempts == 0
    assert [one.version for one in platform.client.dataset_versions("census")] == [1]
    assert platform.ingested(again.run_id).version == 1


def test_other_data_is_the_next_version_and_its_report_says_what_moved(
    platform: Whole, second_version: RunView, tmp_path: Path
) -> None:
    assert platform.client.dataset_versions("census")[0].version == 2
    drift = report_of(platform, second_version.run_id)["intake"]["drift"]
    moved = {column["column"]: column["level"] for column in drift["columns"]}
    assert moved["age"] == "large"
    assert moved["city"] == "none"
    assert drift["labels"]["level"] == "large"
    page = platform.client.data_report(second_version.run_id)
    assert "Against the version before" in page


def test_rows_appended_twice_at_once_are_all_there_in_the_order_of_versions(
    platform: Whole, versions_folder: Path, second_version: RunView, tmp_path: Path
) -> None:
    added = {name: people(versions_folder / f"{name}.csv", rows, seed=rows) for name, rows in (("b", 40), ("c", 60))}
    recipe = versions_folder / "recipe.json"
    recipe.write_text(json.dumps(PEOPLE))
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tidemill.cli", "publish", str(path), "--name", "census", "--append",
             "--recipe", str(recipe), "--wait", "--json"],
            env=platform.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for path in added.values()
    ]  # fmt: skip
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err
    versions = {one.version: one for one in platform.client.dataset_versions("census")}
    assert sorted(versions) == [1, 2, 3, 4]
    assert [versions[number].append for number in (1, 2, 3, 4)] == [False, False, True, True]
    assert versions[4].rows == 300 + 40 + 60
    sizes = [300, (versions[3].rows or 0) - 300, (versions[4].rows or 0) - (versions[3].rows or 0)]
    expected: list[int] = []
    for size in sizes:
        expected += range(size)
    whole = platform.artifact(platform.ingested(versions[4].run_id).dataset, tmp_path)
    assert [int(row) for row in read_part(whole, "data")["number"].to_pylist()] == expected


def test_rows_with_other_columns_cannot_be_appended(
    platform: Whole, versions_folder: Path, second_version: RunView
) -> None:
    path = versions_folder / "other.csv"
    path.write_text("number,age,job,town,income\n1,33,nurse,Bonn,low\n2,55,smith,Bonn,high\n")
    view = platform.client.publish(path, name="census", recipe=PEOPLE, append=True).wait(timeout=60)
    assert (view.state, view.error_stage) == ("failed", "ingest")
    assert "'city'" in (view.error or "")
    assert "'town'" in (view.error or "")
    assert "publish without append" in (view.error or "")


def test_a_licence_that_is_not_allowed_fails_the_run(platform: Whole, versions_folder: Path) -> None:
    recipe = with_data(PEOPLE, allowed_licences=["CC0-1.0"])
    path = people(versions_folder / "licensed.csv", 50, seed=9)
    view = platform.client.publish(path, name="licensed", recipe=recipe, licence="CC-BY-NC-4.0").wait(timeout=60)
    assert (view.state, view.error_stage) == ("failed", "ingest")
    assert "CC-BY-NC-4.0" in (view.error or "")
    assert "CC0-1.0" in (view.error or "")


@pytest.fixture(scope="module")
def bad_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = people(tmp_path_factory.mktemp("bad") / "bad.csv", 100)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[50] = "49, 33, nurse"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_the_error_names_the_line(platform: Whole, bad_table: Path) -> None:
    view = platform.client.publish(bad_table, name="bad", recipe=PEOPLE).wait(timeout=60)
    assert (view.state, view.error_stage) == ("failed", "ingest")
    assert "line 51" in (view.error or "")
    assert "data.on_bad_row: quarantine" in (view.error or "")


def test_quarantine_puts_them_aside(platform: Whole, bad_table: Path, tmp_path: Path) -> None:
    view = prepare(platform, bad_table, "bad", with_data(PEOPLE, on_bad_row="quarantine"))
    event = platform.ingested(view.run_id)
    assert event.rows == 99
    assert event.quarantine is not None
    assert view.bad_rows == event.bad_rows > 0
    shown = platform.cli("runs", "show", view.run_id).stdout
    assert f"{view.bad_rows} row" in shown
    assert f"tidemill datasets fetch {view.run_id} --what quarantine" in shown.replace("\n", " ")
    (row,) = pq.read_table(platform.artifact(event.quarantine, tmp_path) / "rows.parquet").to_pylist()
    assert (row["row"], row["content"]) == (50, "49, 33, nurse")
    newest = platform.client.dataset_versions("bad")[0]
    assert (newest.version, newest.rows, newest.quarantined) == (2, 99, True)


@pytest.mark.parametrize("again", [False, True], ids=["prepared now", "from the cache"])
def test_nothing_is_trained_and_the_report_says_why(
    platform: Whole, tmp_path_factory: pytest.TempPathFactory, again: bool
) -> None:
    path = write_csv(tmp_path_factory.mktemp("gate") / "reviews.csv", reviews(60))
    recipe = with_data(TINY, quality={"min_rows": 1000})
    view = platform.client.publish(path, name="gate", recipe=recipe).wait(timeout=90)
    assert (view.state, view.error_stage) == ("failed", "preprocess")
    assert "60 rows are left; at least 1,000 are wanted" in (view.error or "")
    assert f"tidemill datasets report {view.run_id}" in (view.error or "")
    assert [stage.name for stage in view.stages if stage.state == "finished"] == ["ingest"]
    assert not platform.jobs(view.run_id, "train")
    assert bool(platform.jobs(view.run_id, "preprocess")) is not again
    (broken,) = report_of(platform, view.run_id)["gate"]
    assert (broken["rule"], broken["kept"]) == ("min_rows", False)
    assert "at least 1,000 are wanted" in platform.client.data_report(view.run_id)


def test_a_run_without_a_report_says_so(platform: Whole) -> None:
    with pytest.raises(NotFound, match="there is no run"):
        platform.client.data_report("run-nobody")
    failed = next(row for row in platform.client.runs(state="failed") if row.stage == "ingest")
    with pytest.raises(NotFound, match="no data report"):
        platform.client.data_report(failed.run_id)


SHARDED = with_data(PEOPLE, shard_rows=1000, missing={"columns": {"age": "median"}})


@pytest.fixture(scope="module")
def shards_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture(scope="module")
def sharded(platform: Whole, shards_folder: Path) -> RunView:
    return prepare(platform, people(shards_folder / "people.csv", 3500), "sharded", SHARDED)


def test_both_replicas_work_and_the_dataset_is_that_of_one_job(
    platform: Whole, sharded: RunView, tmp_path: Path
) -> None:
    jobs = platform.jobs(sharded.run_id, "preprocess")
    titles = [one["name"].removeprefix("preprocess ") for one in jobs]
    shards = [f"data/{number:05d}.parquet" for number in range(4)]
    both = [f"{what} {shard}" for what in ("clean", "write") for shard in shards]
    assert sorted(titles) == sorted(["shards", "decide", "put together", "report", *both])
    assert len({one["instance"] for one in jobs}) == 2
    assert in_one_job(platform, sharded.run_id, tmp_path) == platform.prepared(sharded.run_id).dataset.digest


def test_of_appended_rows_only_the_new_shard_is_cleaned(platform: Whole, shards_folder: Path, sharded: RunView) -> None:
    more = people(shards_folder / "more.csv", 500, seed=5)
    view = prepare(platform, more, "sharded", SHARDED, append=True)
    assert view.rows == 4000
    assert cleaned(platform, view) == ["data/00004.parquet"]


def test_features_that_change_clean_and_key_nothing_again(
    platform: Whole, shards_folder: Path, sharded: RunView
) -> None:
    recipe = with_data(SHARDED, features={"scale": "standard"})
    view = prepare(platform, shards_folder / "people.csv", "scaled", recipe)
    assert cleaned(platform, view) == []
    assert platform.jobs(view.run_id, "preprocess")[0]["name"] == "preprocess decide"


def test_features_that_change_repeat_no_step_of_one_job(platform: Whole, tmp_path: Path) -> None:
    source = people(tmp_path / "people.csv", 200, seed=8)
    before = prepare(platform, source, "stepwise")
    after = prepare(platform, source, "stepwise", with_data(PEOPLE, features={"scale": "minmax"}))
    steps = ["clean and key", "deduplicate", "split"]
    assert [one for one in names(platform, before) if one in steps] == steps
    assert [one for one in names(platform, after) if one in steps] == []
    assert {"decide", "apply", "assemble"} <= set(names(platform, after))
