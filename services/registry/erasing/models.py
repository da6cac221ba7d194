"""The versions of models that were trained on a person's data: listed, since a model cannot be made to forget a row."""

from __future__ import annotations

from collections.abc import Collection

from services.registry import chain as decided
from services.registry.chain import CHAMPION
from tidemill.contracts.erasures import TrainedModel
from tidemill.records import RecordStore
from tidemill.records.schema import AliasMoved, VersionRegistered


async def trained_on(
    records: RecordStore, project: str, affected: Collection[str], holding: Collection[str]
) -> list[TrainedModel]:
    """The living versions whose dataset is one of ``affected``, or whose package is one of ``holding``.

    Raises:
        CorruptArtifact: the chain of decisions is broken.
    """
    chain = await records.decisions(project)
    names = sorted({one.decision.name for one in chain if isinstance(one.decision, VersionRegistered)})
    found = []
    for name in names:
        moves = [one.decision for one in chain if isinstance(one.decision, AliasMoved) and one.decision.name == name]
        aliases = {move.alias for move in moves}
        targets = {alias: version for alias in aliases if (version := decided.target(chain, name, alias)) is not None}
        for version in decided.versions(chain, name):
            event = version.event
            holds = not {event.model.digest, event.trained.digest}.isdisjoint(holding)
            if event.dataset.digest not in affected and not holds:
                continue
            own = sorted(alias for alias, target in targets.items() if target.version == version.version)
            found.append(TrainedModel(
                name=name, version=version.version, run_id=version.run_id, aliases=own, serving=CHAMPION in own,
                holds=holds,
            ))  # fmt: skip
    return found
