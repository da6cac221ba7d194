"""``tidemill models`` and ``tidemill predict``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tidemill.cli.screen import (
    DataDirOption,
    JsonOption,
    Misused,
    UrlOption,
    YesOption,
    agreed,
    eventually,
    print_document,
    screen,
)

commands = typer.Typer(help="The models: list, show, promote, revoke, delete.", no_args_is_help=True)

ModelArgument = Annotated[str, typer.Argument(metavar="NAME", help="The model's name; see `tidemill models list`.")]


@commands.command("list")
def list_models(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")] = 200,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Models, those with the newest versions first."""
    from rich.markup import escape
    from rich.table import Table

    from tidemill.cli.figures import ago, share
    from tidemill.client import connect

    with connect(url, data_dir) as platform:
        rows = platform.models(limit=limit)
    if as_json:
        print_document([row.model_dump(mode="json") for row in rows])
        return
    if not rows:
        screen().print("no models yet; make one: tidemill publish reviews.csv --name reviews --wait")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("model", "task", "versions", "champion", "accuracy", "macro F1", "changed"):
        table.add_column(title)
    for row in rows:
        figures = [share(row.metrics[key]) if key in row.metrics else "" for key in ("accuracy", "macro_f1")]
        champion = f"version {row.champion}" if row.champion else "none"
        table.add_row(escape(row.name), row.task, str(row.versions), champion, *figures, ago(row.updated_at))
    screen().print(table)


@commands.command()
def show(
    name: ModelArgument, data_dir: DataDirOption = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """One model: its aliases, its versions, what it came from."""
    from rich.markup import escape

    from tidemill.cli.model_screen import class_table, lineage, version_table
    from tidemill.client import connect

    with connect(url, data_dir) as platform:
        model = platform.model(name)
        endpoint = platform.predict_url(name)
    if as_json:
        print_document(model.model_dump(mode="json") | {"endpoint": endpoint})
        return
    console = screen()
    aliases = ", ".join(f"{alias}: version {version}" for alias, version in model.aliases.items())
    console.print(f"[bold]{escape(model.name)}[/bold]  {model.task}  {aliases}\n[dim]{escape(endpoint)}[/dim]\n")
    console.print(version_table(model))
    champion = next((one for one in model.versions if one.version == model.aliases.get("champion")), None)
    chosen = champion or (model.versions[0] if model.versions else None)
    if chosen is not None:
        console.print(f"\n[bold]version {chosen.version}[/bold]")
        console.print(lineage(chosen))
        console.print()
        console.print(class_table(chosen))


@commands.command()
def promote(
    name: ModelArgument,
    version: Annotated[int, typer.Argument(help="The version that the alias shall point to.", min=1)],
    alias: Annotated[str, typer.Option(help="The alias.")] = "champion",
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Point an alias to a version, whatever the gates say."""
    from rich.markup import escape

    from tidemill.client import connect

    with connect(url, data_dir) as platform:
        platform.promote(name, version, alias)
        done = eventually(lambda: platform.model(name).aliases.get(alias) == version)
    if as_json:
        print_document({"model": name, "alias": alias, "version": version, "done": done})
    elif done:
        screen().print(f"{escape(alias)} of {escape(name)} is version {version} now")
    else:
        screen().print(f"the command is on its way; see `tidemill models show {escape(name)}`")


@commands.command()
def revoke(
    name: ModelArgument,
    version: Annotated[int, typer.Argument(help="The version that must not serve any more.", min=1)],
    reason: Annotated[str, typer.Option(help="Why; it is shown to whoever asks for the version.")],
    yes: YesOption = False,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a version out of service for good; its aliases fall back to the last good version, or to none."""
    from rich.markup import escape

    from tidemill.client import connect

    with connect(url, data_dir) as platform:
        before = platform.model(name).aliases
        agreed(f"Revoke version {version} of model {name} for good?", yes=yes)
        platform.revoke(name, version, reason)

        def revoked() -> bool:
            return any(one.version == version and one.revoked_at for one in platform.model(name).versions)

        done = eventually(revoked)
        aliases = platform.model(name).aliases
    if as_json:
        print_document({"model": name, "version": version, "aliases": aliases, "done": done})
        return
    if not done:
        screen().print(f"the command is on its way; see `tidemill models show {escape(name)}`")
        return
    screen().print(f"version {version} of {escape(name)} is revoked and out of service")
    for alias in sorted(alias for alias, pointed in before.items() if pointed == version):
        now = f"is version {aliases[alias]} again" if alias in aliases else "points to nothing: no good version is left"
        screen().print(f"{escape(alias)} {now}")


@commands.command()
def delete(
    name: ModelArgument,
    version: Annotated[
        int | None, typer.Option(help="One version, which is not the champion.", min=1, show_default=False)
    ] = None,
    yes: YesOption = False,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a model, or one of its versions; its storage is freed by the garbage collection."""
    from rich.markup import escape

    from tidemill.client import connect
    from tidemill.errors import NotFound

    with connect(url, data_dir) as platform:
        numbers = [one.version for one in platform.model(name).versions]
        what = f"version {version} of model {name}" if version else f"model {name} with {len(numbers)} versions"
        agreed(f"Delete {what}?", yes=yes)
        platform.delete_model(name, version)
        gone = {version} if version else set(numbers)

        def deleted() -> bool:
            try:
                return gone.isdisjoint(one.version for one in platform.model(name).versions)
            except NotFound:
                return True

        done = eventually(deleted)
    if as_json:
        print_document({"model": name, "versions": sorted(gone), "done": done})
    elif done:
        screen().print(f"{escape(what)} deleted; `tidemill gc` and the daily collection free its storage")
    else:
        screen().print(f"the command is on its way; see `tidemill models show {escape(name)}`")


def predict(
    name: ModelArgument,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT...", help="The texts; lines of standard input when absent.")
    ] = None,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the served model about texts."""
    from rich.markup import escape
    from rich.table import Table

    from tidemill.client import connect

    if not texts:
        if sys.stdin.isatty():
            raise Misused('give a text: tidemill predict NAME "text"')
        texts = [line.rstrip("\r\n") for line in sys.stdin if line.strip()]
    if not texts:
        raise Misused("standard input holds no text")
    with connect(url, data_dir) as platform:
        answer = platform.predict(name, texts)
    if as_json:
        print_document(answer)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(style="dim", justify="right")
    table.add_column()
    for text, prediction in zip(texts, answer["predictions"], strict=True):
        table.add_row(escape(prediction["label"]), f"{prediction['score']:.2f}", escape(text))
    screen().print(table)
