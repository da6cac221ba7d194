"""A copy of the whole platform, made while it runs, and a platform made of the copy."""

from tidemill.backup.making import back_up
from tidemill.backup.restoring import restore
from tidemill.backup.schema import BackupRecord, Damage, RestoreSummary

__all__ = ["BackupRecord", "Damage", "RestoreSummary", "back_up", "restore"]
