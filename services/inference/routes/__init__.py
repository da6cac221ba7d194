"""The HTTP operations by subject. Each module lists its own in ``OPERATIONS``."""
