"""``tidemill store``: the bucket made fit for the platform, a step before the first ``up`` on S3."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from tidemill.cli import store_keys
from tidemill.cli.screen import DataDirOption, JsonOption, print_document, screen

commands = typer.Typer(help="Where artifacts and records are kept.", no_args_is_help=True)
commands.add_typer(store_keys.commands, name="keys")


@commands.callback()
def store() -> None:
    """Where artifacts and records are kept."""


NotifyOption = Annotated[
    str | None,
    typer.Option(help="ARN of the target to tell of new objects below inbox/, e.g. arn:minio:sqs::TIDEMILL:nats."),
]
EncryptOption = Annotated[bool, typer.Option("--encrypt", help="Have the service encrypt new objects (SSE-S3).")]


@commands.command()
def prepare(
    notify: NotifyOption = None,
    encrypt: EncryptOption = False,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create the bucket of TIDEMILL_STORE_URL, turn its versioning on, and check that it decides races.

    Without TIDEMILL_STORE_URL it is the store of the platform that runs in the data folder.
    """
    from tidemill.artifacts import open_store
    from tidemill.artifacts.buckets import prepare_bucket
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.programs import current_store_url, store_url

    data = DataDir.find(data_dir)
    # Whoever names a bucket means that one: it may be prepared for the next start, while the platform runs on another.
    url = store_url(data) if os.environ.get("TIDEMILL_STORE_URL") else current_store_url(data)

    async def do() -> None:
        await prepare_bucket(url, notify=notify, encrypt=encrypt)
        await open_store(url, cache=data.root / "cache").check()

    asyncio.run(do())
    if as_json:
        print_document({"store_url": url, "ready": True})
        return
    screen().print(f"{url} is ready; next: tidemill up")
