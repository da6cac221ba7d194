"""Predictions at the door: raw text and tensors, and what bad requests get."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

TEXTS = ["a great film, love it", "awful, just bad", "这部电影很好，很棒", "太差了，糟糕"]
LABELS = ["positive", "negative", "positive", "negative"]


@pytest.fixture(scope="module")
async def url(platform: Any, serving: Any, deployed: Any) -> AsyncIterator[str]:
    await platform.deploy("reviews", deployed(3, await platform.package()))
    await platform.deploy("评论", deployed(1, await platform.package(("好评", "差评"), format="openvino")))
    context = serving(platform.settings(max_instances=64, predict_bytes=1 << 20))
    yield await asyncio.to_thread(context.__enter__)
    await asyncio.to_thread(context.__exit__, None, None, None)


@pytest.fixture(scope="module")
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        yield client


@pytest.fixture
def client(url: str) -> triton.InferenceServerClient:
    return triton.InferenceServerClient(url.removeprefix("http://"))


async def test_raw_text_in_labels_out(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/models/reviews:predict", json={"instances": [*TEXTS, {"text": "hate"}]})
    body = answer.json()
    assert answer.status_code == 200
    assert [one["label"] for one in body["predictions"]] == [*LABELS, "negative"]
    assert (body["model"], body["version"]) == ("reviews", 3)
    assert "scores" not in body["predictions"][0]
    scored = (await http.post("/v1/models/reviews:predict", json={"instances": ["great"], "scores": True})).json()
    assert sum(scored["predictions"][0]["scores"].values()) == pytest.approx(1)


async def test_an_openvino_model_under_a_chinese_name(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/models/评论:predict", json={"instances": TEXTS})
    assert [one["label"] for one in answer.json()["predictions"]] == ["好评", "差评", "好评", "差评"]


async def test_many_rows_come_back_in_their_order(http: httpx.AsyncClient) -> None:
    texts = [("bad " if i % 3 else "good ") * (1 + i * 7 % 50) for i in range(64)]
    answer = await http.post("/v1/models/reviews:predict", json={"instances": texts})
    assert [one["label"] for one in answer.json()["predictions"]] == [
        "negative" if i % 3 else "positive" for i in range(64)
    ]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v1/models/nobody:predict", '{"instances":["x"]}', 404, "reviews"),
        ("/v1/models/reviews:predict", '{"instances":["x", 3]}', 422, "instances[1]"),
        ("/v1/models/reviews:predict", '{"instances":[{"body":"x"}]}', 422, "instances[0]"),
        ("/v1/models/reviews:predict", '{"instances":[]}', 422, "instances"),
        ("/v1/models/reviews:predict", '{"instances":"x"}', 422, "instances"),
        ("/v1/models/reviews:predict", '{"instance":["x"]}', 400, "instance"),
        ("/v1/models/reviews:predict", '{"instances":["x"', 400, "JSON"),
        ("/v1/models/reviews:predict", b'{"instances":["\xff"]}', 400, "JSON"),
        ("/v1/models/reviews:predict", "", 400, "JSON"),
        ("/v1/models/reviews:predict", json.dumps({"instances": ["x"] * 65}), 413, "64"),
        ("/v1/models/reviews:predict", '{"instances":' + "[" * 200_000, 400, "nested too deeply"),
        ("/v2/models/reviews/infer", '{"inputs":[],"parameters":{"a":' + "[" * 200_000, 400, "nested too deeply"),
        ("/v1/nothing", "{}", 404, "/docs"),
        ("/v2/models/reviews/versions/" + "9" * 5000 + "/infer", "{}", 404, "/docs"),
        ("/v2/models/reviews/versions/9/infer", "{}", 404, "3"),
    ],
)
async def test_bad_requests_get_a_problem(
    http: httpx.AsyncClient, path: str, body: str | bytes, status: int, said: str
) -> None:
    answer = await http.post(path, content=body)
    problem = answer.json()
    assert answer.status_code == problem["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in problem["detail"]
    assert set(problem) >= {"type", "title", "instance"}


async def test_a_wrong_method_is_405(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/models/reviews:predict")
    assert (answer.status_code, answer.json()["status"]) == (405, 405)


async def test_a_100_mb_body_is_refused_while_it_streams(http: httpx.AsyncClient, url: str) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1600):
            sent += 1 << 16
            yield b"x" * (1 << 16)

    answer = await http.post("/v1/models/reviews:predict", content=endless())
    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    declared = await http.post("/v1/models/reviews:predict", content=b"x" * (2 << 20))
    assert declared.status_code == 413
    bomb = gzip.compress(b" " * (8 << 20))
    answer = await http.post("/v1/models/reviews:predict", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413


async def test_the_triton_client_works_unchanged(client: triton.InferenceServerClient) -> None:
    def ask() -> None:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("reviews")
        assert client.is_model_ready("reviews", "3")
        assert not client.is_model_ready("reviews", "4")
        assert not client.is_model_ready("nobody")
        assert client.get_server_metadata()["name"] == "tidemill"
        metadata = client.get_model_metadata("reviews")
        assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
        assert metadata["versions"] == ["3"]
        texts = triton.InferInput("text", [len(TEXTS)], "BYTES")
        for binary in (True, False):
            texts.set_data_from_numpy(np.array([t.encode() for t in TEXTS], dtype=np.object_), binary_data=binary)
            result = client.infer("reviews", [texts], request_id="17")
            assert [one.decode() for one in result.as_numpy("label")] == LABELS
            assert result.as_numpy("scores").shape == (4, 2)
            np.testing.assert_allclose(result.as_numpy("scores").max(axis=1), result.as_numpy("score"))
            assert result.get_response()["id"] == "17"
            asked = [
                triton.InferRequestedOutput("label", binary_data=False),
                triton.InferRequestedOutput("logits", binary_data=True),
            ]
            for encoding in (None, "gzip", "deflate"):
                result = client.infer(
                    "reviews", [texts], "3", asked,
                    request_compression_algorithm=encoding, response_compression_algorithm=encoding,
                )  # fmt: skip
                assert list(result.as_numpy("label")) == LABELS
                assert result.as_numpy("logits").dtype == np.float32
                assert [one["name"] for one in result.get_response()["outputs"]] == ["label", "logits"]

    await asyncio.to_thread(ask)


async def test_large_answers_are_compressed_when_asked(client: triton.InferenceServerClient) -> None:
    def ask() -> None:
        texts = triton.InferInput("text", [64, 1], "BYTES")
        texts.set_data_from_numpy(np.array([[b"good"]] * 64, dtype=np.object_))
        asked = [triton.InferRequestedOutput(n, binary_data=False) for n in ("label", "scores", "logits")]
        for encoding in ("gzip", "deflate"):
            result = client.infer("reviews", [texts], outputs=asked, response_compression_algorithm=encoding)
            assert result.as_numpy("logits").shape == (64, 2)

    await asyncio.to_thread(ask)


async def test_tensors_that_do_not_fit_are_named(client: triton.InferenceServerClient, http: httpx.AsyncClient) -> None:
    def ask() -> None:
        numbers = triton.InferInput("text", [1], "INT64")
        numbers.set_data_from_numpy(np.array([1], dtype=np.int64))
        with pytest.raises(InferenceServerException, match="BYTES"):
            client.infer("reviews", [numbers])
        other = triton.InferInput("words", [1], "BYTES")
        other.set_data_from_numpy(np.array([b"x"], dtype=np.object_))
        with pytest.raises(InferenceServerException, match="words"):
            client.infer("reviews", [other])
        text = triton.InferInput("text", [1], "BYTES")
        text.set_data_from_numpy(np.array([b"\xff\xfe"], dtype=np.object_))
        with pytest.raises(InferenceServerException, match="UTF-8"):
            client.infer("reviews", [text])

    await asyncio.to_thread(ask)
    for tensor, said in (
        ({"shape": [2], "data": ["x"]}, "1 elements"),
        ({"shape": [1]}, "binary_data_size"),
        ({"shape": [1], "data": [1]}, "data[0]"),
        ({"shape": [1], "parameters": {"binary_data_size": 7}}, "0 bytes"),
    ):
        body = {"inputs": [{"name": "text", "datatype": "BYTES", **tensor}]}
        answer = await http.post("/v2/models/reviews/infer", json=body)
        assert answer.status_code in (400, 422)
        assert said in answer.json()["error"]


@pytest.mark.parametrize("length", ["9" * 5000, "3", "-1", "x", "²"])
async def test_a_header_length_that_is_none_is_refused(http: httpx.AsyncClient, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length.encode("latin-1")}
    answer = await http.post("/v2/models/reviews/infer", content=b"{}", headers=headers)
    assert answer.status_code == 400
    assert "must be a length within the 2 byte body" in answer.json()["error"]
    assert len(answer.content) < 1000


async def test_metrics_and_documentation(http: httpx.AsyncClient) -> None:
    await http.post("/v1/models/reviews:predict", json={"instances": ["good"]})
    text = (await http.get("/metrics")).text
    assert 'tidemill_requests_total{method="POST",route="/v1/models/{name:name}:predict",status="200"}' in text
    assert "tidemill_model_versions_loaded 2.0" in text
    document = (await http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert "/v1/models/{name}:predict" in document["paths"]
    page = await http.get("/docs")
    assert "/v1/datasets" in page.text
    assert "<script" not in page.text


async def test_pages_of_other_sites_cannot_use_it(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/deployments", headers={"Host": "evil.example"})).status_code == 403
    for origin in ("https://evil.example", "http://[", "null", ""):
        assert (await http.get("/v1/deployments", headers={"Origin": origin})).status_code == 403, origin
    assert (await http.get("/v1/deployments", headers={"Origin": "http://[::1]:3000"})).status_code == 200
    assert (await http.get("/healthz", headers={"Host": "10.0.0.9:8000"})).status_code == 200


async def test_only_what_serves_is_fetched(platform: Any, http: httpx.AsyncClient) -> None:
    folders = list((platform.folder / "inference" / "models").iterdir())
    assert {path.name for folder in folders for path in (folder / "variants").iterdir()} == {
        "onnx-fp32",
        "openvino-fp32",
    }
    views = (await http.get("/v1/deployments")).json()
    assert [(one["name"], one["state"], one["variant"]) for one in views] == [
        ("reviews", "serving", "onnx-fp32"),
        ("评论", "serving", "openvino-fp32"),
    ]
