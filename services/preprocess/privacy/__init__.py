"""Personal data: finding it, treating it, keeping what tokens stand for, measuring anonymity.

Recognisers by form are in ``entities``, what happens to a finding in ``treatment``, the row steps in ``steps``, the
vault in ``vault``. Knows texts and columns; nothing of jobs, artifacts or parts.
"""

from services.preprocess.privacy.anonymity import AnonymityReport, anonymity, at_risk, require
from services.preprocess.privacy.findings import Findings, find
from services.preprocess.privacy.key import key_fingerprint, read_key
from services.preprocess.privacy.steps import entity_treatments, makes_tokens, needs_key, privacy_steps
from services.preprocess.privacy.text_scan import masked
from services.preprocess.privacy.tokens import TOKENS
from services.preprocess.privacy.vault import collected, merged, reveal, write_vault

__all__ = [
    "TOKENS", "AnonymityReport", "Findings", "anonymity", "at_risk", "collected", "entity_treatments", "find",
    "key_fingerprint", "makes_tokens", "masked", "merged", "needs_key", "privacy_steps", "read_key", "require",
    "reveal", "write_vault",
]  # fmt: skip
