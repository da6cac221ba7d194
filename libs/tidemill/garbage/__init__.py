"""Garbage collection: artifacts that no version, run, checkpoint in use or put in flight refers to are deleted.

What is referred to is read from the records alone, so a collection needs nothing but the store. It runs beside a
platform at work, in two phases that lie at least a grace apart; see docs/adr/0008-garbage-collection.md.
"""

from tidemill.garbage.collection import Collector
from tidemill.garbage.policy import Policy
from tidemill.garbage.report import Report

__all__ = ["Collector", "Policy", "Report"]
