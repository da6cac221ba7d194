"""Names of a bucket's inbox: what its preparation asks the store to tell of, and what ingest understands."""

from __future__ import annotations

INBOX = "inbox"
"""``inbox/<project>/<dataset>/<file>`` is the key of an object that starts a run."""
RECIPE = "recipe.yaml"
"""Beside the files of a dataset: the recipe of the runs that they start from then on."""
CREATED = tuple(f"s3:ObjectCreated:{how}" for how in ("Put", "Post", "Copy", "CompleteMultipartUpload"))
"""Events that bring bytes. ``s3:ObjectCreated:*`` has others too: of tags, retention and legal holds."""
