"""Real parts for the gateway's tests: NATS, a store, tiny ONNX packages, a registry that answers, a server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from services.inference.server import GatewayServer, create_server
from services.inference.settings import InferenceSettings
from tidemill.artifacts import ObjectArtifactStore, open_store
from tidemill.bus import Bus, Deployments
from tidemill.contracts import ArtifactRef, DeployedVersion, Deployment, EvaluationSummary
from tidemill.contracts.queries import Answer, Problem
from tidemill.modelpack import Lineage, Metrics, PackageWriter, Signature, Tensor, Tokenization
from tidemill.platform.nats_server import NatsServer, free_port
from tidemill.signing import SigningFolder, SigningKey
from tidemill.signing.statement import version_statement
from tidemill.testing.nats import running_nats, settings_for
from tidemill.testing.otlp import collector  # noqa: F401

GOOD = ["good", "great", "love", "好", "棒", "喜"]
BAD = ["bad", "awful", "hate", "坏", "差", "糟"]
VOCABULARY = ["[PAD]", "[UNK]", *GOOD, *BAD]
WIDTH = 8


def write_package(
    directory: Path, labels: tuple[str, str] = ("positive", "negative"), format: str = "onnx", layers: int = 1
) -> Path:
    """A bag-of-words classifier: the first label for words of GOOD, the second for words of BAD."""
    source = directory.parent / f"{directory.name}-tokenizer"
    source.mkdir(parents=True)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(source / "tokenizer.json"))
    graph = source / "model.onnx"
    onnx.save(_graph(layers), str(graph))
    writer = PackageWriter(directory)
    writer.tokenizer(source)
    if format == "onnx":
        with writer.variant("onnx-fp32", format="onnx", precision="fp32", entry="model.onnx") as target:
            (target / "model.onnx").write_bytes(graph.read_bytes())
    else:
        from tidemill.modelpack.runtime import load_openvino

        openvino = load_openvino()
        with writer.variant("openvino-fp32", format="openvino", precision="fp32", entry="model.xml") as target:
            openvino.save_model(openvino.convert_model(str(graph)), str(target / "model.xml"), compress_to_fp16=False)
    with writer.variant("torch-fp32", format="safetensors", precision="fp32", entry="model.safetensors") as target:
        (target / "model.safetensors").write_bytes(b"a server has no use for these" * 1000)
    writer.signature(
        Signature(
            task="text-classification",
            labels=list(labels),
            inputs=[Tensor(name=name, dtype="int64", shape=[-1, -1]) for name in ("input_ids", "attention_mask")],
            outputs=[Tensor(name="logits", dtype="float32", shape=[-1, 2])],
            tokenization=Tokenization(max_length=64, pad_id=0, pad_token="[PAD]"),
            serving_variant=f"{format}-fp32",
        )
    )
    evaluation = EvaluationSummary(part="test", examples=2, metrics={"accuracy": 1.0}, labels=list(labels))
    writer.metrics(Metrics(validation=evaluation, test=evaluation))
    dataset = ArtifactRef(digest="sha256:" + "a" * 64, kind="dataset", size_bytes=1)
    writer.lineage(Lineage(dataset=dataset, base="bag-of-words", revision=1))
    return writer.finish().directory


def _graph(layers: int) -> onnx.ModelProto:
    table = np.zeros((len(VOCABULARY), WIDTH), np.float32)
    for words, column in ((GOOD, 0), (BAD, 1)):
        for word in words:
            table[VOCABULARY.index(word), column] = 1.0
    head = np.zeros((WIDTH, 2), np.float32)
    head[0, 0] = head[1, 1] = 6.0
    constants = {"table": table, "head": head, "axis": np.array([1], np.int64), "last": np.array([-1], np.int64),
                 "tiny": np.array(1e-6, np.float32), "eye": np.eye(WIDTH, dtype=np.float32)}  # fmt: skip
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["x0"]),
        *(helper.make_node("MatMul", [f"x{i}", "eye"], [f"x{i + 1}"]) for i in range(layers)),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", [f"x{layers}", "wide"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "axis"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "axis"], ["count"], keepdims=1),
        helper.make_node("Add", ["count", "tiny"], ["safe"]),
        helper.make_node("Div", ["sum", "safe"], ["mean"]),
        helper.make_node("MatMul", ["mean", "head"], ["logits"]),
    ]
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "s"]) for n in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 2])]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "bag", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@dataclass
class Registry:
    """Answers questions from ``answers``, by subject; a callable gets the question."""

    bus: Bus
    answers: dict[str, Any] = field(default_factory=dict)

    async def serve(self) -> None:
        async def answer(message: Any) -> None:
            found = self.answers.get(message.subject)
            question = json.loads(message.data)
            value = found(question) if callable(found) else found
            if value is None:
                problem = Problem(kind="not-found", detail=f"there is no such thing: {question}")
                await message.respond(Answer(problem=problem).model_dump_json().encode())
            else:
                await message.respond(Answer(value=value).model_dump_json().encode())

        await self.bus.client.subscribe("tidemill.query.>", cb=answer)


@dataclass
class Platform:
    """NATS, store, and a bus of the test's own."""

    folder: Path
    nats: NatsServer
    bus: Bus
    store: ObjectArtifactStore
    registry: Registry
    packages: int = 0

    def settings(self, folder: Path | None = None, **changes: Any) -> InferenceSettings:
        platform = settings_for(
            self.nats, folder or self.folder, store_url=str(self.folder / "store"),
            trusted_signers=self.signing.trusted.folder,
        )  # fmt: skip
        return InferenceSettings(platform=platform, port=free_port(), **changes)

    async def package(self, labels: tuple[str, str] = ("positive", "negative"), **options: Any) -> ArtifactRef:
        self.packages += 1
        directory = await asyncio.to_thread(
            lambda: write_package(self.folder / "packages" / str(self.packages), labels, **options)
        )
        return await self.store.put(directory, kind="model")

    @property
    def signing(self) -> SigningFolder:
        return SigningFolder.below(self.folder)

    def signed(self, name: str, version: DeployedVersion) -> DeployedVersion:
        """As the registry deploys it."""
        statement = version_statement("default", name, version.version, version.model.digest)
        return version.model_copy(update={"signature": SigningKey.read(self.signing.key_file).sign(statement)})

    async def deploy(self, name: str, *versions: DeployedVersion, signed: bool = True) -> None:
        deployed = [self.signed(name, one) if signed else one for one in versions]
        await Deployments(self.bus).put(Deployment(name=name, task="text-classification", versions=deployed))


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    async with running_nats(folder) as nats:
        settings = settings_for(nats, folder)
        bus = Bus.from_settings(settings, "test")
        await bus.connect()
        registry = Registry(bus)
        await registry.serve()
        store = open_store(settings.store_url, cache=folder / "cache")
        yield Platform(folder, nats, bus, store, registry)
        await bus.broker.stop()


@contextlib.contextmanager
def serving(settings: InferenceSettings) -> Iterator[str]:
    """A gateway on a thread of its own; its URL. Ended gracefully."""
    server: GatewayServer = create_server(settings)
    thread = threading.Thread(target=server.run, name="gateway")
    thread.start()
    url = f"http://{settings.host}:{settings.port}"
    try:
        headers = {}
        if settings.api_key is not None:
            headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
        wait_for(lambda: thread.is_alive() and ready(url), "the gateway to be ready")
        yield url
    finally:
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive(), "the gateway did not end"


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 15.0) -> Any:
    """The first true value of ``condition``."""
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s for {what}")


async def eventually(condition: Callable[[], Any], what: str, seconds: float = 15.0) -> Any:
    """``wait_for`` on a thread."""
    return await asyncio.to_thread(wait_for, condition, what, seconds)


@pytest.fixture(scope="session", name="serving")
def _serving() -> Any:
    return serving


@pytest.fixture(scope="session", name="eventually")
def _eventually() -> Any:
    return eventually


@pytest.fixture(scope="session")
def deployed() -> Callable[..., DeployedVersion]:
    def make(version: int, model: ArtifactRef, **values: Any) -> DeployedVersion:
        return DeployedVersion(version=version, model=model, run_id="run-1", **values)

    return make


@pytest.fixture(scope="session")
def run_view() -> Callable[..., dict[str, Any]]:
    def make(run_id: str, state: str = "running", **values: Any) -> dict[str, Any]:
        return {
            "project": "default", "run_id": run_id, "name": "reviews", "state": state, "stages": [],
            "created_at": datetime.now(UTC).isoformat(), **values,
        }  # fmt: skip

    return make
