"""``tidemill sample``: data to try the platform with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidemill.cli.screen import JsonOption, print_document, screen

commands = typer.Typer(help="Data to try the platform with.", no_args_is_help=True)


@commands.callback()
def samples() -> None:
    """Data to try the platform with."""


@commands.command("dirty-customers")
def dirty_customers(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The CSV file to write.")],
    rows: Annotated[int, typer.Option(min=16, max=1_000_000, help="How many rows.")] = 600,
    seed: Annotated[int, typer.Option(help="Other rows for another number.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Invented customers with the dirt of real tables: gaps, duplicates, wrong values, personal data in messages."""
    from tidemill.cli.dirty_customers import HEADER, write

    write(to.expanduser(), rows, seed)
    if as_json:
        print_document({"file": str(to), "rows": rows, "columns": HEADER})
    else:
        screen().print(f"{to}: {rows:,} rows with the columns {', '.join(HEADER)}")


@commands.command()
def shapes(
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="The folder to write.")],
    images: Annotated[int, typer.Option(min=3, max=1000, help="How many images of each shape.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Small images of three shapes, a folder for each."""
    from tidemill.cli.shapes import write

    written = write(to.expanduser(), images)
    if as_json:
        print_document({"folder": str(to), "images": sum(written.values()), "labels": written})
    else:
        screen().print(f"{to}: {sum(written.values()):,} images of {', '.join(written)}")


@commands.command("python-docs")
def python_docs(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The CSV file to write.")],
    rows: Annotated[int | None, typer.Option(min=16, help="How many rows at most.", show_default=False)] = None,
    as_json: JsonOption = False,
) -> None:
    """The documentation of this Python interpreter, labelled by area: CSV with the columns text and label."""
    from collections import Counter

    from rich.table import Table

    from tidemill.cli.python_docs import examples, write_csv

    found = examples(rows)
    write_csv(found, to.expanduser())
    counts = Counter(example.label for example in found)
    if as_json:
        print_document({"file": str(to), "rows": len(found), "labels": dict(sorted(counts.items()))})
        return
    console = screen()
    console.print(f"{to}: {len(found):,} rows, {len(counts)} labels")
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right")
    table.add_column()
    for label, count in sorted(counts.items()):
        table.add_row(str(count), label)
    console.print(table)
