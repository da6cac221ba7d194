"""``python -m services.registry`` runs the service, and with ``rebuild`` makes its database again."""

from __future__ import annotations

import asyncio
import sys

from services.registry.settings import RegistrySettings


def main(arguments: list[str]) -> int:
    """Run what ``arguments`` say; the exit code."""
    if arguments == ["rebuild"]:
        return _rebuild()
    if arguments:
        print("usage: python -m services.registry [rebuild]", file=sys.stderr)
        return 2
    from services.registry.app import create_app
    from tidemill.stage.application import run

    run(create_app, RegistrySettings())
    return 0


def _rebuild() -> int:
    from services.registry.rebuild import rebuild
    from tidemill.errors import TidemillError

    try:
        print(asyncio.run(rebuild(RegistrySettings().platform)).sentence)
    except TidemillError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
