"""``tidemill datasets versions``, ``report`` and ``fetch``: where a dataset comes from, what was done to it, itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from tidemill.cli.datasets import commands
from tidemill.cli.screen import DataDirOption, JsonOption, Misused, UrlOption, print_document, progress_bar, screen

if TYPE_CHECKING:
    from tidemill.contracts.queries import DatasetVersionView


@commands.command()
def versions(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The dataset's name; see `tidemill datasets list`.")],
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """The versions of a dataset: where each comes from, its licence, its rows."""
    from rich.markup import escape
    from rich.table import Table

    from tidemill.cli.figures import ago
    from tidemill.client import connect

    with connect(url, data_dir) as platform:
        found = platform.dataset_versions(name)
    if as_json:
        print_document([one.model_dump(mode="json") for one in found])
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("version", justify="right")
    table.add_column("rows", justify="right")
    for title in ("from", "licence", "owner", "taken in", "run"):
        table.add_column(title, overflow="fold")
    for one in found:
        rows = f"{one.rows:,}" if one.rows is not None else "[dim]not taken in[/dim]"
        table.add_row(
            str(one.version), rows, escape(_origin(one)), escape(one.licence or ""), escape(one.owner or ""),
            ago(one.at), one.run_id,
        )  # fmt: skip
    screen().print(table)
    screen().print(f"[dim]what was done to a version: tidemill datasets report {found[0].run_id}[/dim]")


@commands.command()
def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id; see `tidemill runs list`.")],
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Where the page goes; RUN.html here by default.")
    ] = None,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Save the data report of a run: one HTML page that opens anywhere."""
    from rich.markup import escape

    from tidemill.client import connect
    from tidemill.errors import InvalidInput

    with connect(url, data_dir) as platform:
        page = platform.data_report(run)
    target = save or Path(f"{run}.html")
    try:
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{target} cannot be written: {error.strerror}") from None
    if as_json:
        print_document({"run_id": run, "file": str(target.absolute())})
    else:
        screen().print(f"the data report of {escape(run)} is in {escape(str(target))}; open it in a browser")


@commands.command()
def fetch(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id; see `tidemill runs list`.")],
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="A new or empty folder.")],
    what: Annotated[
        str, typer.Option("--what", metavar="WHAT", help="dataset (prepared), ingested, quarantine, report or vault.")
    ] = "dataset",
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Save what a run made of its dataset: Parquet files by part, with their schema."""
    from rich.markup import escape

    from tidemill.client import connect
    from tidemill.contracts.queries import RunArtifact

    if what not in get_args(RunArtifact):
        raise Misused(f"there is no {what!r} to fetch; it can be {', '.join(get_args(RunArtifact))}")
    with connect(url, data_dir) as platform, progress_bar(screen(as_json)) as progress:
        platform.fetch(
            run, to, what=cast("RunArtifact", what), received=lambda done, of: progress("fetching", done, of)
        )
    if as_json:
        print_document({"run_id": run, "what": what, "folder": str(to.absolute())})
    else:
        screen().print(f"the {what} of {escape(run)} is in {escape(str(to))}")


def _origin(one: DatasetVersionView) -> str:
    where = one.uri or "an upload"
    return f"{where}, appended" if one.append else where
