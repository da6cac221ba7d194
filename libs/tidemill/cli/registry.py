"""``tidemill registry``: the database made again from the bucket, and what is on record trusted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.screen import (
    DataDirOption,
    JsonOption,
    UrlOption,
    YesOption,
    agreed,
    eventually,
    print_document,
    screen,
)

if TYPE_CHECKING:
    from tidemill.client.platform import Platform
    from tidemill.contracts.queries import AuditEntryView, VersionView
    from tidemill.platform.data_dir import DataDir

commands = typer.Typer(help="The registry: its database, and its trust in what is on record.", no_args_is_help=True)


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


@commands.command()
def trust(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The model; all models without.", show_default=False)
    ] = None,
    version: Annotated[int | None, typer.Option(help="One version of it.", min=1, show_default=False)] = None,
    yes: YesOption = False,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the registry sign the versions on record that no trusted signer has signed.

    For a platform that was moved without its keys, or that is older than signatures. Whoever could write the bucket
    could have put a model there: look at what is listed first.
    """
    from rich.markup import escape

    from tidemill.cli.screen import Misused
    from tidemill.client import connect

    if version is not None and name is None:
        raise Misused("--version says which version of a model; name the model too")
    with connect(url, data_dir) as platform:
        versions = _versions(platform, name, version)
        console = screen(as_json)
        for one in versions:
            signed = f"signed by {one.signed_by}" if one.signed_by else "not signed"
            console.print(
                f"{escape(one.name)} {one.version}  {one.model.digest}  {signed}  "
                f"[dim]{one.registered_at:%Y-%m-%d %H:%M} run {one.run_id}[/dim]"
            )
        agreed("Sign those that no trusted signer has signed?", yes=yes)
        last = max((one.sequence for one in platform.audit(limit=1)), default=0)
        platform.sign_versions(name, version)
        done: list[AuditEntryView] = []

        def answered() -> bool:
            done.extend(
                one for one in platform.audit(limit=50) if one.sequence > last and one.action == "sign-versions"
            )
            return bool(done)

        eventually(answered)
    if as_json:
        print_document({"done": bool(done), "said": done[0].reason if done else None})
    else:
        console.print(escape(done[0].reason) if done else "the command is on its way; see `tidemill audit list`")


def _versions(platform: Platform, name: str | None, version: int | None) -> list[VersionView]:
    names = [name] if name is not None else [row.name for row in platform.models(limit=1000)]
    found = [one for each in names for one in platform.model(each).versions]
    return [one for one in found if one.revoked_at is None and version in (None, one.version)]


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
