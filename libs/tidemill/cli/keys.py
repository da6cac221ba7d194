"""``tidemill keys``: who may come in through the gateway, and what they may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.screen import (
    DataDirOption,
    JsonOption,
    Misused,
    UrlOption,
    YesOption,
    agreed,
    print_document,
    screen,
)

if TYPE_CHECKING:
    from tidemill.contracts import KeyView, NewKey

commands = typer.Typer(help="API keys of a project: create, list, rotate, revoke.", no_args_is_help=True)

KeyArgument = Annotated[str, typer.Argument(metavar="KEY_ID", help="As `tidemill keys list` shows it.")]


@commands.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[
        list[str], typer.Option("--scope", "-s", help="read, predict, publish or admin; again for another one.")
    ],
    rate: Annotated[
        str | None,
        typer.Option(metavar="N/UNIT", help="How often it may ask each gateway: 10/s, 600/m.", show_default=False),
    ] = None,
    max_body: Annotated[
        int | None, typer.Option(metavar="BYTES", help="Largest body of its requests.", show_default=False)
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="DURATION", help="When it ends by itself: 90d.", show_default=False)
    ] = None,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Issue an API key of the project. It is shown this once."""
    from tidemill.client import connect
    from tidemill.contracts import SCOPES

    unknown = [one for one in scope if one not in SCOPES]
    if unknown:
        raise Misused(f"--scope {unknown[0]}: there is no such scope; there are {', '.join(SCOPES)}")
    scopes = [one for one in SCOPES if one in scope]
    with connect(url, data_dir) as platform:
        key = platform.keys.create(name, scopes, rate=rate, body_bytes=max_body, expires_in=expires)
    _show_once(key, as_json)


@commands.command("list")
def list_keys(data_dir: DataDirOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """The project's keys, the last issued first; not their secrets."""
    from rich.markup import escape
    from rich.table import Table

    from tidemill.client import connect

    with connect(url, data_dir) as platform:
        keys = platform.keys.list()
    if as_json:
        print_document([key.model_dump(mode="json") for key in keys])
        return
    if not keys:
        screen().print("no keys; `tidemill keys create NAME --scope read` issues one")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("key", "name", "may", "rate", "state", "issued"):
        table.add_column(heading, overflow="fold")
    for key in keys:
        issued = f"{key.issued_at:%Y-%m-%d %H:%M} by {key.issued_by}"
        table.add_row(
            key.key_id, escape(key.name), ", ".join(key.scopes), str(key.rate or ""), _state(key), escape(issued)
        )
    screen().print(table)


@commands.command()
def rotate(
    key_id: KeyArgument,
    grace: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="How long the old one is still taken; else 24h.", show_default=False),
    ] = None,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Issue a key that may do what another one may; both are taken until the grace is over."""
    from tidemill.client import connect

    with connect(url, data_dir) as platform:
        key = platform.keys.rotate(key_id, grace=grace)
    _show_once(key, as_json)


@commands.command()
def revoke(
    key_id: KeyArgument,
    yes: YesOption = False,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a key no longer, at once and for good."""
    from tidemill.client import connect

    agreed(f"Revoke key {key_id}? Whoever uses it is locked out at once.", yes=yes)
    with connect(url, data_dir) as platform:
        platform.keys.revoke(key_id)
    if as_json:
        print_document({"key_id": key_id, "revoked": True})
        return
    screen().print(f"key {key_id} is revoked")


def _show_once(key: NewKey, as_json: bool) -> None:
    if as_json:
        print_document(key.model_dump(mode="json"))
        return
    screen(as_json=True).print(f"[dim]key {key.key_id} may {', '.join(key.scopes)}; it is shown this once:[/dim]")
    print(key.key)
    if key.state == "pending":
        screen(as_json=True).print("[yellow]the registry has not heard of it yet; it is taken once it has[/yellow]")


def _state(key: KeyView) -> str:
    if key.state != "valid":
        return f"[red]{key.state}[/red]"
    return f"valid until {key.ends_at:%Y-%m-%d %H:%M}" if key.ends_at else "valid"
