"""``tidemill signing``: the key that models are signed with, and the keys whose signatures count."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.screen import DataDirOption, JsonOption, YesOption, agreed, print_document, screen

if TYPE_CHECKING:
    from tidemill.platform.data_dir import DataDir

commands = typer.Typer(
    help="Whose signatures of models count: keys, make, trust, distrust, rotate.", no_args_is_help=True
)


@commands.command()
def keys(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """The keys that are trusted here, with their public halves; the one that signs now is marked."""
    from tidemill.errors import PermanentError
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.programs import signing_folder
    from tidemill.signing import SigningKey

    folder = signing_folder(DataDir.find(data_dir))
    trusted = folder.trusted.keys()
    signs: str | None = None
    try:
        signs = SigningKey.read(folder.key_file).public.id
    except PermanentError as error:  # of a gateway's machine, which needs none
        why = str(error)
    if as_json:
        listed = [{"id": key.id, "signs": key.id == signs, "pem": key.pem.decode()} for key in trusted.values()]
        print_document({"trusted_signers": str(folder.trusted.folder), "signs": signs, "keys": listed})
        return
    console = screen()
    for key in trusted.values():
        console.print(f"{key.id}{'  signs what is registered from now on' if key.id == signs else ''}")
        console.print(f"[dim]{key.pem.decode().strip()}[/dim]")
    if not trusted:
        console.print(f"nobody is trusted: {folder.trusted.folder} holds no key, so no model is loaded")
    if signs is None:
        console.print(f"[dim]nothing is signed from here: {why}[/dim]")
    elif signs not in trusted:
        console.print(f"[red]the key that signs, {signs}, is not trusted here[/red]: what it signs is not loaded")


@commands.command()
def make(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Make the key that signs, and trust it, unless there is one; `tidemill up` does so too."""
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.programs import signing_folder
    from tidemill.signing import SigningKey

    folder = signing_folder(DataDir.find(data_dir))
    made = folder.make() is not None
    key = SigningKey.read(folder.key_file)
    if as_json:
        print_document({"id": key.public.id, "made": made, "key_file": str(folder.key_file)})
    else:
        screen().print(f"key {key.public.id} {'is made' if made else 'was there already'}: {folder.key_file}")


@commands.command()
def trust(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A public key (PEM) of a registry that you trust.")],
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load what the owner of this key signs, from now on."""
    from tidemill.errors import InvalidInput
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.programs import signing_folder
    from tidemill.signing import PublicKey

    try:
        pem = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None
    key = PublicKey.from_pem(pem, str(file))
    data = DataDir.find(data_dir)
    signing_folder(data).trusted.add(key)
    _put_on_record(data, "trust-signer", key.id)
    if as_json:
        print_document({"id": key.id, "trusted": True})
    else:
        screen().print(f"key {key.id} is trusted; gateways with this folder try again what it has signed in 30 s")


@commands.command()
def distrust(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id; see `tidemill signing keys`.")],
    yes: YesOption = False,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load nothing any more that this key has signed; what serves goes on until it is loaded anew."""
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.programs import signing_folder

    agreed(f"Load nothing any more that key {key_id} has signed?", yes=yes)
    data = DataDir.find(data_dir)
    signing_folder(data).trusted.remove(key_id)
    _put_on_record(data, "distrust-signer", key_id)
    if as_json:
        print_document({"id": key_id, "trusted": False})
    else:
        screen().print(
            f"key {key_id} is not trusted any more; `tidemill registry trust` signs anew what you know to be good"
        )


@commands.command()
def rotate(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Sign with a new key from now on; the old one is deleted, and what it signed stays valid."""
    from tidemill.platform.data_dir import DataDir
    from tidemill.platform.programs import signing_folder

    data = DataDir.find(data_dir)
    folder = signing_folder(data)
    key = folder.rotate()
    _put_on_record(data, "rotate-signing-key", key.public.id)
    if as_json:
        print_document({"id": key.public.id, "trusted_signers": str(folder.trusted.folder)})
    else:
        screen().print(
            f"key {key.public.id} signs from now on, without a restart; gateways on other machines need its public "
            f"half, {folder.trusted.folder / (key.public.id + '.pem')}, among their trusted keys first"
        )


def _put_on_record(data: DataDir, action: str, key_id: str) -> None:
    from tidemill.audit import put_on_record_everywhere
    from tidemill.platform.programs import current_store_url
    from tidemill.records import open_records

    records = open_records(current_store_url(data))
    asyncio.run(put_on_record_everywhere(records, actor="local", action=action, subject=f"signer:{key_id}"))
