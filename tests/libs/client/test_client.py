"""The SDK against a real HTTP server: what it sends, how it follows a run, what it makes of trouble."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import tidemill
from tidemill.client import LiveRun, NotReachable, StillRunning
from tidemill.client.sse import ServerSentEvent, parse
from tidemill.contracts import RecipeError, RunProgressed
from tidemill.contracts.queries import RunView
from tidemill.errors import InvalidInput, NotFound
from tidemill.testing.gateway import ScriptedGateway, finished_view, progress, run_view


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with ScriptedGateway().running() as gateway:
        yield gateway


@pytest.fixture
def platform(gateway: ScriptedGateway) -> Iterator[tidemill.Platform]:
    with tidemill.connect(gateway.url) as platform:
        yield platform


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "影评.csv"
    path.write_text("text,label\n再见,good\n", encoding="utf-8")
    return path


def test_a_file_is_uploaded_with_its_recipe(
    gateway: ScriptedGateway, platform: tidemill.Platform, reviews: Path
) -> None:
    run = platform.publish(reviews, recipe={"data": {"text": "文本"}}, use_cache=False, promote=False)
    assert run.name == "影评"
    (sent,) = gateway.published
    assert sent["files"] == {"影评.csv": reviews.read_bytes()}
    assert json.loads(sent["recipe"]) == {"data": {"text": "文本"}}
    assert (sent["use_cache"], sent["promote"]) == ("false", "false")


def test_a_uri_travels_as_it_is_but_a_local_file_uri_is_uploaded(
    gateway: ScriptedGateway, platform: tidemill.Platform, reviews: Path
) -> None:
    platform.publish("s3://bucket/rows.parquet?version=2")
    platform.publish(reviews.as_uri(), name="b")
    assert gateway.published[0] == {"name": "rows", "uri": "s3://bucket/rows.parquet?version=2", "use_cache": True}
    assert list(gateway.published[1]["files"]) == ["影评.csv"]


def test_what_can_be_refused_here_is_not_sent(
    gateway: ScriptedGateway, platform: tidemill.Platform, reviews: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"missing\.csv: no such file"):
        platform.publish(tmp_path / "missing.csv")
    with pytest.raises(RecipeError, match="did you mean 'epochs'"):
        platform.publish(reviews, recipe={"training": {"epoch": 2}})
    with pytest.raises(InvalidInput, match="not a usable name"):
        platform.publish(reviews, name="a/b")
    assert gateway.published == []


def test_a_run_is_followed_to_its_end(gateway: ScriptedGateway, platform: tidemill.Platform, reviews: Path) -> None:
    begun = run_view(stages=[{"name": "train", "state": "running", "jobs": 1}])
    moving = progress("train", 0.5, message="epoch 1\u2028of 2")
    gateway.streams = [[("run", begun), moving, ("run", finished_view())]]
    seen: list[RunView] = []
    view = platform.publish(reviews, name="reviews").wait(progress=seen.append, timeout=20)
    assert (view.state, view.version, view.metrics["accuracy"]) == ("finished", 3, 0.93)
    train = next(stage for stage in seen[1].stages if stage.name == "train")
    assert (train.state, train.fraction, train.message) == ("running", 0.5, "epoch 1\u2028of 2")


def test_waiting_survives_a_restart_of_the_gateway(reviews: Path) -> None:
    gateway = ScriptedGateway()
    views: list[RunView] = []
    with tidemill.connect(gateway.url) as platform:
        with gateway.running():
            run = platform.publish(reviews, name="reviews")
            gateway.streams = [[("run", run_view()), progress("ingest", 0.1)]]
            waiter = threading.Thread(target=lambda: views.append(run.wait(timeout=30)), daemon=True)
            waiter.start()
            deadline = time.monotonic() + 10
            while gateway.streams and time.monotonic() < deadline:
                time.sleep(0.01)
        gateway.streams = [[("run", finished_view())]]
        with gateway.running():
            waiter.join(30)
    assert [view.state for view in views] == ["finished"]


def test_a_stream_that_breaks_off_is_opened_again(gateway: ScriptedGateway, platform: tidemill.Platform) -> None:
    gateway.streams = [[("run", run_view())], [("run", run_view()), ("run", run_view("failed", error="x"))]]
    view = platform.run("run-1").wait(timeout=20)
    assert (view.state, view.error) == ("failed", "x")


def test_a_time_limit_ends_the_wait_and_not_the_run(gateway: ScriptedGateway, platform: tidemill.Platform) -> None:
    gateway.streams = [[("run", run_view())]]
    with pytest.raises(StillRunning, match="goes on"):
        platform.run("run-1").wait(timeout=0.3)


def test_a_run_on_record_counts_as_published_though_nats_is_away(
    gateway: ScriptedGateway, platform: tidemill.Platform, reviews: Path
) -> None:
    gateway.publish_problem = (503, {"detail": "the run run-1 is on record", "run_id": "run-1"})
    assert platform.publish(reviews, name="reviews").run_id == "run-1"
    assert len(gateway.published) == 1


def test_problems_become_errors_with_the_sentence_of_the_gateway(
    gateway: ScriptedGateway, platform: tidemill.Platform, reviews: Path
) -> None:
    with pytest.raises(NotFound, match="no model 'nothing' is deployed"):
        platform.predict("nothing", ["a"])
    gateway.publish_problem = (413, {"detail": "the upload is larger than 2 GB"})
    with pytest.raises(InvalidInput, match="larger than 2 GB"):
        platform.publish(reviews)


def test_a_platform_that_is_away_says_how_to_start_it() -> None:
    with tidemill.connect(ScriptedGateway().url) as platform, pytest.raises(NotReachable, match="tidemill up"):
        platform.runs()


def test_progress_of_parallel_jobs_is_averaged_and_what_has_ended_stays_ended() -> None:
    stages = [{"name": "train", "state": "running", "jobs": 4}, {"name": "ingest", "state": "finished"}]
    live = LiveRun(RunView.model_validate(run_view(stages=stages)))
    for job, fraction in (("fold 1 of 4", 0.5), ("fold 2 of 4", 0.3)):
        live.advance(RunProgressed(run_id="run-1", stage="train", job=job, fraction=fraction))
    assert not live.advance(RunProgressed(run_id="run-1", stage="ingest", fraction=0.2))
    ingest, train = live.view.stages
    assert (ingest.name, ingest.state) == ("ingest", "finished")
    assert train.fraction == pytest.approx(0.2)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_server_sent_events_come_through_however_they_are_cut(cut: int) -> None:
    text = ': hello\r\n\r\nevent: run\r\ndata: {"a": "x\u2028y",\r\ndata: "b": 1}\r\n\r\ndata: plain\n\n'.encode()
    chunks = [text[:cut], text[cut:]]
    assert list(parse(chunks)) == [
        ServerSentEvent("", "hello"),
        ServerSentEvent("run", '{"a": "x\u2028y",\n"b": 1}'),
        ServerSentEvent("message", "plain"),
    ]


def test_importing_tidemill_loads_nothing_heavy() -> None:
    code = (
        "import tidemill, sys; print([name for name in ('pydantic', 'httpx', 'numpy', 'typer') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("url", "variables", "sent"),
    [
        ("http://127.0.0.1:1", {"TIDEMILL_INFERENCE_API_KEY": "theirs"}, "theirs"),
        (None, {"TIDEMILL_INFERENCE_API_KEY": "theirs"}, "theirs"),
        (None, {"TIDEMILL_INFERENCE_API_KEY": "theirs", "TIDEMILL_API_KEY": "mine"}, "mine"),
        ("https://ml.example.org", {"TIDEMILL_INFERENCE_API_KEY": "theirs"}, None),
        ("https://ml.example.org", {"TIDEMILL_API_KEY": "mine"}, "mine"),
    ],
)
def test_the_gateways_own_key_is_sent_to_this_machine_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str | None, variables: dict[str, str], sent: str | None
) -> None:
    for name in ("TIDEMILL_URL", "TIDEMILL_API_KEY", "TIDEMILL_INFERENCE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with tidemill.connect(url, None if url else tmp_path) as platform:
        headers = platform._gateway._connected(platform.url).headers
    assert headers.get("authorization") == (f"Bearer {sent}" if sent else None)
