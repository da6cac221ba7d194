"""``make audit``."""
