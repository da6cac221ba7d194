"""What an erasure could not do: what was not searched, what still holds the value, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from services.registry.erasing.search import SearchedArtifact
from services.registry.erasing.state import ErasureState
from services.registry.erasing.survey import Survey

_MOST_REFUSED = 20
_OPAQUE = {"vault": "vaults (encrypted)", "model": "models (numbers, of which nobody can tell)"}


def unsearched(artifacts: Mapping[str, SearchedArtifact], affected: Collection[str]) -> dict[str, int]:
    """What could not be looked into, of that which stays: how many files of each sort."""
    counted: Counter[str] = Counter()
    for digest, one in artifacts.items():
        if digest in affected and one.ref.kind != "model":
            continue
        counted.update(reason for found in one.files.values() for reason in found.unsearched)
        if one.ref.kind in _OPAQUE:
            counted[_OPAQUE[one.ref.kind]] += 1
    return dict(counted)


def note_records(state: ErasureState, seen: Survey, *, names: int) -> None:
    """Say which records still hold the value: links of a chain, and ``names`` of others that were overwritten."""
    if seen.chained:
        state.note(
            f"{len(seen.chained)} decisions hold the value in a label or a name; they are chained by their digests "
            "and cannot be changed: delete the model, and move what is to stay to another project"
        )
    if seen.named or names:
        state.note(
            f"{len(seen.named) + names} records hold the value in the name of a dataset or model; a name cannot be "
            "changed: publish the dataset under another one, and delete this one"
        )


def note_what_stays(state: ErasureState, refused: Sequence[str]) -> None:
    """Say what is kept of the artifacts: what another project has, what models hold, what the store did not remove."""
    if any(one.fate == "kept-shared" for one in state.artifacts.values()):
        state.note("another project refers to the same bytes; whoever owns it has to erase there too")
    for sentence in refused[:_MOST_REFUSED]:
        state.note(f"the store refused to remove an old version: {sentence}")
    if len(refused) > _MOST_REFUSED:
        state.note(f"and {len(refused) - _MOST_REFUSED} more old versions; see the registry's log")
    for model in state.models.values():
        if model.holds:
            state.note(
                f"version {model.version} of model {model.name} holds the value itself; "
                f"`tidemill models delete {model.name} --version {model.version}` and then `tidemill gc`"
            )
