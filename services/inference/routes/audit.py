"""The audit log: who did what, newest first, read from the records: nothing else has to be up."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from services.inference.access.caller import project_of
from services.inference.gateway import gateway_of
from services.inference.web.operations import Operation, Query, json_response
from services.inference.web.questions import most, whole_number
from tidemill.contracts.queries import AuditEntryView
from tidemill.records.schema import AuditRecord

_DEFAULT = 50
_MOST = 1000


async def list_entries(request: Request) -> Response:
    """The latest entries, or those before one of them."""
    gateway = gateway_of(request)
    limit = whole_number(request, "limit", most=_MOST) or _DEFAULT
    before = whole_number(request, "before")
    found = await gateway.records.audit.newest(project_of(request), limit=limit, before=before)
    return json_response([view(record).model_dump(mode="json") for record in found])


def view(record: AuditRecord) -> AuditEntryView:
    """An entry as it is shown."""
    shown = record.entry.model_dump(exclude={"command"})
    return AuditEntryView.model_validate(
        {**shown, "sequence": record.sequence, "at": record.at, "digest": record.digest}
    )


OPERATIONS = (
    Operation(
        "GET", "/v1/audit", list_entries, "The audit log: control actions, newest first", "audit",
        scopes=("admin",), answers=list[AuditEntryView], problems=(400, 503),
        query=(
            most(_DEFAULT),
            Query("before", {"type": "integer", "minimum": 1}, "Only entries with a lower sequence."),
        ),
    ),
)  # fmt: skip
