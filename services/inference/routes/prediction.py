"""Predictions over HTTP, for both protocols: choose a version, run it, note the first answer of a run's model."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.inference.gateway import Gateway
from services.inference.serving.errors import Overloaded
from services.inference.serving.version import ServedVersion
from services.inference.web.problems import HttpProblem, InvalidInstances
from tidemill.errors import InvalidInput
from tidemill.telemetry import context_from, tracer


async def predict(gateway: Gateway, served: ServedVersion, instances: object) -> NDArray[np.float32]:
    """Logits of ``instances``, float32 [instances, labels]. ``served`` has to be leased.

    Raises:
        InvalidInstances: an instance has the wrong type; names it.
        HttpProblem: 413, too many instances.
        Overloaded, NotReady: see ``Batcher.run``.
    """
    try:
        texts = served.task.validate_instances(instances)
    except InvalidInput as error:
        raise InvalidInstances(str(error)) from None
    if len(texts) > gateway.limits.max_instances:
        raise HttpProblem(
            413,
            "too-many-instances",
            f"the request has {len(texts)} instances, at most {gateway.limits.max_instances} are taken at once; "
            "send them in several requests",
        )
    started = time.time_ns()
    try:
        logits = await gateway.batcher.run(served, texts)
    except Overloaded:
        gateway.metrics.rejections.labels("rows").inc()
        raise
    gateway.metrics.predictions.labels(served.project, served.name, str(served.number)).inc(len(texts))
    if not served.first_prediction_seen:
        served.first_prediction_seen = True
        record_span("first prediction", served, started, time.time_ns(), instances=len(texts))
    return logits


def record_span(name: str, served: ServedVersion, start_ns: int, end_ns: int, **attributes: Any) -> None:
    """A span in the trace of the run that made the version; none where that is not known."""
    traceparent = served.deployed.traceparent
    if traceparent is None:
        return
    span = tracer().start_span(
        name,
        context=context_from(traceparent),
        start_time=start_ns,
        attributes={
            "model": served.name,
            "version": served.number,
            "variant": served.variant.name,
            "run_id": served.deployed.run_id,
            **attributes,
        },
    )
    span.end(end_ns)
