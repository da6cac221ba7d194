"""The last versions of datasets without a person's rows: made in a child process, and published like any dataset."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from services.registry.erasing.state import Rewriting
from tidemill.artifacts.object_store import ObjectArtifactStore
from tidemill.artifacts.objects import Objects
from tidemill.bus import Bus
from tidemill.contracts import DatasetIngested, DatasetPublished, Recipe
from tidemill.contracts.data import PartName
from tidemill.contracts.erasures import RewrittenDataset
from tidemill.erasure.documents import without_value
from tidemill.erasure.jobs import Subject, rewrite_dataset
from tidemill.erasure.requests import ErasureRequest
from tidemill.erasure.subject import Matcher
from tidemill.errors import CorruptArtifact, NotFound
from tidemill.jobs import JobRunner
from tidemill.records import RecordStore, keys
from tidemill.records.schema import DatasetVersionRecord, RunRecord
from tidemill.stage.announced import announced

log = logging.getLogger(__name__)

_OF_THE_FILES: dict[str, Any] = {
    "format": "auto", "header": None, "columns": None, "encoding": None, "sheet": None, "path_pattern": None,
    "annotations": None, "query": None,
}  # fmt: skip
"""What a recipe says about files that are not those of the rewritten dataset."""


class Rewriter:
    """Rewrites datasets of one project."""

    def __init__(
        self, objects: Objects, records: RecordStore, bus: Bus, request: ErasureRequest, matcher: Matcher, *,
        runner: JobRunner, scratch: Path,
    ) -> None:  # fmt: skip
        self._objects = objects
        self._records = records
        self._bus = bus
        self._request = request
        self._matcher = matcher
        self._runner = runner
        self._scratch = scratch

    async def newest(
        self, affected: Collection[str], deleted: Collection[str]
    ) -> list[tuple[DatasetVersionRecord, DatasetIngested]]:
        """The last version of each dataset that is one of ``affected``, with what was taken in of it; not of runs
        whose datasets were ``deleted``."""
        project = self._request.project
        found = []
        for folder in await self._objects.folders(f"{keys.project_folder(project)}/datasets"):
            for number in reversed(await self._records.dataset_version_numbers(project, folder)):
                version = await self._records.dataset_version(project, folder, number)
                stage = await self._records.stage(project, version.run_id, "ingest") if version else None
                event = announced(stage) if stage is not None else None
                if version is None or not isinstance(event, DatasetIngested):
                    continue
                if event.dataset.digest in affected and version.run_id not in deleted:
                    found.append((version, event))
                break
        return found

    async def rewrite(self, version: DatasetVersionRecord, ingested: DatasetIngested) -> Rewriting:
        """Put the rows without the value into the store as a source.

        Raises:
            HandedBack: the service is leaving.
            TransientError: the store is out of reach, or the disk is full.
        """
        told = RewrittenDataset(name=version.name, version=version.version)
        folder = Path(await asyncio.to_thread(self._folder))
        try:
            store = ObjectArtifactStore(self._objects, cache=folder / "cache")
            dataset = await store.fetch(ingested.dataset, folder / "dataset")
            recipe = await self._recipe(ingested, store)
            subject = Subject(value=self._request.subject, kind=self._request.kind)
            output = folder / "output"
            output.mkdir()
            rows = recipe.data.shard_rows
            done = (await self._runner.run_call(rewrite_dataset, subject, dataset, rows, output)).value
            told = told.model_copy(update={"erased": done.erased, "left": sum(done.left.values())})
            if not all(left for part, left in done.left.items() if part != "validation"):
                return Rewriting(told=told)  # a part that a dataset has to have is empty
            source = None if self._request.dry_run else await store.put(output, kind="source")
        except (CorruptArtifact, NotFound) as error:
            log.error("erasure %s: dataset %s cannot be rewritten: %s", self._request.id, version.name, error)
            return Rewriting(told=told)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return Rewriting(
            told=told, source=source, recipe=self._for_parts(recipe, done.left), licence=version.licence,
            owner=version.owner,
        )  # fmt: skip

    async def begin(self, rewriting: Rewriting) -> Rewriting:
        """Put the run on record that makes the version without the rows, so that its source is kept; the same one
        whenever it is asked."""
        told, request = rewriting.told, self._request
        if rewriting.source is None:
            return rewriting
        which = hashlib.sha256(f"{told.name} {told.version}".encode()).hexdigest()[:8]
        event = DatasetPublished(
            project=request.project, run_id=f"erasure-{request.id}-{which}", name=told.name, source=rewriting.source,
            recipe=rewriting.recipe, licence=rewriting.licence, owner=rewriting.owner, erasure=request.id,
        )  # fmt: skip
        await self._records.create_run(RunRecord(event=event, created_at=datetime.now(UTC)))
        return rewriting.model_copy(update={"told": told.model_copy(update={"run_id": event.run_id})})

    async def publish(self, rewriting: Rewriting) -> None:
        """Announce the run of a rewritten dataset; safe to repeat."""
        run_id = rewriting.told.run_id
        run = await self._records.run(self._request.project, run_id) if run_id is not None else None
        if run is not None:
            await self._bus.announce(run.event, fingerprint="published")

    async def _recipe(self, ingested: DatasetIngested, store: ObjectArtifactStore) -> Recipe:
        document = json.loads(await store.read(ingested.recipe, "recipe.json"))
        return Recipe.model_validate(without_value(document, self._matcher, identities=False))

    def _for_parts(self, recipe: Recipe, left: dict[str, int]) -> dict[str, Any]:
        """The recipe for the rewritten files, up to the prepared dataset: nothing is trained unasked."""
        files = {part: f"{part}/*.parquet" for part in get_args(PartName) if left.get(part)}
        data = recipe.data.model_dump(mode="json") | _OF_THE_FILES | {"files": files}
        return recipe.model_dump(mode="json", exclude={"economics"}) | {"data": data, "until": "prepared"}

    def _folder(self) -> str:
        self._scratch.mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(dir=self._scratch, prefix="rewriting-")
