"""Ids of traces and spans from the operating system's randomness.

OpenTelemetry's own generator uses Python's global ``random``, which training seeds: two spans of one job, and of every
job with the same seed, would get the same id.
"""

from __future__ import annotations

import os

from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import INVALID_SPAN_ID, INVALID_TRACE_ID


class SystemIds(IdGenerator):
    """Ids that no seed repeats."""

    def generate_span_id(self) -> int:
        """64 random bits, never the invalid id."""
        while (span_id := int.from_bytes(os.urandom(8))) == INVALID_SPAN_ID:
            pass
        return span_id

    def generate_trace_id(self) -> int:
        """128 random bits, never the invalid id."""
        while (trace_id := int.from_bytes(os.urandom(16))) == INVALID_TRACE_ID:
            pass
        return trace_id
