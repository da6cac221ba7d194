"""``tidemill datasets versions`` and ``report``, and what is said of a run that ends with its prepared dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.libs.cli.test_commands import Command, gateway, reviews, tidemill
from tidemill.testing.gateway import ScriptedGateway, run_view

__all__ = ["gateway", "reviews", "tidemill"]

PREPARED = run_view(
    "finished", seconds=4.0, rows=1200, reason="prepared 1,200 rows; nothing is trained (until: prepared)",
    stages=[{"name": name, "state": "finished", "seconds": 2.0, "jobs": 1} for name in ("ingest", "preprocess")],
)  # fmt: skip


def test_versions_say_where_they_come_from(gateway: ScriptedGateway, tidemill: Command) -> None:
    shown = tidemill("datasets", "versions", "评论", "--url", gateway.url)
    assert shown.code == 0
    for said in ("1,200", "https://data.org/1.csv", "CC-BY-4.0", "统计局", "an upload, appended", "not taken in"):
        assert said in shown.out, said
    assert "tidemill datasets report run-2" in shown.out
    document = tidemill("datasets", "versions", "评论", "--url", gateway.url, "--json").document
    assert [(one["version"], one["append"]) for one in document] == [(2, True), (1, False)]


def test_a_dataset_without_versions_is_a_sentence(gateway: ScriptedGateway, tidemill: Command) -> None:
    done = tidemill("datasets", "versions", "nobody", "--url", gateway.url)
    assert (done.code, "'nobody' has no version" in done.err) == (1, True)


def test_the_report_is_saved_where_it_is_wanted(gateway: ScriptedGateway, tidemill: Command, tmp_path: Path) -> None:
    page = tmp_path / "报告.html"
    document = tidemill("datasets", "report", "run-1", "--save", str(page), "--url", gateway.url, "--json").document
    assert document == {"run_id": "run-1", "file": str(page)}
    assert page.read_text(encoding="utf-8") == "<!doctype html><title>数据</title>"


@pytest.mark.parametrize(
    ("run", "file", "sentence"), [("run-9", "a.html", "no data report"), ("run-1", "no/a.html", "no/a.html")]
)
def test_a_report_that_cannot_be_saved_says_why(
    gateway: ScriptedGateway, tidemill: Command, tmp_path: Path, run: str, file: str, sentence: str
) -> None:
    done = tidemill("datasets", "report", run, "--save", str(tmp_path / file), "--url", gateway.url)
    assert done.code == 1
    assert sentence in done.err


def test_a_run_that_ends_prepared_names_its_report_and_no_endpoint(
    gateway: ScriptedGateway, tidemill: Command, reviews: str
) -> None:
    arguments = ["publish", reviews, "--set", "until=prepared", "--wait", "--url", gateway.url]
    gateway.streams = [[("run", run_view()), ("run", PREPARED)]]
    done = tidemill(*arguments)
    assert done.code == 0
    assert "nothing is trained" in done.out
    assert "tidemill datasets report run-1" in done.out
    assert "curl" not in done.out
    gateway.streams = [[("run", run_view()), ("run", PREPARED)]]
    document = tidemill(*arguments, "--json").document
    assert (document["state"], document["dataset"], document["rows"]) == ("finished", "reviews", 1200)
    assert (document["model"], document["version"], document["endpoint"]) == (None, None, None)


def test_a_run_that_will_end_prepared_promises_no_endpoint(
    gateway: ScriptedGateway, tidemill: Command, reviews: str
) -> None:
    document = tidemill("publish", reviews, "--set", "until=prepared", "--url", gateway.url, "--json").document
    assert (document["dataset"], document["model"], document["endpoint"]) == ("reviews", None, None)
