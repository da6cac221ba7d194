"""``tidemill nats``: who may connect to a NATS server of one's own, and what each may do there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidemill.cli.screen import JsonOption, print_document, screen

commands = typer.Typer(help="Users of a NATS server of your own.", no_args_is_help=True)


@commands.callback()
def nats() -> None:
    """Users of a NATS server of your own."""


@commands.command()
def accounts(
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="Folder of the seeds and of accounts.conf.")],
    rotate: Annotated[
        list[str] | None,
        typer.Option("--rotate", metavar="USER", help="Give this user a new seed.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a seed for each service and the file of public keys and permissions that the server includes.

    Safe to repeat: seeds that are there stay, users of a newer version are added.
    """
    from tidemill.bus.accounts import ACCOUNTS_FILE, write_accounts

    done = write_accounts(into, rotate=rotate or [])
    if as_json:
        print_document({"into": str(into), "made": done.made, "rotated": done.rotated, "kept": done.kept})
        return
    console = screen()
    for what, users in (("made", done.made), ("new seed", done.rotated), ("kept", done.kept)):
        if users:
            console.print(f"{what}: {', '.join(users)}")
    console.print(f"the server includes {into / ACCOUNTS_FILE}; each service gets its own {into}/USER.nk alone")
    if done.rotated:
        console.print("next: let the server read its file again (nats-server --signal reload); old seeds end there,")
        console.print("and a service whose seed file holds the new one by then connects again by itself")
