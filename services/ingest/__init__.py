"""Ingest: takes a published dataset in, whatever its form, and freezes it with its recipe."""
