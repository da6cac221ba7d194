"""One model version in memory: opened from its package, warmed up, run by the batcher. Knows no store and no HTTP."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from tidemill.contracts import DeployedVersion, Deployment
from tidemill.modelpack import ModelPackage, Signature, Tokenization
from tidemill.modelpack.runtime import Session, open_session

WARM_UP = ("ok", "A sentence as it could come in, of middling length.", "一句长度适中的中文，用来预热模型。")


class Encoder(Protocol):
    """Instances to the graph's inputs."""

    def __call__(self, texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Arrays [texts, sequence]."""


class TaskServing(Protocol):
    """What ``tidemill.tasks.<task>.serving`` offers."""

    def TextEncoder(  # noqa: N802 - it is the module's class
        self, tokenizer_json: Path, tokenization: Tokenization, *, inputs: Sequence[str]
    ) -> Encoder:
        """The encoder of a package."""

    def validate_instances(self, instances: object) -> list[str]:
        """Raises InvalidInput naming ``instances[i]``."""

    def predictions(self, logits: NDArray[Any], labels: Sequence[str]) -> list[dict[str, Any]]:
        """``label``, ``score`` and ``scores`` for each row."""

    def softmax(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities over the last axis."""


def task_serving(task: str) -> TaskServing:
    """The serving half of ``task``."""
    return cast(TaskServing, importlib.import_module(f"tidemill.tasks.{task.replace('-', '_')}.serving"))


class ServedVersion:
    """A version that is loaded. Run it within ``lease``: it is not closed while anybody does."""

    def __init__(
        self, deployment: Deployment, deployed: DeployedVersion, package: ModelPackage, *, parallel: int
    ) -> None:
        """Load the package's serving variant and run it once; slow, so not for the event loop.

        Raises:
            CorruptArtifact, InvalidInput, PermanentError: the package cannot be served; says why.
        """
        self.project = deployment.project
        self.name = deployment.name
        self.deployed = deployed
        self.signature: Signature = package.signature
        self.variant = package.variants[package.signature.serving_variant]
        self.directory = package.directory
        self.task = task_serving(self.signature.task)
        self.first_prediction_seen = False
        self._session: Session | None = open_session(
            package.variant_dir(self.variant.name), self.variant, threads=1, parallel=parallel
        )
        tokenization = cast(Tokenization, self.signature.tokenization)
        self.max_length = tokenization.max_length
        self._encode = self.task.TextEncoder(
            package.directory / tokenization.file, tokenization, inputs=self._session.input_names
        )
        self._leases = 0
        self._unused = asyncio.Event()
        self._unused.set()
        for count in (1, len(WARM_UP)):
            self.task.predictions(self.run(WARM_UP[:count]), self.labels)

    @property
    def number(self) -> int:
        """The version's number."""
        return self.deployed.version

    @property
    def labels(self) -> list[str]:
        """What the columns of the logits mean."""
        return self.signature.labels

    def run(self, instances: Sequence[str]) -> NDArray[np.float32]:
        """Logits of one batch; see ``BatchModel``."""
        assert self._session is not None, "a version is closed only when nobody leases it"
        return self._session.run(self._encode(instances))

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Keep the version loaded for the block; on the event loop."""
        self._leases += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._leases -= 1
            if not self._leases:
                self._unused.set()

    async def close(self) -> None:
        """Wait for the last lease, then free the model's memory."""
        while self._leases:
            await self._unused.wait()
        self._session = None
