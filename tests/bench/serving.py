"""How much of the raw model's throughput is left behind the gateway, measured in one interleaved run.

    python tests/bench/serving.py [--seconds 3] [--rounds 3] [--connections 32] [--package DIR]

Raw: one thread for each core calls one shared single-threaded session, text in, logits out, batch 1. Gateway: the
real process with NATS and store, asked by as many connections, one row a request. Both share the machine's cores with
whoever measures, so the client is a bare socket loop in a process of its own. One JSON document on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from tidemill.artifacts import open_store
from tidemill.bus import Bus, Deployments
from tidemill.contracts import ArtifactRef, DeployedVersion, Deployment, EvaluationSummary
from tidemill.modelpack import Lineage, Metrics, ModelPackage, PackageWriter, Signature, Tensor, Tokenization
from tidemill.modelpack.runtime import open_session
from tidemill.platform.nats_server import free_port
from tidemill.signing import SigningFolder, SigningKey
from tidemill.signing.statement import version_statement
from tidemill.tasks.text_classification.serving import TextEncoder, predictions
from tidemill.testing.nats import running_nats, settings_for

WORDS = [f"word{i}" for i in range(998)]
TOKENS = 64
HIDDEN, INNER, LAYERS = 256, 1024, 4


def texts() -> list[str]:
    """Rows of 32 to 64 tokens."""
    chance = np.random.default_rng(17)
    return [" ".join(chance.choice(WORDS, chance.integers(TOKENS // 2, TOKENS + 1))) for _ in range(256)]


def write_package(directory: Path) -> ModelPackage:
    """A feed-forward encoder of a few milliseconds a row, with random weights."""
    source = directory.parent / "source"
    source.mkdir(parents=True)
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(source / "tokenizer.json"))
    writer = PackageWriter(directory)
    writer.tokenizer(source)
    with writer.variant("onnx-fp32", format="onnx", precision="fp32", entry="model.onnx") as target:
        onnx.save(_graph(len(vocabulary)), str(target / "model.onnx"))
    writer.signature(
        Signature(
            task="text-classification",
            labels=["a", "b"],
            inputs=[Tensor(name="input_ids", dtype="int64", shape=[-1, -1])],
            outputs=[Tensor(name="logits", dtype="float32", shape=[-1, 2])],
            tokenization=Tokenization(max_length=TOKENS, pad_id=0, pad_token="[PAD]"),
            serving_variant="onnx-fp32",
        )
    )
    nothing = EvaluationSummary(part="test", examples=0, metrics={})
    writer.metrics(Metrics(validation=nothing, test=nothing))
    dataset = ArtifactRef(digest="sha256:" + "0" * 64, kind="dataset", size_bytes=0)
    writer.lineage(Lineage(dataset=dataset, base="random", revision=1))
    return writer.finish()


def _graph(vocabulary: int) -> onnx.ModelProto:
    chance = np.random.default_rng(17)

    def weights(*shape: int) -> Any:
        return (chance.standard_normal(shape) / shape[0] ** 0.5).astype(np.float32)

    constants = {"table": weights(vocabulary, HIDDEN), "head": weights(HIDDEN, 2), "one": np.array([1], np.int64)}
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["x0"])]
    for i in range(LAYERS):
        constants |= {f"up{i}": weights(HIDDEN, INNER), f"down{i}": weights(INNER, HIDDEN)}
        nodes += [
            helper.make_node("MatMul", [f"x{i}", f"up{i}"], [f"u{i}"]),
            helper.make_node("Relu", [f"u{i}"], [f"r{i}"]),
            helper.make_node("MatMul", [f"r{i}", f"down{i}"], [f"d{i}"]),
            helper.make_node("Add", [f"x{i}", f"d{i}"], [f"x{i + 1}"]),
        ]
    nodes += [
        helper.make_node("ReduceMean", [f"x{LAYERS}"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "head"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "feed-forward",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "s"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class Raw:
    """The model alone."""

    def __init__(self, package: ModelPackage, threads: int) -> None:
        signature = package.signature
        variant = package.variants[signature.serving_variant]
        assert signature.tokenization is not None
        self._labels = signature.labels
        self._threads = threads
        self._session = open_session(package.variant_dir(variant.name), variant, threads=1, parallel=threads)
        self._encode = TextEncoder(
            package.directory / signature.tokenization.file, signature.tokenization, inputs=self._session.input_names
        )

    def measure(self, rows: list[str], seconds: float) -> float:
        """Rows a second."""
        counts = [0] * self._threads
        end = time.perf_counter() + seconds

        def work(number: int) -> None:
            for row in itertools.cycle(rows):
                if time.perf_counter() >= end:
                    return
                predictions(self._session.run(self._encode([row])), self._labels)
                counts[number] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(self._threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / seconds


CLIENT = """
import asyncio, json, sys, time
port, connections, seconds, name = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
rows = json.load(sys.stdin)
requests = []
for row in rows:
    body = json.dumps({"instances": [row]}).encode()
    head = f"POST /v1/models/{name}:predict HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
    requests.append(head.encode() + body)
times, failed = [], 0
async def one(offset, end):
    global failed
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    index = offset
    while (started := time.perf_counter()) < end:
        writer.write(requests[index % len(requests)])
        index += connections
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\\r\\n")[0])
        await reader.readexactly(length)
        if head.startswith(b"HTTP/1.1 200"):
            times.append(time.perf_counter() - started)
        else:
            failed += 1
    writer.close()
async def main():
    end = time.perf_counter() + seconds
    await asyncio.gather(*(one(i, end) for i in range(connections)))
import uvloop
uvloop.run(main())
times.sort()
print(json.dumps({"requests": len(times), "failed": failed, "p50_ms": times[len(times) // 2] * 1e3,
                  "p99_ms": times[int(len(times) * 0.99)] * 1e3}))
"""


async def ask_gateway(port: int, rows: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """One round of the client."""
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, str(port), str(arguments.connections), str(arguments.seconds), "bench",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await client.communicate(json.dumps(rows).encode())
    return dict(json.loads(out))


async def bench(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement."""
    threads = len(os.sched_getaffinity(0))
    rows = texts()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        package = ModelPackage.open(arguments.package) if arguments.package else write_package(folder / "package")
        raw = Raw(package, threads)
        async with running_nats(folder) as nats:
            settings = settings_for(nats, folder)
            bus = Bus.from_settings(settings, "bench")
            await bus.connect()
            model = await open_store(settings.store_url, cache=folder / "cache").put(package.directory, kind="model")
            key = SigningKey.read(SigningFolder.below(folder).key_file)
            signature = key.sign(version_statement("default", "bench", 1, model.digest))
            version = DeployedVersion(version=1, model=model, run_id="run-bench", signature=signature)
            await Deployments(bus).put(Deployment(name="bench", task="text-classification", versions=[version]))
            port = free_port()
            environment = os.environ | {
                "TIDEMILL_NATS_URL": nats.config.url,
                "TIDEMILL_NATS_USER": nats.config.user,
                "TIDEMILL_NATS_PASSWORD": nats.config.password,
                "TIDEMILL_STORE_URL": settings.store_url,
                "TIDEMILL_DATA_DIR": str(folder),
                "TIDEMILL_INFERENCE_PORT": str(port),
            }
            started = time.perf_counter()
            gateway = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.inference", env=environment)
            await until_ready(port)
            ready = time.perf_counter() - started
            try:
                return await _rounds(arguments, raw, rows, port, psutil.Process(gateway.pid)) | {
                    "seconds_to_ready": round(ready, 2),
                    "threads": threads,
                }
            finally:
                gateway.terminate()
                await gateway.wait()
                await bus.broker.stop()


async def _rounds(
    arguments: argparse.Namespace, raw: Raw, rows: list[str], port: int, gateway: psutil.Process
) -> dict[str, Any]:
    raw.measure(rows, 0.5)
    raws: list[float] = []
    rounds: list[dict[str, Any]] = []
    for _ in range(arguments.rounds):
        raws.append(await asyncio.to_thread(raw.measure, rows, arguments.seconds))
        before = gateway.cpu_times()
        found = await ask_gateway(port, rows, arguments)
        after = gateway.cpu_times()
        cpu = after.user + after.system - before.user - before.system
        rounds.append(found | {"cpu_ms": cpu * 1e3 / max(found["requests"], 1)})
    served = [one["requests"] / arguments.seconds for one in rounds]
    return {
        "raw_per_second": round(statistics.median(raws), 1),
        "gateway_per_second": round(statistics.median(served), 1),
        "ratio": round(statistics.median(g / r for g, r in zip(served, raws, strict=True)), 3),
        "p50_ms": round(statistics.median(one["p50_ms"] for one in rounds), 2),
        "p99_ms": round(statistics.median(one["p99_ms"] for one in rounds), 2),
        "cpu_ms_per_request": round(statistics.median(one["cpu_ms"] for one in rounds), 2),
        "failed": sum(one["failed"] for one in rounds),
        "connections": arguments.connections,
    }


async def until_ready(port: int) -> None:
    """Wait for the model to serve."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http, asyncio.timeout(60):
        while True:
            try:
                if (await http.get("/v2/models/bench/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.02)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--package", type=Path, help="a model package to serve instead of a random one")
    print(json.dumps(asyncio.run(bench(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
