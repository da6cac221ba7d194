"""``tidemill deploy``: the one-shot steps of a deployment in containers."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from tidemill.cli.screen import JsonOption, print_document, screen

commands = typer.Typer(help="The one-shot steps of a deployment in containers.", no_args_is_help=True)


@commands.callback()
def deploy() -> None:
    """The one-shot steps of a deployment in containers."""


@commands.command()
def secrets(
    into: Annotated[Path, typer.Option(help="Folder that has a folder for each service and server.")],
    as_json: JsonOption = False,
) -> None:
    """Make the secrets that are missing, a file each; what is there is never changed."""
    from tidemill.deploy.secrets import make_secrets

    made = make_secrets(into)
    if as_json:
        print_document({"into": str(into), "made": made})
    elif made:
        screen().print(f"made {len(made)} secrets in {into}: {', '.join(made)}", soft_wrap=True, markup=False)
    else:
        screen().print(f"nothing is missing in {into}", markup=False)


@commands.command()
def provision(
    wait: Annotated[float, typer.Option(help="Seconds in which store, NATS and database have to answer.", min=0)] = 120,
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="ARN",
            help="Have the bucket tell this target of new objects in its inbox, where the service can; as in "
            "`tidemill store prepare`. Empty: do not.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prepare the bucket, the streams and the database that the services' settings name. Safe to repeat."""
    from tidemill.deploy.provisioning import provision_platform
    from tidemill.settings import PlatformSettings, StreamSettings, read_settings

    console = screen(as_json)
    platform, streams = read_settings(PlatformSettings), read_settings(StreamSettings)
    done = asyncio.run(
        provision_platform(
            platform,
            streams,
            notify=notify or None,
            patience=wait,
            said=lambda line: console.print(line, soft_wrap=True, markup=False),
        )
    )
    if as_json:
        print_document(dataclasses.asdict(done))
