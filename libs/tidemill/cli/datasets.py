"""``tidemill datasets``: list, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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
    from tidemill.contracts.queries import DatasetRow

commands = typer.Typer(help="The datasets: list, delete.", no_args_is_help=True)


@commands.command("list")
def list_datasets(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")] = 200,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Datasets that were published, those with the newest runs first."""
    from rich.markup import escape
    from rich.table import Table

    from tidemill.cli.figures import ago, size
    from tidemill.client import connect

    with connect(url, data_dir) as platform:
        rows = platform.datasets(limit=limit)
    if as_json:
        print_document([row.model_dump(mode="json") for row in rows])
        return
    if not rows:
        screen().print("no datasets yet; publish one: tidemill publish reviews.csv --name reviews --wait")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("dataset")
    for title in ("versions", "rows", "size", "runs"):
        table.add_column(title, justify="right")
    table.add_column("changed")
    table.add_column("")
    for row in rows:
        rows_text = f"{row.rows:,}" if row.rows is not None else ""
        state = "[dim]deleted[/dim]" if row.deleted else f"{row.running} running" if row.running else ""
        table.add_row(
            escape(row.name), str(row.versions), rows_text, size(row.size_bytes), str(row.runs), ago(row.updated_at),
            state,
        )  # fmt: skip
    screen().print(table)


@commands.command()
def delete(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The dataset's name; see `tidemill datasets list`.")],
    yes: YesOption = False,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete what the runs of a dataset that have ended took in and prepared; models trained on it stay."""
    from rich.markup import escape

    from tidemill.client import connect
    from tidemill.errors import NotFound

    with connect(url, data_dir) as platform:
        before = _row(platform.datasets(name=name), name)
        if before is None or before.deleted:
            raise NotFound(f"there is no dataset {name!r}; `tidemill datasets list` shows the ones there are")
        agreed(f"Delete dataset {name}, of {before.runs - before.running} runs that have ended?", yes=yes)
        platform.delete_dataset(name)

        def deleted() -> bool:
            now = _row(platform.datasets(name=name), name)
            return now is None or now.deleted or (now.versions, now.size_bytes) != (before.versions, before.size_bytes)

        done = eventually(deleted)
    if as_json:
        print_document({"dataset": name, "done": done})
    elif done:
        screen().print(f"dataset {escape(name)} deleted; `tidemill gc` and the daily collection free its storage")
    else:
        screen().print("the command is on its way; see `tidemill datasets list`")


def _row(rows: list[DatasetRow], name: str) -> DatasetRow | None:
    return next((row for row in rows if row.name == name), None)
