"""Where datasets come from: local files, web addresses, buckets. Copies bytes, never looks into them."""
