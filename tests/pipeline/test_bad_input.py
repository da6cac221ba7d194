"""What bad input gets: a failed run with words for a person, a dead letter, and an unharmed platform."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.conftest import TINY, Whole, reviews, write_csv
from tidemill.contracts import RecipeError


def _write(content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "data.csv"
        path.write_bytes(content)
        return path

    return write


def _one_class(folder: Path) -> Path:
    return write_csv(folder / "data.csv", [(text, "same") for text, _ in reviews(40)])


def _class_with_one_row(folder: Path) -> Path:
    return write_csv(folder / "data.csv", [*reviews(40), ("the only one", "孤独")])


def _huge_cell(folder: Path) -> Path:
    return write_csv(folder / "data.csv", [*reviews(20), ("x" * 20_000_000, "positive")])


def _missing_column(folder: Path) -> Path:
    return write_csv(folder / "data.csv", reviews(40), header=("text", "lable"))


CASES: list[tuple[Callable[[Path], Path], dict[str, Any], str]] = [
    (_write(b""), {}, "empty"),
    (_write(b"text,label\n"), {}, "row"),
    (_write(bytes(range(256)) * 50), {}, "data.csv"),
    (_write(b"text,label\nok,a\nbad \xff\xfe here,b\n" * 30), {"data": {"encoding": "utf-8"}}, "line"),
    (_write(b"text,label\n" + b"good text,a\nother text,b\n" * 20 + b"a,b,c,d\n"), {}, "fields"),
    (_missing_column, {"data": {"label": "label"}}, "lable"),
    (_one_class, {}, "same"),
    (_class_with_one_row, {}, "孤独"),
    (_huge_cell, {}, "row"),
]


@pytest.mark.parametrize(("make", "recipe", "word"), CASES)
def test_a_bad_dataset_fails_its_run_with_words(
    whole: Whole, tmp_path: Path, make: Callable[[Path], Path], recipe: dict[str, Any], word: str
) -> None:
    view = whole.client.publish(make(tmp_path), name="bad", recipe=TINY | recipe).wait(timeout=60)
    assert view.state == "failed"
    assert view.error is not None
    assert word in view.error
    assert "Traceback" not in view.error
    assert any(letter.run_id == view.run_id for letter in whole.client.dead_letters())


def test_an_unknown_base_model_fails_in_training(whole: Whole, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", reviews(60))
    view = whole.client.publish(path, name="bad", recipe={"model": {"base": str(tmp_path / "nowhere")}}).wait(
        timeout=60
    )
    assert view.state == "failed"
    assert view.error_stage == "train"
    assert "nowhere" in (view.error or "")


def test_a_recipe_with_a_wrong_key_is_refused_before_anything_starts(whole: Whole, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", reviews(20))
    with pytest.raises(RecipeError, match="did you mean 'epochs'"):
        whole.client.publish(path, name="bad", recipe={"training": {"epoch": 3}})


@pytest.mark.parametrize(
    "uri", ["/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:9/x.csv", "http://169.254.169.254/latest/meta-data"]
)
def test_what_came_in_over_http_reads_no_local_path_and_no_private_address(whole: Whole, uri: str) -> None:
    status, problem = post(whole, "/v1/datasets", {"name": "bad", "uri": uri})
    if status == 202:
        view = whole.client.run(problem["run_id"]).wait(timeout=60)
        assert view.state == "failed"
        problem = {"detail": view.error}
    else:
        assert 400 <= status < 500
    assert "root:" not in json.dumps(problem)


def test_requests_that_make_no_sense_get_problem_documents(whole: Whole) -> None:
    for path, body, statuses in [
        ("/v1/models/nobody:predict", {"instances": ["x"]}, {404}),
        ("/v1/datasets", {"uri": "/x"}, {400, 422}),
        ("/v1/datasets", {"name": "../up", "uri": "http://example.org/x.csv"}, {400, 422}),
        ("/v1/nothing", {}, {404, 405}),
    ]:
        status, problem = post(whole, path, body)
        assert status in statuses, (path, status, problem)
        assert problem["status"] == status
        assert problem["detail"]


def test_a_huge_request_body_is_refused(whole: Whole) -> None:
    status, problem = post(whole, "/v1/models/nobody:predict", {"instances": ["x" * 100_000_000]})
    assert status == 413, problem


def test_the_platform_is_unharmed(whole: Whole, tmp_path: Path) -> None:
    restarts = {process.name: process.restarts for process in whole.record.processes}
    view = whole.client.publish(write_csv(tmp_path / "good.csv", reviews()), name="good", recipe=TINY).wait(timeout=240)
    assert view.state == "finished", view.error
    assert set(restarts.values()) == {0}


def post(whole: Whole, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    request = urllib.request.Request(
        whole.client.url + path, data=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    for _ in range(3):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)
        except (urllib.error.URLError, ConnectionError):
            # a server that refuses a body may close the connection while it is still being sent
            time.sleep(0.2)
    return 413, {"detail": "connection closed"}
