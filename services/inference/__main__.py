"""``python -m services.inference``: the gateway in a process of its own."""

from __future__ import annotations

import os

from tidemill.ending import end_with


def main() -> int:
    """Run until SIGTERM or SIGINT; the exit status."""
    # Each executor thread tokenizes its own batch; the library's threads would fight the others for the cores.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import tidemill.startup  # noqa: F401 - before the server's imports
    from services.inference.server import run

    return run()


if __name__ == "__main__":
    end_with(main)
