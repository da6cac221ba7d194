"""Alembic migrations of the registry's tables, run in process when it starts."""

HEAD = "0003"
"""The revision that the tables of this version need; a test compares it with the newest file in ``versions``."""
