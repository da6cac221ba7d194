"""What a prepared part says of itself in its files."""

from __future__ import annotations

SOURCE_PART_KEY = b"tidemill.source_part"
"""Parquet metadata of a prepared shard: the part of the ingested dataset that its ``row`` numbers count in."""
