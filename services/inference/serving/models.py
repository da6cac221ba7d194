"""The models in service: desired deployments become loaded versions, swapped in one step, the old ones drained.

Lives on the event loop. A deployment that cannot be loaded leaves the one before it in service and says why.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

from services.inference.serving.errors import NotReady
from services.inference.serving.version import ServedVersion
from tidemill.contracts import DeployedVersion, Deployment
from tidemill.errors import NotFound, TidemillError, TransientError

log = logging.getLogger(__name__)

LoadState = Literal["loading", "serving", "failed"]
_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Loader(Protocol):
    """Makes a ``ServedVersion`` of a deployed one."""

    async def load(self, deployment: Deployment, deployed: DeployedVersion) -> ServedVersion:
        """Fetch, verify, load, warm up one version of ``deployment``."""

    async def sweep(self, unwanted: Callable[[str], bool]) -> None:
        """Remove the models from the disk whose digests are ``unwanted`` at the moment of their removal."""


Loaded = Callable[[ServedVersion, datetime, datetime], None]
"""Told of a version put into service, and when its loading began and ended."""


@dataclass
class _Model:
    """One deployment: what ought to serve, what serves, and how far the way from one to the other is."""

    desired: Deployment
    bringing: Deployment | None = None
    """What is being loaded now; ``desired`` may have moved on and come back before that ends."""
    serving: tuple[ServedVersion, ...] = ()
    weights: tuple[float, ...] = ()
    state: LoadState = "loading"
    error: str | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True)
class ModelStatus:
    """How a deployment does."""

    project: str
    name: str
    state: LoadState
    versions: list[tuple[int, float]]
    """Numbers and weights of the versions that serve."""
    variant: str | None
    error: str | None


Told = Callable[[str, str], None]
"""Told of a deployment by its project and name."""
_Key = tuple[str, str]


class ServedModels:
    """Deployments by project and name. ``loaded`` is told of every version that came into service."""

    def __init__(self, loader: Loader, *, loaded: Loaded, failed: Told, swapped: Told) -> None:
        self._loader = loader
        self._loaded = loaded
        self._failed = failed
        self._swapped = swapped
        self._models: dict[_Key, _Model] = {}
        self._draining: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def versions_loaded(self) -> int:
        """Versions in service."""
        return sum(len(model.serving) for model in self._models.values())

    def names(self, project: str) -> list[str]:
        """Names of a project's deployments, sorted."""
        return sorted(name for of, name in self._models if of == project)

    def deployments(self) -> list[Deployment]:
        """What ought to serve, of all projects."""
        return [model.desired for _, model in sorted(self._models.items())]

    def apply(self, deployment: Deployment) -> None:
        """Make ``deployment`` the desired state; the loading goes on behind."""
        key = (deployment.project, deployment.name)
        model = self._models.get(key)
        if model is None:
            model = self._models[key] = _Model(deployment)
            model.task = asyncio.create_task(self._converge(model), name=f"serve {deployment.name}")
        elif model.desired == deployment:
            return
        model.desired = deployment
        model.settled.clear()
        model.changed.set()

    def remove(self, project: str, name: str) -> None:
        """Serve the model no longer."""
        model = self._models.pop((project, name), None)
        if model is None:
            return
        if model.task is not None:
            model.task.cancel()
        model.settled.set()
        self._drain(model.serving)

    def choose(self, project: str, name: str, version: int | None = None) -> ServedVersion:
        """The version that answers the next request: the one asked for, else one by its weight.

        Raises:
            NotFound: no such model or version is deployed; names those of the project that are.
            NotReady: it is being loaded for the first time.
        """
        model = self._models.get((project, name))
        if model is None:
            known = ", ".join(self.names(project)) or "none yet"
            raise NotFound(f"no model {name!r} is deployed; deployed are: {known}")
        if not model.serving:
            if model.state == "failed":
                raise NotReady(f"model {name!r} could not be loaded: {model.error}")
            raise NotReady(f"model {name!r} is being loaded; try again in a moment")
        if version is None:
            if len(model.serving) == 1:
                return model.serving[0]
            return random.choices(model.serving, model.weights)[0]  # noqa: S311 - no secret
        for served in model.serving:
            if served.number == version:
                return served
        numbers = ", ".join(str(served.number) for served in model.serving)
        raise NotFound(f"version {version} of model {name!r} is not deployed; deployed: {numbers}")

    @contextmanager
    def lease(self, project: str, name: str, version: int | None = None) -> Iterator[ServedVersion]:
        """``choose``, and keep what was chosen loaded for the block.

        Choosing and leasing are one step of the event loop: a swap in between would close the version.
        """
        served = self.choose(project, name, version)
        with served.lease():
            yield served

    def status(self, project: str) -> list[ModelStatus]:
        """How every deployment of a project does, by name."""
        return [
            ModelStatus(
                project=of,
                name=name,
                state=model.state,
                versions=[(v.number, w) for v, w in zip(model.serving, model.weights, strict=True)],
                variant=model.serving[0].variant.name if model.serving else None,
                error=model.error,
            )
            for (of, name), model in sorted(self._models.items())
            if of == project
        ]

    async def settled(self) -> None:
        """Wait until every deployment known now serves or has failed."""
        for model in list(self._models.values()):
            await model.settled.wait()

    async def close(self) -> None:
        """Stop loading and free everything. The files stay: the next start may have to do without the store."""
        self._closing = True
        for project, name in list(self._models):
            self.remove(project, name)
        await asyncio.gather(*self._draining)

    async def _converge(self, model: _Model) -> None:
        """Bring ``model`` to what is desired, again and again."""
        failures = 0
        while True:
            model.changed.clear()
            desired = model.bringing = model.desired
            try:
                await self._bring(model, desired)
                failures = 0
                wait: float | None = None
            except TransientError as error:
                wait = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
                failures += 1
                self._note_failure(model, desired, error)
            except Exception as error:  # somebody may put the store in order without deploying again
                wait = _RETRY_SECONDS[-1]
                self._note_failure(model, desired, error)
            model.bringing = None
            if model.desired == desired:
                model.settled.set()
            await _event_or_timeout(model.changed, wait)

    async def _bring(self, model: _Model, desired: Deployment) -> None:
        kept = {(served.number, served.deployed.model.digest): served for served in model.serving}
        model.state = "loading" if not model.serving else model.state
        fresh: list[ServedVersion] = []
        versions: list[ServedVersion] = []
        try:
            for deployed in desired.versions:
                served = kept.pop((deployed.version, deployed.model.digest), None)
                if served is None:
                    begun = datetime.now(UTC)
                    served = await self._loader.load(desired, deployed)
                    fresh.append(served)
                    self._loaded(served, begun, datetime.now(UTC))
                versions.append(served)
        except BaseException:
            self._drain(fresh)
            raise
        weights = [deployed.weight for deployed in desired.versions]
        # The swap: requests that come from now on take the new versions, those in progress keep theirs.
        model.serving = tuple(versions)
        model.weights = tuple(weights) if any(weights) else (1.0,) * len(weights)
        model.state, model.error = "serving", None
        self._swapped(desired.project, desired.name)
        numbers = ", ".join(str(v.number) for v in versions)
        log.info("model %s of project %s: version %s serves", desired.name, desired.project, numbers)
        self._drain(kept.values())

    def _note_failure(self, model: _Model, desired: Deployment, error: Exception) -> None:
        said = str(error) or type(error).__name__
        model.state = "serving" if model.serving else "failed"
        self._failed(desired.project, desired.name)
        if said != model.error:
            log.error(
                "model %s of project %s cannot be loaded: %s",
                desired.name, desired.project, said, exc_info=not isinstance(error, TidemillError),
            )  # fmt: skip
        model.error = said

    def _drain(self, versions: Iterable[ServedVersion]) -> None:
        for version in versions:
            task = asyncio.create_task(self._close(version), name=f"drain {version.name}")
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)

    async def _close(self, version: ServedVersion) -> None:
        await version.close()
        if self._closing:
            return
        await self._loader.sweep(self._unwanted)

    def _unwanted(self, digest: str) -> bool:
        if self._closing:  # nothing is deployed any more, yet the files stay
            return False
        for model in self._models.values():
            deployments = (model.desired,) if model.bringing is None else (model.desired, model.bringing)
            if any(one.model.digest == digest for deployment in deployments for one in deployment.versions):
                return False
            if any(served.deployed.model.digest == digest for served in model.serving):
                return False
        return True


async def _event_or_timeout(event: asyncio.Event, seconds: float | None) -> None:
    waiter: Awaitable[bool] = event.wait()
    try:
        await asyncio.wait_for(waiter, seconds)
    except asyncio.TimeoutError:
        return
