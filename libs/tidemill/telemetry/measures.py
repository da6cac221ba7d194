"""What Tidemill measures: every metric with its name, unit and attributes, spelt here and nowhere else.

Names are those of OpenTelemetry's semantic conventions where there are any, and begin with ``tidemill.`` otherwise;
units are UCUM's. No attribute names a run, a dataset, a job or a key: of each metric the SDK keeps at most 2000
combinations of attributes, and adds up what comes beyond. What they mean to a reader is in ``docs/metrics.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tidemill.telemetry.context import instrument, observed

AttributeValue = str | bool | int
Attributes = Mapping[str, AttributeValue]
Observed = Iterable[tuple[float, Attributes]]
"""Values of a gauge, or sums of a counter, at this moment, each with its attributes."""

STAGE = "tidemill.stage"
PROJECT = "tidemill.project"
OUTCOME = "tidemill.outcome"
"""How a try of a job ended: the kinds of ``AttemptRecord``."""
CACHED = "tidemill.cached"
KIND = "tidemill.failure.kind"
STATE = "tidemill.run.state"
CURRENCY = "tidemill.currency"
REDELIVERED = "tidemill.message.redelivered"
OPERATION = "tidemill.store.operation"
REASON = "tidemill.reason"
MODEL = "tidemill.model"
VERSION = "tidemill.model.version"
DIRECTION = "disk.io.direction"
ERROR = "error.type"
METHOD = "http.request.method"
ROUTE = "http.route"
STATUS = "http.response.status_code"
SYSTEM = "messaging.system"
STREAM = "messaging.destination.name"
CONSUMER = "messaging.consumer.group.name"

_REQUESTS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WORK = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""Seconds, from a cached job to a day of training."""
_MEMORY = tuple(float(2**power) for power in range(27, 40))
"""128 MiB to 512 GiB."""
_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


@dataclass(frozen=True)
class Measure:
    """One metric. ``attributes`` are the keys that its values may carry; ``bounds`` those of a histogram's buckets."""

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    bounds: tuple[float, ...] | None = None

    def record(self, amount: float, attributes: Attributes | None = None) -> None:
        """Count ``amount``, or note it in the histogram. Nothing where telemetry is not configured; never raises."""
        instrument(self, amount, attributes)

    def observe(self, read: Callable[[], Observed]) -> None:
        """Have ``read`` asked for a gauge's values, or a counter's sums, whenever figures are exported: on a thread of
        its own. Holds for the telemetry that is configured now.
        """
        observed(self, read)


JOB_DURATION = Measure(
    "tidemill.job.duration", "histogram", "s", "Time from the start of a job's try to its end.", (STAGE, OUTCOME), _WORK
)  # fmt: skip
STAGE_DURATION = Measure(
    "tidemill.stage.duration", "histogram", "s",
    "Time from a stage taking its event to its announcement, queues included.", (STAGE, CACHED), _WORK,
)  # fmt: skip
FAILURES = Measure(
    "tidemill.failures", "counter", "{failure}", "Errors of planning and of jobs, whatever followed.", (STAGE, KIND)
)
DEAD_LETTERS = Measure(
    "tidemill.dead_letters", "counter", "{message}", "Messages that were put into the dead letters.", (STAGE, KIND)
)
MESSAGES = Measure(
    "messaging.client.consumed.messages", "counter", "{message}", "Deliveries of messages to a handler.",
    (SYSTEM, STREAM, STAGE, REDELIVERED),
)  # fmt: skip

RUNS_ACTIVE = Measure(
    "tidemill.run.active", "gauge", "{run}", "Running runs by the stage that they wait for.", (PROJECT, STAGE)
)
RUNS_ENDED = Measure(
    "tidemill.run.ended", "counter", "{run}", "Runs that ended, by how; of failed ones, where and why.",
    (STATE, STAGE, KIND),
)  # fmt: skip
RUN_DURATION = Measure(
    "tidemill.run.duration", "histogram", "s", "Time from a run's creation, or its retry, to its end.", (STATE,), _WORK
)
QUEUE_PENDING = Measure(
    "tidemill.queue.pending", "gauge", "{message}", "Messages that no consumer has been given yet.",
    (STREAM, CONSUMER, STAGE),
)  # fmt: skip
QUEUE_UNACKNOWLEDGED = Measure(
    "tidemill.queue.unacknowledged", "gauge", "{message}", "Messages that are in hand, or wait for another try.",
    (STREAM, CONSUMER, STAGE),
)  # fmt: skip

CPU_TIME = Measure("tidemill.job.cpu.time", "counter", "s", "Processor time that jobs used.", (STAGE, PROJECT))
GPU_TIME = Measure(
    "tidemill.job.gpu.time", "counter", "s", "Time for which jobs held memory of a GPU.", (STAGE, PROJECT)
)
MEMORY_PEAK = Measure(
    "tidemill.job.memory.peak", "histogram", "By", "Most memory that a try of a job held.", (STAGE,), _MEMORY
)
JOB_IO = Measure(
    "tidemill.job.io", "counter", "By", "Bytes that jobs read and wrote by system calls.", (STAGE, PROJECT, DIRECTION)
)
COST = Measure(
    "tidemill.job.cost", "counter", "{currency}", "What jobs used, at the prices of their worker.",
    (STAGE, PROJECT, CURRENCY),
)  # fmt: skip
STORE_DURATION = Measure(
    "tidemill.store.operation.duration", "histogram", "s", "Time of one request to the object storage.",
    (OPERATION, ERROR), _REQUESTS,
)  # fmt: skip
NOTIFICATIONS = Measure(
    "tidemill.bucket.notifications", "counter", "{notification}", "Notifications of an object store, by what followed.",
    (OUTCOME,),
)  # fmt: skip

REQUESTS = Measure(
    "tidemill.gateway.requests", "counter", "{request}", "HTTP requests, refused ones and streams included.",
    (METHOD, ROUTE, STATUS),
)  # fmt: skip
REQUEST_DURATION = Measure(
    "http.server.request.duration", "histogram", "s", "Time from a request's arrival to its answer, streams left out.",
    (METHOD, ROUTE, STATUS), _REQUESTS,
)  # fmt: skip
REJECTIONS = Measure(
    "tidemill.gateway.rejections", "counter", "{request}", "Requests refused because too much was waiting.", (REASON,)
)
REFUSALS = Measure(
    "tidemill.gateway.refusals", "counter", "{request}",
    "Requests whose caller was not let in, or may not do what they asked for.", (REASON,),
)  # fmt: skip
PREDICTIONS = Measure("tidemill.prediction.rows", "counter", "{row}", "Rows predicted.", (PROJECT, MODEL, VERSION))
BATCH_SIZE = Measure(
    "tidemill.prediction.batch.size", "histogram", "{row}", "Rows of one call of a model.", (PROJECT, MODEL), _ROWS
)
QUEUED_ROWS = Measure("tidemill.prediction.queued", "gauge", "{row}", "Rows that wait for a free thread.")
MODEL_SWAPS = Measure("tidemill.model.swaps", "counter", "{swap}", "Deployments put into service.", (PROJECT, MODEL))
LOAD_FAILURES = Measure(
    "tidemill.model.load.failures", "counter", "{failure}", "Versions that could not be loaded.", (PROJECT, MODEL)
)
VERSIONS_LOADED = Measure("tidemill.model.versions", "gauge", "{version}", "Model versions in memory.")

MEASURES: tuple[Measure, ...] = (
    JOB_DURATION, STAGE_DURATION, FAILURES, DEAD_LETTERS, MESSAGES, RUNS_ACTIVE, RUNS_ENDED, RUN_DURATION,
    QUEUE_PENDING, QUEUE_UNACKNOWLEDGED, CPU_TIME, GPU_TIME, MEMORY_PEAK, JOB_IO, COST, STORE_DURATION, NOTIFICATIONS,
    REQUESTS, REQUEST_DURATION, REJECTIONS, REFUSALS, PREDICTIONS, BATCH_SIZE, QUEUED_ROWS, MODEL_SWAPS,
    LOAD_FAILURES, VERSIONS_LOADED,
)  # fmt: skip
