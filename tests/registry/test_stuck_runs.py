"""Runs that nobody works on, as the doctor sees them through a registry that lets them wait."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.registry.conftest import Bench, eventually, registry
from tidemill.bus.subjects import job_subject
from tidemill.contracts.queries import ListRuns
from tidemill.doctor import runs
from tidemill.doctor.site import Site
from tidemill.platform.data_dir import DataDir
from tidemill.platform.nats_server import NatsServer
from tidemill.testing.nats import account_for


async def test_a_silent_run_is_stuck_unless_somebody_works_on_its_stage(
    quiet_bench: Bench, nats_server: NatsServer
) -> None:
    bench = quiet_bench
    site = Site(
        data=DataDir(bench.folder), record=None, gateway_url=None, store_url=bench.platform.store_url,
        nats=account_for(nats_server.config),
    )  # fmt: skip
    (found,) = await runs.look_at_runs(site)
    assert (found.state, "the registry does not answer" in found.message) == ("skipped", True)
    async with registry(bench, reconcile_every=timedelta(hours=1)):
        run_id = await bench.publish("卡住")
        await bench.work(run_id, "卡住", until="ingest")

        async def known() -> bool:
            return any(row["stage"] == "preprocess" for row in await bench.bus.ask(ListRuns(state="running")))

        await eventually(known)
        (found,) = await runs.look_at_runs(site)
        assert (found.state, found.message) == ("ok", "1 runs go on")
        impatient = replace(site, reconcile_after=timedelta(seconds=-1))
        (found,) = await runs.look_at_runs(impatient)
        assert found.state == "failed"
        assert f"run {run_id} (卡住) is in preprocess for 0 minutes and nobody works on it" in found.message
        assert f"tidemill runs retry {run_id}" in found.advice
        await bench.bus.jetstream.publish(job_subject("preprocess", "cpu", "default", "run-other"), b"{}")
        (found,) = await runs.look_at_runs(impatient)
        assert found.state == "failed"
        await bench.bus.jetstream.publish(job_subject("preprocess", "cpu", "default", run_id), b"{}")
        (found,) = await runs.look_at_runs(impatient)
        assert found.state == "ok"

        another = await bench.publish("他们", project="项目")

        async def known_too() -> bool:
            return any(row["run_id"] == another for row in await bench.bus.ask(ListRuns(project="项目")))

        await eventually(known_too)
        await bench.bus.jetstream.publish(job_subject("ingest", "cpu", "default", another), b"{}")  # of a namesake
        (found,) = await runs.look_at_runs(impatient)
        assert (found.state, f"run {another} (他们) of project 项目 is in" in found.message) == ("failed", True)
        assert "at the gateway of project 项目" in found.advice
        (found,) = await runs.look_at_runs(site)
        assert found.message == "2 runs go on"
