"""``tidemill audit``: who did what, and the proof that nothing on record was changed."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from tidemill.cli.screen import DataDirOption, JsonOption, UrlOption, print_document, screen

if TYPE_CHECKING:
    from tidemill.audit import Verification

commands = typer.Typer(help="Control actions on record: list, verify, export.", no_args_is_help=True)

HeadOption = Annotated[
    list[str] | None,
    typer.Option("--head", metavar="DIGEST", help="A digest noted before: proves that nothing was cut off since."),
]
ProjectOption = Annotated[
    list[str] | None, typer.Option("--project", metavar="NAME", help="Only this project; may be given several times.")
]


@commands.command("list")
def list_entries(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")] = 20,
    before: Annotated[
        int | None, typer.Option(min=1, metavar="NUMBER", help="Only entries before this one.", show_default=False)
    ] = None,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Control actions, newest first: who did what to which, and how it went."""
    from rich.markup import escape
    from rich.table import Table

    from tidemill.client import connect

    with connect(url, data_dir) as platform:
        entries = platform.audit(limit=limit, before=before)
    if as_json:
        print_document([one.model_dump(mode="json") for one in entries])
        return
    if not entries:
        screen().print("nothing is on record")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("number", "when", "who", "what", "to which"):
        table.add_column(title, no_wrap=True)
    table.add_column("outcome", overflow="fold")
    for one in entries:
        outcome = escape(one.reason) or "done"
        if one.outcome == "refused":
            outcome = f"[red]refused[/red]: {outcome}"
        when = f"{one.at:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(one.sequence), when, escape(one.actor), one.action, escape(one.subject), outcome)
    screen().print(table)


@commands.command()
def verify(
    head: HeadOption = None,
    project: ProjectOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Walk through the audit logs and decisions of all projects, link by link; exit 1 when one is broken.

    Note the digests that it prints somewhere else: with --head they prove later that nothing was cut off the end.
    """
    _conclude(asyncio.run(_verified(data_dir, project, head)), as_json)


@commands.command()
def export(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="A file for JSON lines, one an entry; - for stdout.")],
    project: ProjectOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write the audit logs as JSON lines, verified as they are read; exit 1 when one is broken."""
    from tidemill.errors import InvalidInput

    try:
        with to.open("x", encoding="utf-8") if str(to) != "-" else nullcontext(sys.stdout) as file:
            found = asyncio.run(_verified(data_dir, project, None, file))
    except OSError as error:
        raise InvalidInput(f"{to} cannot be written: {error.strerror}; name a new file") from None
    _conclude(found, as_json=False, to_stderr=str(to) == "-")


async def _verified(
    data_dir: Path | None, projects: list[str] | None, heads: list[str] | None, file: TextIO | None = None
) -> Verification:
    from tidemill.artifacts.objects import open_objects
    from tidemill.audit import verify as verify_chains
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.programs import current_store_url
    from tidemill.records.schema import AuditRecord

    def walked(project: str, _: str, link: Any) -> None:
        if file is not None and isinstance(link, AuditRecord):
            line = {"project": project, **link.model_dump(mode="json")}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    objects = open_objects(current_store_url(DataDir.find(data_dir)))
    return await verify_chains(objects, projects=projects or (), heads=heads or (), walked=walked)


def _conclude(found: Verification, as_json: bool, *, to_stderr: bool = False) -> None:
    from rich.markup import escape

    if as_json:
        print_document(found.model_dump(mode="json") | {"good": found.good})
    console = screen(as_json or to_stderr)
    for chain in found.chains:
        state = f"[red]broken[/red]: {escape(chain.broken)}" if chain.broken else "whole"
        what = "audit entries" if chain.chain == "audit" else "decisions"
        last = f", the last is {chain.head}" if chain.head else ""
        console.print(f"project {escape(chain.project)}: {chain.links} {what}{last}: {state}")
    for digest in found.missing_heads:
        console.print(f"[red]missing[/red]: no chain holds {escape(digest)}: entries were cut off, or it is another's")
    if not found.chains:
        console.print("nothing is on record")
    if not found.good:
        raise typer.Exit(1)
