"""The registry outlives its server, and a database on its way."""

from __future__ import annotations

from datetime import timedelta

from tests.registry.conftest import Bench, eventually, registry
from tidemill.contracts.queries import ListRuns, ShowRun
from tidemill.errors import TransientError
from tidemill.platform.nats_server import NatsServer


async def test_the_server_dies_and_comes_back(quiet_bench: Bench, nats_server: NatsServer) -> None:
    bench = quiet_bench
    impatient = {"reconcile_every": timedelta(seconds=0.2), "reconcile_after": timedelta(seconds=1)}
    async with registry(bench, **impatient):
        before = await bench.finished("before")
        run_id = await bench.publish("断电")
        await nats_server.kill()
        await nats_server.start()

        async def answers() -> bool:
            try:
                return bool(await bench.bus.ask(ListRuns(), timeout=1))
            except TransientError:
                return False

        await eventually(answers)
        await bench.work(run_id, "断电")

        async def finished() -> bool:
            return bool((await bench.bus.ask(ShowRun(run_id=run_id)))["state"] == "finished")

        await eventually(finished)
        assert (await bench.bus.ask(ShowRun(run_id=before.run_id)))["version"] == 1
        deployment = await bench.deployments.get("default", "断电")
        assert deployment is not None
        assert deployment.versions[0].run_id == run_id
