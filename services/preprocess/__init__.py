"""Preprocess: cleans a dataset and cuts it into parts that share no example."""

import os

# Before Daft is imported, which otherwise tells its makers of every import and every process from a thread of its own.
os.environ.setdefault("DAFT_ANALYTICS_ENABLED", "0")
