"""JetStream's API as subjects: what a client has to be allowed to publish on for what it wants to do.

Source: NATS documentation, "JetStream wire API reference" and ADR-1 of nats-architecture-and-design.
"""

from __future__ import annotations

from tidemill.bus.streams import bucket_stream

STREAM_LIST = "$JS.API.STREAM.LIST"
LOOK = (
    "$JS.API.INFO", "$JS.API.STREAM.NAMES", STREAM_LIST, "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.CONSUMER.NAMES.*", "$JS.API.CONSUMER.LIST.*", "$JS.API.CONSUMER.INFO.*.*",
)  # fmt: skip
"""Everything that changes nothing."""


def consume(stream: str, consumer: str, *, only: str | None = None) -> list[str]:
    """Make a durable pull consumer of that name, pull from it, acknowledge. ``only`` pins what it may filter.

    The server refuses a consumer whose filter differs from the one in the subject.
    """
    made = f"$JS.API.CONSUMER.CREATE.{stream}.{consumer}"
    return [
        made if only is None else f"{made}.{only}",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}",
        f"$JS.ACK.{stream}.{consumer}.>",
    ]


def read(bucket: str) -> list[str]:
    """Open a KV bucket and read its entries."""
    stream = bucket_stream(bucket)
    return [stream_info(stream), f"$JS.API.STREAM.MSG.GET.{stream}"]


def watch(bucket: str) -> list[str]:
    """Watch a KV bucket: an ephemeral consumer with flow control."""
    stream = bucket_stream(bucket)
    return [f"$JS.API.CONSUMER.CREATE.{stream}", f"$JS.API.CONSUMER.INFO.{stream}.*", f"$JS.FC.{stream}.>"]


def stream_info(stream: str) -> str:
    """Ask how a stream is."""
    return f"$JS.API.STREAM.INFO.{stream}"


def search(stream: str) -> list[str]:
    """Read a stream's messages one by one, and remove some of them for good."""
    return [f"$JS.API.STREAM.MSG.GET.{stream}", f"$JS.API.STREAM.MSG.DELETE.{stream}", purge(stream)]


def consumer_info(stream: str) -> str:
    """Ask how any consumer of a stream is."""
    return f"$JS.API.CONSUMER.INFO.{stream}.*"


def consumer_list(stream: str) -> str:
    """List a stream's consumers."""
    return f"$JS.API.CONSUMER.LIST.{stream}"


def create(stream: str) -> str:
    """Make a stream."""
    return f"$JS.API.STREAM.CREATE.{stream}"


def update(stream: str) -> str:
    """Change a stream's settings."""
    return f"$JS.API.STREAM.UPDATE.{stream}"


def purge(stream: str) -> str:
    """Drop messages of a stream."""
    return f"$JS.API.STREAM.PURGE.{stream}"
