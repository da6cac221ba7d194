"""What it costs to know who asks: the gateway with keys, tokens and TLS beside itself without, in one interleaved run.

    python -m tests.bench.access [--seconds 3] [--rounds 5] [--connections 16]

Four gateways serve the same tiny model: without anything, with an API key, with a key over TLS, with a token (RS256)
over TLS. The client is a bare socket loop in a process of its own on the same cores. The key has a rate, so that its
bucket counts as well. No audit is in the way of a prediction: what is audited are control actions, by those who carry
them out. One JSON document on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from joserfc.jwk import RSAKey

from services.inference.access.key_text import KeyText
from tests.inference.conftest import write_package
from tidemill.artifacts import open_store
from tidemill.bus import AccessKeys, Bus, Deployments
from tidemill.contracts import AccessKey, DeployedVersion, Deployment, KeyGrant, Rate
from tidemill.platform.nats_server import free_port
from tidemill.testing.certificates import Authority
from tidemill.testing.issuer import Issuer
from tidemill.testing.nats import running_nats, settings_for

CLIENT = """
import asyncio, json, ssl, sys, time
port, connections, seconds, (ca, credentials) = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:6]
body = json.dumps({"instances": ["a good and a bad word"]}).encode()
request = f"POST /v1/models/bench:predict HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: {len(body)}\\r\\n"
if credentials:
    request += f"Authorization: Bearer {credentials}\\r\\n"
request = request.encode() + b"\\r\\n" + body
tls = ssl.create_default_context(cafile=ca) if ca else None
times, failed = [], 0
async def one(end):
    global failed
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port), ssl=tls)
    while (started := time.perf_counter()) < end:
        writer.write(request)
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\\r\\n")[0]))
        if head.startswith(b"HTTP/1.1 200"):
            times.append(time.perf_counter() - started)
        else:
            failed += 1
    writer.close()
async def main():
    end = time.perf_counter() + seconds
    await asyncio.gather(*(one(end) for _ in range(connections)))
import uvloop
uvloop.run(main())
times.sort()
print(json.dumps({"requests": len(times), "failed": failed, "p50_ms": times[len(times) // 2] * 1e3,
                  "p99_ms": times[int(len(times) * 0.99)] * 1e3}))
"""


@dataclass
class Way:
    """A gateway and how it is asked, with what was measured."""

    name: str
    variables: dict[str, str]
    credentials: str = ""
    ca: str = ""
    port: int = field(default_factory=free_port)
    rounds: list[dict[str, float]] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def running(self, shared: dict[str, str], folder: Path) -> AsyncIterator[psutil.Process]:
        """The gateway's process, ready."""
        environment = os.environ | shared | self.variables
        environment |= {"TIDEMILL_DATA_DIR": str(folder / self.name), "TIDEMILL_INFERENCE_PORT": str(self.port)}
        gateway = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.inference", env=environment)
        scheme = "https" if self.ca else "http"
        headers = {"Authorization": f"Bearer {self.credentials}"} if self.credentials else {}
        async with httpx.AsyncClient(verify=False, headers=headers) as http, asyncio.timeout(60):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    address = f"{scheme}://127.0.0.1:{self.port}/v2/models/bench/ready"
                    if (await http.get(address)).status_code == 200:
                        break
                await asyncio.sleep(0.05)
        try:
            yield psutil.Process(gateway.pid)
        finally:
            gateway.terminate()
            await gateway.wait()

    async def measure(self, gateway: psutil.Process, connections: int, seconds: float) -> None:
        """One round."""
        before = gateway.cpu_times()
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CLIENT, str(self.port), str(connections), str(seconds), self.ca, self.credentials,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await client.communicate()
        after = gateway.cpu_times()
        found = dict(json.loads(out))
        cpu = after.user + after.system - before.user - before.system
        self.rounds.append(
            found | {"per_second": found["requests"] / seconds, "cpu_us": cpu * 1e6 / max(found["requests"], 1)}
        )

    def summary(self) -> dict[str, float]:
        """Medians over the rounds."""
        digits = {"per_second": 0, "p50_ms": 2, "p99_ms": 2, "cpu_us": 0}
        found: dict[str, float] = {
            name: round(statistics.median(one[name] for one in self.rounds), places) for name, places in digits.items()
        }
        return found | {"failed": sum(one["failed"] for one in self.rounds)}


async def bench(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        authority = Authority(folder)
        chain, key = authority.issue("gateway")
        signing = RSAKey.generate_key(2048, auto_kid=True)
        issuer = Issuer(authority, keys=[signing])
        made = KeyText.make()
        async with running_nats(folder) as nats:
            platform = settings_for(nats, folder)
            bus = Bus.from_settings(platform, "bench")
            await bus.connect()
            await _serve(bus, open_store(platform.store_url, cache=folder / "cache"), folder)
            await AccessKeys(bus).put(_access_key(made))
            shared = {
                "TIDEMILL_NATS_URL": nats.config.url,
                "TIDEMILL_NATS_USER": nats.config.user,
                "TIDEMILL_NATS_PASSWORD": nats.config.password,
                "TIDEMILL_STORE_URL": platform.store_url,
            }
            tls = {"TIDEMILL_INFERENCE_TLS_CERT": str(chain), "TIDEMILL_INFERENCE_TLS_KEY": str(key)}
            door = {"TIDEMILL_INFERENCE_API_KEY": "operator"}
            oidc = {
                "TIDEMILL_INFERENCE_OIDC_ISSUER": issuer.url,
                "TIDEMILL_INFERENCE_OIDC_AUDIENCE": "tidemill",
                "TIDEMILL_INFERENCE_OIDC_CA": str(issuer.ca),
            }
            token = issuer.token(signing, scope="tidemill:predict tidemill:read", exp=2**31)
            ways = [
                Way("off", {}),
                Way("key", door, str(made)),
                Way("key and TLS", door | tls, str(made), str(authority.file)),
                Way("token and TLS", oidc | tls, token, str(authority.file)),
            ]
            with issuer.running():
                async with contextlib.AsyncExitStack() as stack:
                    gateways = [await stack.enter_async_context(way.running(shared, folder)) for way in ways]
                    for round_number in range(arguments.rounds + 1):
                        for way, gateway in zip(ways, gateways, strict=True):
                            await way.measure(gateway, arguments.connections, arguments.seconds)
                            if round_number == 0:  # to warm up
                                way.rounds.clear()
            await bus.broker.stop()
    found = {way.name: way.summary() for way in ways}
    off = found["off"]["cpu_us"]
    return {
        "ways": found,
        "cpu_us_more_than_off": {name: round(one["cpu_us"] - off) for name, one in found.items() if name != "off"},
        "connections": arguments.connections,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "cores": len(os.sched_getaffinity(0)),
    }


async def _serve(bus: Bus, store: Any, folder: Path) -> None:
    package = await asyncio.to_thread(write_package, folder / "package")
    model = await store.put(package, kind="model")
    version = DeployedVersion(version=1, model=model, run_id="run-bench")
    await Deployments(bus).put(Deployment(name="bench", task="text-classification", versions=[version]))


def _access_key(made: KeyText) -> AccessKey:
    grant = KeyGrant(name="bench", scopes=("read", "predict"), rate=Rate(requests=10**9, seconds=1), body_bytes=10_000)
    return AccessKey(
        project="default", key_id=made.key_id, digest=made.digest, grant=grant, issued_at=datetime.now(UTC),
        issued_by="local",
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=16)
    print(json.dumps(asyncio.run(bench(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
