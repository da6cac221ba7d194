"""A receiver of OTLP."""

from tidemill.testing.otlp import collector  # noqa: F401
