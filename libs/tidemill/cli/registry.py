"""``tidemill registry``: the database made again from the bucket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli.screen import DataDirOption, JsonOption, print_document, screen

if TYPE_CHECKING:
    from tidemill.platform.data_dir import DataDir

commands = typer.Typer(help="The registry's database.", no_args_is_help=True)


@commands.callback()
def registry() -> None:
    """The registry's database."""


@commands.command()
def rebuild(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Make the registry's database again from the records in the store alone."""
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.programs import current_store_url

    data = DataDir.find(data_dir)
    summary = ask("rebuild", data, current_store_url(data))
    if as_json:
        print_document({"data_dir": str(data.root), **summary})
        return
    screen().print(
        f"made again from {summary['runs']} runs with {summary['stages']} stages and {summary['decisions']} decisions: "
        f"{summary['database']}"
    )


def ask(program: str, data: DataDir, store_url: str) -> dict[str, Any]:
    """What ``services.registry.<program>`` says, run in a process of its own: the command knows no service.

    Raises:
        TidemillError: it failed; in its own words.
    """
    from tidemill.errors import TidemillError

    environment = os.environ | {"TIDEMILL_DATA_DIR": str(data.root), "TIDEMILL_STORE_URL": store_url}
    done = subprocess.run(
        [sys.executable, "-P", "-m", f"services.registry.{program}"],
        env=environment, cwd=data.root if data.root.is_dir() else None, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"services.registry.{program} failed and said nothing"]
        raise TidemillError(said[-1])
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
