"""One dataset event becomes a served model, through all six services, and what a user does around it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import nats
import numpy as np
import pytest
import tritonclient.http as triton

from tests.pipeline.conftest import TINY, Whole, reviews, write_csv
from tidemill.contracts.queries import RunView
from tidemill.errors import TidemillError
from tidemill.platform.data_dir import DataDir


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("data") / "reviews.csv", reviews())


@pytest.fixture(scope="module")
def finished(whole: Whole, dataset: Path) -> RunView:
    view = whole.client.publish(dataset, name="reviews", recipe=TINY).wait(timeout=240)
    assert view.state == "finished", view.error
    return view


def test_the_run_says_what_a_person_wants_to_know(finished: RunView) -> None:
    assert finished.version == 1
    assert finished.promoted
    assert finished.metrics["accuracy"] > 0.85  # of 48 rows
    assert finished.metrics["macro_f1"] > 0.85
    assert [stage.name for stage in finished.stages] == ["ingest", "preprocess", "train", "compress", "register"]
    assert all(stage.state == "finished" for stage in finished.stages)
    assert finished.original is not None
    assert finished.compressed is not None
    assert finished.compressed.size_bytes > 0
    assert finished.compressed.p50_ms > 0
    assert finished.usage.cpu_seconds > 0
    assert finished.usage.peak_memory_bytes > 0


def test_the_served_model_answers_in_two_languages(whole: Whole, finished: RunView) -> None:
    predictions = predict_when_served(whole, "reviews", ["great superb kettle", "糟糕 讨厌 水壶"])
    assert [one["label"] for one in predictions] == ["positive", "negative"]


def test_tritonclient_works_unchanged(whole: Whole, finished: RunView) -> None:
    predict_when_served(whole, "reviews", ["great"])
    client = triton.InferenceServerClient(whole.client.url.removeprefix("http://"))
    assert client.is_server_ready()
    assert client.is_model_ready("reviews")
    metadata = client.get_model_metadata("reviews")
    text = triton.InferInput(metadata["inputs"][0]["name"], [2], "BYTES")
    text.set_data_from_numpy(np.array(["lovely 喜欢".encode(), b"useless broken"], dtype=np.object_))
    answer = client.infer("reviews", [text])
    labels = [value.decode() for value in answer.as_numpy("label").reshape(-1)]
    assert labels == ["positive", "negative"]


def test_the_same_dataset_again_is_not_trained_again(whole: Whole, dataset: Path, finished: RunView) -> None:
    again = whole.client.publish(dataset, name="reviews", recipe=TINY).wait(timeout=60)
    assert again.state == "finished"
    assert again.version == finished.version
    assert all(stage.cached for stage in again.stages if stage.name != "register")
    assert again.usage.attempts == 0


def test_a_worse_model_does_not_take_the_champions_place(whole: Whole, tmp_path: Path, finished: RunView) -> None:
    noisy = write_csv(tmp_path / "noisy.csv", reviews(seed=2, noise=0.4))
    view = whole.client.publish(noisy, name="reviews", recipe=TINY).wait(timeout=240)
    assert view.state == "finished", view.error
    assert view.version == 2
    assert not view.promoted
    assert "champion" in view.reason
    assert whole.client.model("reviews").aliases == {"champion": 1}
    assert predict_when_served(whole, "reviews", ["great"])[0]["label"] == "positive"


async def test_any_nats_client_starts_a_run(whole: Whole, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "评论.csv", reviews(seed=3))
    assert Path(whole.document("env")["NATS_NKEY"]) == DataDir(whole.data_dir).nkey_file("operator")
    seed = DataDir(whole.data_dir).nkey_file("publisher")
    client = await nats.connect(whole.record.nats_url, nkeys_seed=str(seed), inbox_prefix="_INBOX_publisher")
    event = {"name": "评论", "uri": path.as_uri(), "recipe": TINY}
    ack = await client.jetstream().publish("tidemill.dataset.published.v1", json.dumps(event).encode())
    assert ack.stream == "EVENTS"
    await client.close()
    deadline = time.monotonic() + 20
    while not (rows := [row for row in whole.client.runs() if row.name == "评论"]):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    view = whole.client.run(rows[0].run_id).wait(timeout=240)
    assert view.state == "finished", view.error
    assert predict_when_served(whole, "评论", ["很好"])[0]["label"] == "positive"
    assert not [letter for letter in whole.client.dead_letters() if letter.run_id == view.run_id]


def test_one_trace_from_publish_to_the_first_prediction(whole: Whole, finished: RunView) -> None:
    predict_when_served(whole, "reviews", ["great"])
    deadline = time.monotonic() + 20
    wanted = {"ingest", "preprocess", "train", "compress", "registry", "inference"}
    while True:
        spans: list[dict[str, Any]] = whole.document("trace", finished.run_id)["spans"]
        services = {span["service"] for span in spans}
        names = {span["name"] for span in spans}
        if wanted <= services and any("predict" in name for name in names):
            break
        assert time.monotonic() < deadline, (services, names)
        time.sleep(0.3)
    assert len({span["trace_id"] for span in spans}) == 1
    shown = whole.cli("trace", finished.run_id).stdout
    assert "train" in shown


def test_the_cli_lists_and_shows(whole: Whole, finished: RunView) -> None:
    assert any(row["run_id"] == finished.run_id for row in whole.document("runs", "list"))
    assert whole.document("runs", "show", finished.run_id)["version"] == 1
    assert whole.document("models", "show", "reviews")["aliases"] == {"champion": 1}
    assert whole.document("predict", "reviews", "superb")["predictions"][0]["label"] == "positive"
    assert whole.cli("models", "show", "review", check=False).returncode == 1
    assert whole.cli("publish", "nowhere.csv", check=False).returncode == 1
    assert whole.cli("publish", "--nonsense", check=False).returncode == 2


def test_publish_wait_json_is_one_document(whole: Whole, dataset: Path, finished: RunView, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(TINY))
    arguments = ["publish", str(dataset), "--name", "reviews", "--recipe", str(recipe), "--wait"]
    document = whole.document(*arguments)
    assert document["state"] == "finished"
    assert document["model"] == "reviews"
    assert document["version"] == 1
    assert {"accuracy", "macro_f1"} <= document["metrics"].keys()
    for side in ("original", "compressed"):
        assert {"size_bytes", "p50_ms", "throughput", "metrics"} <= document[side].keys()
    assert [stage["cached"] for stage in document["stages"]][:4] == [True] * 4
    body = json.dumps({"instances": ["awful"]}).encode()
    request = urllib.request.Request(document["endpoint"], data=body, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["predictions"][0]["label"] == "negative"


def test_the_registry_is_made_again_from_the_bucket_alone(whole: Whole, finished: RunView) -> None:
    before = whole.client.run(finished.run_id).show()
    models = whole.client.model("reviews")
    whole.cli("registry", "rebuild")
    deadline = time.monotonic() + 20
    while True:
        try:
            assert whole.client.run(finished.run_id).show() == before
            assert whole.client.model("reviews") == models
        except Exception:
            assert time.monotonic() < deadline
            time.sleep(0.3)
        else:
            break


def predict_when_served(whole: Whole, name: str, texts: list[str], seconds: float = 20) -> list[dict[str, Any]]:
    """The predictions, as soon as the gateway has loaded the model."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer: dict[str, Any] = whole.client.predict(name, texts)
        except TidemillError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            predictions: list[dict[str, Any]] = answer["predictions"]
            return predictions
