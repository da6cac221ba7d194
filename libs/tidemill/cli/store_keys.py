"""``tidemill store keys``: the keys that the store is encrypted with, listed and rotated."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.screen import DataDirOption, JsonOption, print_document, screen

if TYPE_CHECKING:
    from tidemill.artifacts.encryption.keyring import Keyring

commands = typer.Typer(help="The keys that the store is encrypted with.", no_args_is_help=True)


@commands.command("list")
def list_keys(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Show the store keys: which one is used for new objects, and which master key wraps each."""
    from rich.table import Table

    records = asyncio.run(_keyring(data_dir).records())
    if as_json:
        print_document([record.model_dump(mode="json", exclude={"wrapped"}) for record in records])
        return
    table = Table("number", "id", "made", "wrapped by", "used for", box=None)
    for record in records:
        used = "new objects" if record is records[-1] else "what was written under it"
        table.add_row(str(record.number), record.id[:12], f"{record.created_at:%Y-%m-%d %H:%M}", record.master, used)
    screen().print(table if records else "there are no store keys yet; the first is made when something is written")


@commands.command()
def rotate(
    master: Annotated[
        Path | None,
        typer.Option("--master", metavar="FILE", help="A new master key (new-master makes one): wraps all store keys."),
    ] = None,
    master_command: Annotated[
        str | None,
        typer.Option("--master-command", metavar="COMMAND", help="The same, where a command is the new master key."),
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new store key for new objects, or let a new master key wrap the store keys. No data is encrypted again."""
    from tidemill.artifacts.encryption.master import COMMAND, FILE, CommandMasterKey, read_master_key
    from tidemill.errors import InvalidInput

    if master is not None and master_command is not None:
        raise InvalidInput("--master and --master-command name two master keys; give one of them")
    keyring = _keyring(data_dir)
    if master is None and master_command is None:
        record = asyncio.run(keyring.add())
        if as_json:
            print_document(record.model_dump(mode="json", exclude={"wrapped"}))
        else:
            screen().print(f"store key {record.number} is used for new objects from now on, by all within a minute")
        return
    new = read_master_key(master) if master is not None else CommandMasterKey(master_command or "")
    count = asyncio.run(keyring.wrap_anew(new))
    if as_json:
        print_document({"master": new.name, "store_keys": count})
        return
    variable = FILE if master is not None else COMMAND
    screen().print(
        f"{count} store keys are wrapped by master key {new.name} now; set {variable} to it and restart all services, "
        "and keep the old one as long as there are backups that need it"
    )


@commands.command("new-master")
def new_master(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; must not exist.")],
    as_json: JsonOption = False,
) -> None:
    """Make a master key. Whoever loses it has lost everything that it wraps."""
    from tidemill.artifacts.encryption.master import FILE, write_master_key

    key = write_master_key(file)
    if as_json:
        print_document({"file": str(file), "master": key.name})
        return
    screen().print(f"master key {key.name} is in {file}; set {FILE}={file}, and keep a copy where the store is not")


def _keyring(data_dir: Path | None) -> Keyring:
    from tidemill.artifacts.encryption.objects import EncryptedObjects
    from tidemill.artifacts.objects import open_objects
    from tidemill.errors import InvalidInput
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.programs import current_store_url

    objects = open_objects(current_store_url(DataDir.find(data_dir)))
    if not isinstance(objects, EncryptedObjects):
        raise InvalidInput(
            "no master key is given, so the store is not encrypted; set TIDEMILL_ENCRYPTION_KEY_FILE (a file that "
            "`tidemill store keys new-master FILE` makes) before the store is used first"
        )
    return objects.keyring
