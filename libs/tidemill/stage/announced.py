"""What a stage of a run announced, as it is on record."""

from __future__ import annotations

from pydantic import ValidationError

from tidemill.contracts import EVENTS, Event
from tidemill.errors import CorruptArtifact
from tidemill.records.schema import StageRecord


def announced(record: StageRecord) -> Event:
    """The event that a stage of a run announced.

    Raises:
        CorruptArtifact: this version cannot read it; names the stage, the run and the field.
    """
    try:
        return EVENTS[record.subject].model_validate(record.event)
    except KeyError:
        problem = f"no event has the subject {record.subject!r}"
    except ValidationError as invalid:
        first = invalid.errors()[0]
        problem = f"{'.'.join(map(str, first['loc'])) or 'event'}: {first['msg']}"
    raise CorruptArtifact(
        f"the record of stage {record.stage} of run {record.event.get('run_id')!r} holds an event that cannot be read: "
        f"{problem}; restore it from a copy of the bucket, or upgrade if a newer Tidemill wrote it"
    )
