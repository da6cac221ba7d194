"""Records: small create-only documents of what happened and what was decided, beside the artifacts."""

from tidemill.records.decisions import Decide
from tidemill.records.record_store import RecordStore, open_records

__all__ = ["Decide", "RecordStore", "open_records"]
