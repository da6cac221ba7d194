"""``tidemill publish``: checks what can be checked here, publishes, and follows the run to its summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.screen import DataDirOption, JsonOption, Misused, UrlOption, print_document, screen

if TYPE_CHECKING:
    from tidemill.client import Platform, Run


def publish(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|FOLDER|URI...",
            help="The dataset: files, an archive, a folder and all that is in it, or a URI.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="Name of the dataset and its model; else the file's.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option("--recipe", "-r", metavar="YAML", help="The recipe's file.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, e.g. training.epochs=2; repeatable."),
    ] = None,
    cache: Annotated[bool, typer.Option(help="Use results that exist for the same inputs.")] = True,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Follow the run to its end.")] = False,
    promote: Annotated[
        bool | None, typer.Option("--promote/--no-promote", help="Override promotion.enabled of the recipe.")
    ] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Add the rows to the dataset's last version; else they replace it.")
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option("--licence", metavar="NAME", help="The dataset's licence, an SPDX identifier or a name."),
    ] = None,
    owner: Annotated[str | None, typer.Option("--owner", metavar="NAME", help="Whose dataset it is.")] = None,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish a dataset: a run makes a model from it and puts it in service."""
    from tidemill.cli.recipes import compose
    from tidemill.cli.uploading import uploading
    from tidemill.client import connect
    from tidemill.client.sources import check_name
    from tidemill.errors import InvalidInput

    document = compose(recipe, changes or [])
    if name is not None:
        try:
            check_name(name)
        except InvalidInput as error:
            raise Misused(f"--name: {error}") from None
    with connect(url, data_dir) as platform:
        with uploading(as_json) as sent:
            run = platform.publish(
                sources, name=name, recipe=document or None, use_cache=cache, promote=promote, append=append,
                licence=licence, owner=owner, sent=sent,
            )  # fmt: skip
        if wait:
            follow(platform, run, as_json=as_json, hint=_where(data_dir, url))
            return
        trains = document.get("until") != "prepared"
        if as_json:
            print_document(
                {
                    "run_id": run.run_id,
                    "state": "running",
                    "dataset": run.name,
                    "model": run.name if trains else None,
                    "endpoint": platform.predict_url(run.name) if trains else None,
                }
            )
            return
        screen().print(f"run [bold]{run.run_id}[/bold] has begun; follow it: tidemill runs watch {run.run_id}")


def follow(platform: Platform, run: Run, *, as_json: bool, hint: str = "") -> None:
    """Show the run live until it ends, then what a person or a script wants to know; exit 1 when it did not finish."""
    from tidemill.cli.progress import showing
    from tidemill.cli.summary import as_document, summary

    console = screen(as_json)
    if not as_json:
        console.print(f"[dim]run {run.run_id}[/dim]")
    try:
        with showing(console) as show:
            view = run.wait(progress=show)
    except KeyboardInterrupt:
        console.print(
            f"the run goes on; tidemill runs watch {run.run_id}{hint}, tidemill runs cancel {run.run_id}{hint}"
        )
        raise typer.Exit(130) from None
    endpoint = platform.predict_url(view.model or view.name)
    if as_json:
        print_document(as_document(view, endpoint))
    else:
        console.print(summary(view, endpoint, hint))
    if view.state != "finished":
        raise typer.Exit(1)


def _where(data_dir: Path | None, url: str | None) -> str:
    parts: list[Any] = []
    if url is not None:
        parts = ["--url", url]
    elif data_dir is not None:
        parts = ["--data-dir", data_dir]
    return "".join(f" {part}" for part in parts)
