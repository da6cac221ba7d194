"""The ``tidemill`` command. Speaks HTTP to the gateway; only what concerns the local platform touches its folder."""

from __future__ import annotations

import json
import sys

from tidemill.ending import INTERRUPTED, end_with


def run() -> None:
    """What the command ``tidemill`` does: ``main`` in a process of its own."""
    end_with(main)


def main() -> None:
    """Entry point: exits 0 when done, 1 when something failed, 2 when called wrongly. Errors are sentences."""
    try:
        from tidemill.cli.app import app

        app(prog_name="tidemill")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    from tidemill.contracts.recipe import RecipeError
    from tidemill.errors import TidemillError

    if not isinstance(error, TidemillError | RecipeError):
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent and not absent.startswith(("tidemill", "services")):
            print(f"tidemill: this needs {absent}, which is not installed; install tidemill[all]", file=sys.stderr)
            return 1
        if isinstance(error, UnicodeEncodeError):
            print(f"the terminal cannot show a character ({error}); set PYTHONIOENCODING=utf-8", file=sys.stderr)
            return 1
        raise error
    from tidemill.cli.screen import Misused

    wrongly = isinstance(error, Misused | RecipeError)
    print(f"tidemill: {error}", file=sys.stderr)
    if "--json" in sys.argv[1:]:
        print(json.dumps({"error": str(error)}, ensure_ascii=False))
    return 2 if wrongly else 1
