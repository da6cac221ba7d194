"""Deleting models and datasets: a decision in the chain; what it frees is the garbage collection's work.

A decision names the versions or runs that it concerns, so what comes under the same name later is not part of it.
"""

from __future__ import annotations

import logging

from services.registry import chain as decided
from services.registry.chain import CHAMPION, Chain
from services.registry.facts import read_facts
from services.registry.projection import Projection
from services.registry.serving import Serving
from tidemill.contracts import DeleteDataset, DeleteModel
from tidemill.errors import InvalidInput, NotFound
from tidemill.records import RecordStore
from tidemill.records.schema import DatasetDeleted, ModelDeleted

log = logging.getLogger(__name__)


class Deletion:
    """Carries out what people want deleted. ``identity`` is the same for every delivery of a command."""

    def __init__(self, records: RecordStore, projection: Projection, serving: Serving) -> None:
        self._records = records
        self._projection = projection
        self._serving = serving

    async def model(self, command: DeleteModel, identity: str) -> None:
        """Delete the versions that a model has now, or one of them; it stops serving when its champion goes.

        Raises:
            NotFound: there is no such model or version.
            InvalidInput: the version is the champion.
        """

        def decide(chain: Chain) -> ModelDeleted | None:
            if _done(chain, identity):
                return None
            numbers = _numbers(chain, command)
            return ModelDeleted(name=command.name, versions=numbers, command=identity)

        record = await self._records.append_decision(command.project, decide)
        await self._projection.decisions(command.project)
        await self._serving.deploy(command.project, command.name)
        if record is not None:
            log.info("model %s: %s deleted", command.name, record.decision)

    async def dataset(self, command: DeleteDataset, identity: str) -> None:
        """Delete what the runs of a dataset that have ended took in and prepared.

        Raises:
            NotFound: nothing was published under this name, or everything of it was deleted.
            InvalidInput: all of its runs are still running.
        """
        runs = await self._projection.runs_of(command.project, command.name)
        facts = [await read_facts(self._records, command.project, run_id) for run_id in runs]
        ended = [one.run_id for one in facts if one is not None and one.outcome is not None]

        def decide(chain: Chain) -> DatasetDeleted | None:
            if _done(chain, identity):
                return None
            gone = decided.deleted_runs(chain)
            left = tuple(run_id for run_id in ended if run_id not in gone)
            if left:
                return DatasetDeleted(name=command.name, runs=left, command=identity)
            if len(ended) < len(runs):
                raise InvalidInput(
                    f"dataset {command.name!r} is in use by a run that goes on; cancel the run or wait for its end"
                )
            raise NotFound(f"there is no dataset {command.name!r}; `tidemill datasets list` shows the ones there are")

        await self._records.append_decision(command.project, decide)
        await self._projection.decisions(command.project)


def _done(chain: Chain, identity: str) -> bool:
    return any(
        record.decision.command == identity
        for record in chain
        if isinstance(record.decision, ModelDeleted | DatasetDeleted)
    )


def _numbers(chain: Chain, command: DeleteModel) -> tuple[int, ...]:
    known = tuple(version.version for version in decided.versions(chain, command.name))
    if not known or command.version not in (None, *known):
        raise decided.no_version(chain, command.name, command.version)
    if command.version is None:
        return known
    champion = decided.target(chain, command.name, CHAMPION)
    if champion is not None and champion.version == command.version:
        raise InvalidInput(
            f"version {command.version} of model {command.name!r} is its champion; promote another version first, "
            "or delete the whole model"
        )
    return (command.version,)
