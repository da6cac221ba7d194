"""Every user against every operation on a real server: who may is written here by hand, everybody else is refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tidemill.bus.client import Client, NotPermitted
from tidemill.bus.permissions import ANNOUNCED_BY, EVERYTHING, STAGE_OF, USERS
from tidemill.contracts import EVENT_TYPES, EVENTS
from tidemill.platform.nats_client import connected_once
from tidemill.testing.nats import guarded_nats, user_of

WORKERS = {"ingest", "preprocess", "trainer", "compressor"}
OUTSIDERS = {"provision", "operator", "publisher"}

EVENT_OWNERS: dict[str, set[str]] = {
    "tidemill.dataset.published.v1": {"ingest", "inference", "registry", *OUTSIDERS},
    "tidemill.dataset.ingested.v1": {"ingest", "registry"},
    "tidemill.dataset.prepared.v1": {"preprocess", "registry"},
    "tidemill.model.trained.v1": {"trainer", "registry"},
    "tidemill.model.compressed.v1": {"compressor", "registry"},
    "tidemill.model.registered.v1": {"registry"},
    "tidemill.model.promoted.v1": {"registry"},
    "tidemill.run.progressed.v1": WORKERS,
    "tidemill.run.failed.v1": {*WORKERS, "registry"},
    "tidemill.run.finished.v1": {"registry"},
    "tidemill.artifact.lost.v1": {*WORKERS, "registry"},
    "tidemill.feedback.received.v1": {"inference", "registry", *OUTSIDERS},
    "tidemill.drift.detected.v1": {"inference", "registry"},
    "tidemill.alert.raised.v1": {"inference", "registry"},
}

PUBLISH: dict[str, set[str]] = {
    **EVENT_OWNERS,
    "tidemill.bucket.notified": {"notifier", "provision"},
    "tidemill.job.ingest.cpu.default.run-1": {"ingest", "registry"},
    "tidemill.job.preprocess.large.default.run-1": {"preprocess", "registry"},
    "tidemill.job.train.gpu.another.run-1": {"trainer", "registry"},
    "tidemill.job.compress.cpu.default.run-1": {"compressor", "registry"},
    "tidemill.job.register.cpu.default": {"inference", "registry", "provision", "operator"},
    "tidemill.dead.ingest": {"ingest"},
    "tidemill.dead.preprocess": {"preprocess"},
    "tidemill.dead.train": {"trainer"},
    "tidemill.dead.compress": {"compressor"},
    "tidemill.dead.register": {"registry"},
    "tidemill.query.runs.list": {"inference", "operator"},
    "tidemill.query.dead.list": {"inference", "operator"},
    "tidemill.observation.reviews": set(),
    # run states, leases, the ledger, deployments
    "$KV.runs.default.run-1": {*WORKERS, "registry"},
    "$KV.leases.sha256-1": {*WORKERS, "registry"},
    "$KV.leases.reconciler": {"registry"},
    "$KV.attempts.default.sha256-1": {*WORKERS, "registry"},
    "$KV.deployments.default.reviews": {"registry"},
    "$KV.access.default.key": {"registry"},
    "tidemill.erased.v1": {"registry"},
    "$JS.API.STREAM.MSG.GET.KV_runs": {*WORKERS, "registry", "operator"},
    "$JS.API.STREAM.MSG.GET.KV_leases": {*WORKERS, "registry", "operator"},
    "$JS.API.STREAM.MSG.GET.KV_attempts": {*WORKERS, "registry", "operator"},
    "$JS.API.STREAM.MSG.GET.KV_deployments": {"inference", "registry", "operator"},
    "$JS.API.DIRECT.GET.KV_runs": set(),
    "$JS.API.CONSUMER.CREATE.KV_runs": {*WORKERS, "registry"},
    "$JS.API.CONSUMER.CREATE.KV_deployments": {"inference", "registry"},
    "$JS.API.CONSUMER.CREATE.KV_leases": {"registry"},
    "$JS.API.STREAM.PURGE.KV_attempts": {*WORKERS, "registry"},
    "$JS.API.STREAM.PURGE.KV_runs": {"registry"},
    "$JS.API.STREAM.PURGE.KV_leases": set(),
    # streams
    "$JS.API.STREAM.CREATE.EVENTS": {"registry", "provision"},
    "$JS.API.STREAM.CREATE.KV_runs": {"registry", "provision"},
    "$JS.API.STREAM.CREATE.OTHER": set(),
    "$JS.API.STREAM.UPDATE.EVENTS": {"provision"},
    "$JS.API.STREAM.PURGE.EVENTS": {"registry"},
    "$JS.API.STREAM.PURGE.JOBS": {"registry"},
    "$JS.API.STREAM.DELETE.OBSERVATIONS": set(),
    "$JS.API.STREAM.MSG.DELETE.EVENTS": {"registry"},
    "$JS.API.STREAM.MSG.DELETE.KV_deployments": set(),
    "$JS.API.STREAM.MSG.GET.EVENTS": {"registry", "operator"},
    "$JS.API.STREAM.MSG.GET.JOBS": {"registry", "operator"},
    "$JS.API.STREAM.MSG.GET.FEEDBACK": {"registry", "operator"},
    "$JS.API.STREAM.SNAPSHOT.EVENTS": set(),
    "$JS.API.STREAM.RESTORE.EVENTS": set(),
    "$JS.API.STREAM.LIST": {"registry", "operator"},
    "$JS.API.STREAM.INFO.JOBS": {*WORKERS, "registry", "inference", "provision", "operator"},
    "$JS.API.STREAM.INFO.EVENTS": {"registry", "inference", "provision", "operator"},
    "$JS.API.INFO": {"operator"},
    # events by durable consumers
    "$JS.API.CONSUMER.CREATE.EVENTS.ingest-events": {"ingest"},
    "$JS.API.CONSUMER.CREATE.EVENTS.ingest-notifications": {"ingest"},
    "$JS.API.CONSUMER.CREATE.EVENTS.train-events": {"trainer"},
    "$JS.API.CONSUMER.CREATE.EVENTS.registry-events": {"registry"},
    "$JS.API.CONSUMER.CREATE.EVENTS": set(),
    "$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.ingest-events": set(),
    "$JS.API.CONSUMER.DELETE.EVENTS.ingest-events": set(),
    "$JS.API.CONSUMER.MSG.NEXT.EVENTS.preprocess-events": {"preprocess"},
    "$JS.API.CONSUMER.MSG.NEXT.EVENTS.registry-events": {"registry"},
    "$JS.ACK.EVENTS.compress-events.1.1.1.1.0": {"compressor"},
    "$JS.ACK.EVENTS.registry-events.1.1.1.1.0": {"registry"},
    "$JS.API.CONSUMER.INFO.EVENTS.ingest-events": {"registry", "operator"},
    "$JS.API.CONSUMER.LIST.EVENTS": {"registry", "inference", "operator"},
    "$JS.API.CONSUMER.LIST.JOBS": {"registry", "inference", "operator"},
    # jobs and commands: what a consumer may filter is pinned
    "$JS.API.CONSUMER.CREATE.JOBS.train-jobs-cpu-p.tidemill.job.train.cpu.p.*": {"trainer"},
    "$JS.API.CONSUMER.CREATE.JOBS.train-jobs-cpu-p.tidemill.job.ingest.cpu.p.*": {"ingest"},
    "$JS.API.CONSUMER.CREATE.JOBS.train-jobs-cpu-p": set(),
    "$JS.API.CONSUMER.MSG.NEXT.JOBS.train-jobs-cpu-default": {"trainer"},
    "$JS.API.CONSUMER.MSG.NEXT.JOBS.ingest-jobs-io-default": {"ingest"},
    "$JS.ACK.JOBS.preprocess-jobs-cpu-default.1.1.1.1.0": {"preprocess"},
    "$JS.API.CONSUMER.CREATE.JOBS.registry-commands": {"registry"},
    "$JS.API.CONSUMER.MSG.NEXT.JOBS.registry-commands": {"registry"},
    "$JS.ACK.JOBS.registry-commands.1.1.1.1.0": {"registry"},
    # answers
    "_INBOX_inference.x": {"registry"},
    "_INBOX_operator.x": {"registry"},
    "_INBOX_registry.x": set(),
    "_INBOX_train.x": set(),
    "$SYS.REQ.SERVER.PING": set(),
    "anything.else": set(),
}  # fmt: skip

HEAR: dict[str, set[str]] = {
    "tidemill.*.*.v1": {"inference", "operator"},
    "tidemill.>": {"operator"},
    "tidemill.run.progressed.v1": {"inference", "registry", "operator"},
    "tidemill.query.>": {"registry", "operator"},
    "tidemill.erased.v1": {*WORKERS, "registry", "operator"},
    "tidemill.job.train.cpu.>": {"trainer", "operator"},
    "tidemill.job.register.>": {"operator"},
    "tidemill.dead.>": {"operator"},
    "_INBOX_train.>": {"trainer"},
    "_INBOX_registry.>": {"registry"},
    "_INBOX_inference.>": {"inference"},
    "_INBOX.>": {"operator", "notifier"},
    "$KV.runs.>": set(),
    "$JS.EVENT.ADVISORY.>": set(),
    "$SYS.>": set(),
    ">": set(),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Client]]:
    """A connection of every user, and of one who may do everything."""
    folder = tmp_path_factory.mktemp("guarded")
    async with guarded_nats(folder, also={"test": EVERYTHING}) as server, AsyncExitStack() as stack:
        found = {}
        for user in (*USERS, "test"):
            login = user_of(folder, user, STAGE_OF.get(user))
            found[user] = await stack.enter_async_context(connected_once(server.config.url, login, timeout=5))
        yield found


async def may_publish(client: Client, subject: str) -> bool:
    try:
        await client.request(subject, b"", timeout=0.05)
    except NotPermitted:
        return False
    except Exception:  # nobody there, not JSON, no such thing: whatever it is, the server let it through
        return True
    return True


@pytest.mark.parametrize("user", USERS)
async def test_what_each_user_may_publish(clients: dict[str, Client], user: str) -> None:
    wrong = [
        f"{user} {'may' if permitted else 'may not'} publish on {subject}"
        for subject, owners in PUBLISH.items()
        if (permitted := await may_publish(clients[user], subject)) is not (user in owners)
    ]
    assert wrong == []


@pytest.mark.parametrize("user", USERS)
async def test_what_each_user_may_hear(clients: dict[str, Client], user: str, caplog: pytest.LogCaptureFixture) -> None:
    client = clients[user]
    wrong = []
    for subject, listeners in HEAR.items():
        caplog.clear()
        with caplog.at_level(logging.ERROR, logger="tidemill.bus.client"):
            subscription = await client.subscribe(subject)
            for _ in range(2):  # the first ping may be written before the subscription is
                await client.flush(timeout=5)
            refused = any("does not let" in line and "subscribe to" in line for line in caplog.messages)
            await subscription.unsubscribe()
        if refused is (user in listeners):
            wrong.append(f"{user} {'may not' if refused else 'may'} hear {subject}")
    assert wrong == []


def test_every_event_has_owners() -> None:
    assert set(ANNOUNCED_BY) == set(EVENT_TYPES), "a new event has to say who announces it"
    assert set(EVENT_OWNERS) == set(EVENTS), "and the matrix has to try it"


async def test_what_is_refused_reaches_nobody(clients: dict[str, Client]) -> None:
    heard = await clients["test"].subscribe("tidemill.>")
    await clients["test"].flush()
    assert not await may_publish(clients["ingest"], "tidemill.model.trained.v1")
    await clients["trainer"].publish("tidemill.run.progressed.v1", b"{}")
    await clients["trainer"].flush()
    assert (await heard.next_msg(timeout=5)).subject == "tidemill.run.progressed.v1"
    await heard.unsubscribe()


async def test_a_violation_is_said_at_once_and_the_connection_goes_on(clients: dict[str, Client]) -> None:
    with pytest.raises(NotPermitted, match=r"does not let tidemill-ingest publish on tidemill\.model\.trained\.v1"):
        await asyncio.wait_for(clients["ingest"].request("tidemill.model.trained.v1", timeout=60), 5)
    assert await may_publish(clients["ingest"], "tidemill.dataset.ingested.v1")
