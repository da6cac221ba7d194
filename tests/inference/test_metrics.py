"""The gateway's figures: the same to whoever asks for them and to whom they are sent."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tidemill.telemetry import measures
from tidemill.testing.otlp import Collector, values

PREDICT = "/v1/models/{name:name}:predict"


def asked(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """What ``GET /metrics`` says: values by the labels' values, by sample."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def sent(collector: Collector, name: str) -> dict[tuple[str, ...], float]:
    """What OTLP said last of a metric: values, or counts, by the attributes' values."""
    last = [metric for _, metric in collector.metrics() if metric.name == name][-1]
    points = getattr(last, last.WhichOneof("data") or "gauge").data_points
    keys = next(one for one in measures.MEASURES if one.name == name).attributes
    found: dict[tuple[str, ...], float] = {}
    for point in points:
        given = values(point.attributes)
        labels = tuple(str(given[key]) for key in keys)
        found[labels] = float(point.count) if hasattr(point, "count") else point.as_double or float(point.as_int)
    return found


async def test_both_ways_tell_the_same(platform: Any, serving: Any, deployed: Any, collector: Collector) -> None:
    await platform.deploy("figures", deployed(3, await platform.package(("a", "b"), layers=400)))
    gateway = serving(platform.settings(threads=1, max_queued_rows=8))
    url = await asyncio.to_thread(gateway.__enter__)
    everybody = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=everybody) as http:
        for _ in range(3):
            body = {"instances": ["good", "bad"]}
            assert (await http.post("/v1/models/figures:predict", json=body)).status_code == 200
        assert (await http.post("/v1/models/nobody:predict", json=body)).status_code == 404
        assert (await http.get("/v1/deployments", headers={"Host": "evil.example"})).status_code == 403
        busy = [http.post("/v1/models/figures:predict", json={"instances": ["good " * 40] * 8}) for _ in range(60)]
        statuses = [answer.status_code for answer in await asyncio.gather(*busy)]
        told = asked((await http.get("/metrics")).text)
    await asyncio.to_thread(gateway.__exit__, None, None, None)
    assert 429 in statuses
    requests = told["tidemill_requests_total"]
    assert requests["POST", PREDICT, "404"] == 1
    assert requests["GET", "refused", "403"] == 1
    assert requests["POST", PREDICT, "429"] == statuses.count(429)
    again = sent(collector, "tidemill.gateway.requests")
    assert {labels: again[labels] for labels in requests if labels[1] != "/metrics"} == {
        labels: count for labels, count in requests.items() if labels[1] != "/metrics"
    }
    durations = sent(collector, "http.server.request.duration")
    assert durations["POST", PREDICT, "200"] == requests["POST", PREDICT, "200"] == 3 + statuses.count(200)
    assert sent(collector, "tidemill.gateway.rejections") == {
        ("requests",): 0.0, ("rows",): float(statuses.count(429)),
    }  # fmt: skip
    assert told["tidemill_rejections_total"] == sent(collector, "tidemill.gateway.rejections")
    assert sent(collector, "tidemill.prediction.rows")["default", "figures", "3"] == 6 + 8 * statuses.count(200)
    batches = told["tidemill_batch_rows_count"]["figures", "default"]
    assert sent(collector, "tidemill.prediction.batch.size")["default", "figures"] == batches
    assert sent(collector, "tidemill.model.swaps")["default", "figures"] == 1
    assert sent(collector, "tidemill.prediction.queued") == {(): 0.0}


async def test_a_version_that_cannot_be_loaded_is_counted(
    platform: Any, serving: Any, deployed: Any, collector: Collector, eventually: Any
) -> None:
    lost = (await platform.package()).model_copy(update={"digest": "sha256:" + "e" * 64})
    await platform.deploy("lost", deployed(1, lost))
    gateway = serving(platform.settings())
    url = await asyncio.to_thread(gateway.__enter__)
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        text = (await http.get("/metrics")).text
    await asyncio.to_thread(gateway.__exit__, None, None, None)
    assert asked(text)["tidemill_model_load_failures_total"]["lost", "default"] >= 1
    assert sent(collector, "tidemill.model.load.failures")["default", "lost"] >= 1
