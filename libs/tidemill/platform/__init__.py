"""``tidemill up``: the whole platform on one machine without Docker."""
