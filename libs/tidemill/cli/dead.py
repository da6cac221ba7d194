"""``tidemill dead``: messages that nobody could handle."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill.cli.screen import DataDirOption, JsonOption, UrlOption, print_document, screen

commands = typer.Typer(help="Messages that nobody could handle: list, replay.", no_args_is_help=True)


@commands.command("list")
def list_letters(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")] = 20,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Dead letters, newest first, each with why it is there."""
    from rich.markup import escape
    from rich.table import Table

    from tidemill.cli.figures import ago
    from tidemill.client import connect

    with connect(url, data_dir) as platform:
        letters = platform.dead_letters(limit=limit)
    if as_json:
        print_document([letter.model_dump(mode="json") for letter in letters])
        return
    if not letters:
        screen().print("no dead letters")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("id", "when", "stage", "subject", "run"):
        table.add_column(title, no_wrap=True)
    table.add_column("error", overflow="fold")
    for one in letters:
        texts = (one.stage, one.subject, one.run_id or "", one.error)
        table.add_row(one.id, ago(one.at), *map(escape, texts))
    screen().print(table)


@commands.command()
def replay(
    letter: Annotated[str, typer.Argument(metavar="ID", help="The dead letter's id.")],
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish a dead letter's message again; its run is running again."""
    from tidemill.client import connect

    with connect(url, data_dir) as platform:
        platform.replay(letter)
    if as_json:
        print_document({"id": letter, "replayed": True})
    else:
        screen().print(f"dead letter {letter} is being published again")
