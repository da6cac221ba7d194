"""Brings a version's package here, if it is signed and not revoked: what serving needs and no more, verified.

A package that is here already is used without asking the store, so that a gateway starts while the store is away.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from pydantic import ValidationError

from services.inference.leftovers import PARTIAL, own_prefix
from services.inference.serving.permission import LoadingPermission
from services.inference.serving.version import ServedVersion
from tidemill.artifacts import ArtifactStore
from tidemill.contracts import ArtifactRef, DeployedVersion, Deployment
from tidemill.errors import CorruptArtifact, PermanentError
from tidemill.modelpack import ModelPackage, Signature

_SHA256 = "sha256:"


class VersionLoader:
    """Loads versions below ``folder``, one directory for each model digest."""

    def __init__(self, store: ArtifactStore, folder: Path, permission: LoadingPermission, *, parallel: int) -> None:
        self._store = store
        self._permission = permission
        self._folder = folder
        self._parallel = parallel
        self._bringing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def load(self, deployment: Deployment, deployed: DeployedVersion) -> ServedVersion:
        """Fetch, verify, load and warm up one version of ``deployment``.

        Raises:
            TransientError: the store cannot be reached.
            PermanentError: the package is unsigned, revoked or corrupt, or cannot be served.
        """
        await self._permission.check(deployment.project, deployment.name, deployed)
        directory = self._folder / deployed.model.digest.removeprefix(_SHA256)
        async with self._bringing[deployed.model.digest]:  # two deployments may name one model
            package = await asyncio.to_thread(_verified_package, directory)
            if package is None:
                await self._fetch(deployed.model, directory)
                package = await asyncio.to_thread(_open, directory)
        return await asyncio.to_thread(ServedVersion, deployment, deployed, package, parallel=self._parallel)

    async def sweep(self, unwanted: Callable[[str], bool]) -> None:
        """Remove the directories of models whose digests are ``unwanted``.

        That is asked of each when nobody can be loading it: it may be wanted again since the sweep began.
        """
        for directory in await asyncio.to_thread(_model_directories, self._folder):
            digest = _SHA256 + directory.name
            async with self._bringing[digest]:
                if unwanted(digest):
                    await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def _fetch(self, model: ArtifactRef, directory: Path) -> None:
        try:
            signature = Signature.model_validate_json(await self._store.read(model, "signature.json"))
        except ValidationError as invalid:
            problem = invalid.errors()[0]
            raise PermanentError(
                f"model {model.digest}: signature.json is not one that this version reads: "
                f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            ) from None
        if signature.tokenization is None:
            raise PermanentError(f"model {model.digest}: its signature does not say how text is tokenized")
        serving = f"variants/{signature.serving_variant}/"
        files = await self._store.files(model)
        wanted = [path for path in files if path.startswith(serving) or not path.startswith("variants/")]
        partial = self._folder / f"{own_prefix(PARTIAL)}{uuid4().hex}"
        try:
            await self._store.fetch(model, partial, only=wanted)
            await asyncio.to_thread(_replace, partial, directory)
        finally:
            await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)


def _open(directory: Path) -> ModelPackage:
    package = ModelPackage.open_partial(directory)
    package.verify()
    if package.signature.serving_variant not in package.variants:
        raise CorruptArtifact(
            f"model package {directory.name}: the serving variant {package.signature.serving_variant!r} is not complete"
        )
    return package


def _verified_package(directory: Path) -> ModelPackage | None:
    """The package that is here, None when there is none or it is damaged: then it is fetched again."""
    if not directory.is_dir():
        return None
    try:
        return _open(directory)
    except PermanentError:
        return None


def _replace(partial: Path, directory: Path) -> None:
    """Put ``partial`` in place of a damaged directory; a good one, which another process brought, stays."""
    try:
        partial.rename(directory)
    except OSError:
        if _verified_package(directory) is None:
            shutil.rmtree(directory, ignore_errors=True)
            partial.rename(directory)


def _model_directories(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(PARTIAL)]
