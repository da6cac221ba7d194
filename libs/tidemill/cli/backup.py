"""``tidemill backup`` and ``restore``: the whole platform copied while it runs, and one made of the copy."""

from __future__ import annotations

import asyncio
import os
import shlex
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.screen import DataDirOption, JsonOption, print_document, progress_bar, screen

if TYPE_CHECKING:
    from nats.aio.client import Client
    from rich.console import Console

    from tidemill.backup.schema import BackupRecord, Damage, RestoreSummary
    from tidemill.platform.data_dir import DataDir
    from tidemill.progress import Progress

ToArgument = Annotated[str, typer.Argument(metavar="TO", help="A folder, or s3://bucket/prefix; used again and again.")]
FromArgument = Annotated[str, typer.Argument(metavar="FROM", help="The folder or s3://bucket/prefix of a backup.")]


def backup(to: ToArgument, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Copy the whole platform while it runs; only what is new is copied again."""
    from tidemill.artifacts.objects import open_objects
    from tidemill.backup import back_up
    from tidemill.backup.messages import keep_messages
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.programs import current_store_url, signing_folder
    from tidemill.records import RecordStore

    data = DataDir.find(data_dir)
    source = open_objects(current_store_url(data))
    console = screen(as_json)

    async def do(progress: Progress) -> BackupRecord:
        target = open_objects(to)
        with tempfile.TemporaryDirectory() as folder:
            messages, counted = Path(folder) / "messages.jsonl", None
            async with _streams(data) as client:
                if client is not None:
                    counted = await keep_messages(client, RecordStore(source), messages)
            return await back_up(
                source, target, messages=messages if counted is not None else None, counted=counted,
                progress=progress, signers=list(signing_folder(data).trusted.keys().values()),
            )  # fmt: skip

    with progress_bar(console) as progress:
        made = asyncio.run(do(progress))
    if as_json:
        print_document(made.model_dump(mode="json"))
    else:
        _show_backup(console, made, to)
    _end(console, made.damages)


def restore(
    from_: FromArgument,
    erased_from: Annotated[
        str | None,
        typer.Option(
            "--erased-from", metavar="STORE", show_default=False,
            help="The platform's store as it was last, or a later backup: what was erased there is not restored.",
        ),
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Make a platform of a backup, in an empty folder (or an empty bucket that TIDEMILL_STORE_URL names)."""
    from tidemill.artifacts.objects import open_objects, open_source
    from tidemill.audit import put_on_record_everywhere
    from tidemill.backup import restore as restore_platform
    from tidemill.errors import InvalidInput
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.programs import signing_folder, store_url
    from tidemill.records import RecordStore

    data = DataDir.find(data_dir)
    if data.record_file.exists() or (data.root / "registry.db").exists() or data.kept_messages.exists():
        raise InvalidInput(
            f"{data.root} is the folder of a platform already; choose another with --data-dir, or remove it"
        )
    if os.environ.get("TIDEMILL_REGISTRY_DATABASE_URL"):
        _refuse_used_database(data)
    console = screen(as_json)

    async def do(progress: Progress) -> RestoreSummary:
        store = open_objects(store_url(data))
        since = await open_source(erased_from) if erased_from is not None else None
        made = await restore_platform(
            await open_source(from_), store, messages=data.kept_messages, progress=progress,
            signers=signing_folder(data).trusted, erased_from=since,
        )  # fmt: skip
        await put_on_record_everywhere(
            RecordStore(store), actor="local", action="restore-backup", subject=f"backup:{made.backup}",
            reason=f"restored to {made.store}; trusts the signers {', '.join(made.signers) or 'nobody'}",
        )  # fmt: skip
        return made

    data.create()
    with progress_bar(console) as progress:
        restored = asyncio.run(do(progress))
    if as_json:
        print_document(restored.model_dump(mode="json"))
    else:
        _show_restored(console, restored, data)
    _end(console, restored.damages)


def _refuse_used_database(data: DataDir) -> None:
    """A database elsewhere may be another platform's; the restored one would be mixed with it."""
    from tidemill.cli.registry import ask
    from tidemill.errors import InvalidInput
    from tidemill.platform.programs import store_url

    held = ask("inspection", data, store_url(data))
    if held["runs"] or held["versions"]:
        raise InvalidInput(
            f"the registry's database {held['database']} holds {held['runs']} runs of a platform already; let "
            "TIDEMILL_REGISTRY_DATABASE_URL name an empty one: it is filled when the restored platform starts"
        )


@asynccontextmanager
async def _streams(data: DataDir) -> AsyncIterator[Client | None]:
    """A connection to the platform's NATS: the one that runs here, else the one the environment names; else None."""
    from tidemill.platform.nats_client import account_of, connected_once

    account = account_of(data)
    async with AsyncExitStack() as stack:
        client = None
        if account is not None:
            connection = connected_once(account.url, account.login, timeout=5)
            with suppress(ConnectionError):
                client = await stack.enter_async_context(connection)
        yield client


def _show_backup(console: Console, made: BackupRecord, to: str) -> None:
    from tidemill.cli.figures import size

    console.print(
        f"backup {made.id}: {made.runs} runs, {made.records} records, {made.artifacts} artifacts, {size(made.bytes)}; "
        f"{made.copied_objects} objects with {size(made.copied_bytes)} were new"
    )
    if made.messages is None:
        console.print(
            "NATS does not run: feedback, and datasets published by plain NATS clients that ingest has not taken, are "
            "not in it; back up while the platform runs to have them"
        )
    elif made.messages:
        kept = ", ".join(f"{count} of {stream}" for stream, count in sorted(made.messages.items()))
        console.print(f"messages that only the streams held: {kept}")
    if made.erased:
        console.print(f"{made.erased} artifacts and records that were erased since are gone from this place")
    console.print(f"restore it with: tidemill restore {shlex.quote(to)} --data-dir NEW")


def _show_restored(console: Console, restored: RestoreSummary, data: DataDir) -> None:
    from tidemill.cli.figures import size

    console.print(
        f"restored backup {restored.backup} to {restored.store}: {restored.runs} runs, {restored.records} records, "
        f"{restored.artifacts} artifacts, {size(restored.bytes)}, every digest verified"
    )
    if restored.erased:
        console.print(f"{restored.erased} artifacts and records were erased since the backup, and were left out")
    if restored.messages:
        console.print(f"{restored.messages} messages are published again at the next start")
    if restored.signers:
        console.print(f"models signed by {', '.join(restored.signers)} are trusted, as they were")
    console.print(f"next: tidemill up{data.option}")


def _end(console: Console, damages: list[Damage]) -> None:
    """Name what is damaged; exit 1 when something refers to it."""
    from rich.markup import escape

    for damage in damages:
        meaning = "" if damage.needed else " (nothing refers to it)"
        console.print(f"[red]damaged[/red]: {escape(damage.key)}{meaning}: {escape(damage.problem)}")
    if any(damage.needed for damage in damages):
        raise typer.Exit(1)
