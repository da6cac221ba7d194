"""Control actions put on record by whoever carried them out, with the trace they belong to."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from tidemill.records import RecordStore
from tidemill.records.schema import AuditEntry, AuditRecord
from tidemill.telemetry import current_traceparent
from tidemill.telemetry.context import trace_id_of

LONGEST_REASON = 2000


async def put_on_record(
    records: RecordStore,
    project: str,
    *,
    actor: str,
    action: str,
    subject: str,
    outcome: Literal["done", "refused"] = "done",
    reason: str = "",
    command: str | None = None,
    commanded_at: datetime | None = None,
) -> AuditRecord:
    """Append an entry to a project's audit log, in the current trace. See ``Audit.append`` for ``command``.

    Raises:
        TransientError: the store is out of reach; the action's outcome must not be said then.
        CorruptArtifact: the end of the log is broken.
    """
    entry = AuditEntry(
        actor=actor,
        action=action,
        subject=subject,
        outcome=outcome,
        reason=reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 1]}…",
        command=command,
        trace_id=trace_id_of(current_traceparent()),
    )
    return await records.audit.append(project, entry, commanded_at=commanded_at)


async def put_on_record_everywhere(
    records: RecordStore, *, actor: str, action: str, subject: str, reason: str = ""
) -> None:
    """The same entry in every project's log: of what concerns the whole store. Raises what ``put_on_record`` raises."""
    for project in await records.projects():
        await put_on_record(records, project, actor=actor, action=action, subject=subject, reason=reason)
