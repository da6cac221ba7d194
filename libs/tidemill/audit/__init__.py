"""The audit log as those use it who act and those who look: entries of control actions, and the proof of the chains.

Where entries are kept, and how they are chained, is ``tidemill.records.audit``.
"""

from tidemill.audit.actions import put_on_record, put_on_record_everywhere
from tidemill.audit.verification import ChainHead, Verification, verify

__all__ = ["ChainHead", "Verification", "put_on_record", "put_on_record_everywhere", "verify"]
