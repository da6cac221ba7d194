"""An encrypted store passes the one suite; whatever is done to its objects is noticed; keys change, data stays."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.artifacts.buckets import prepare_bucket
from tidemill.artifacts.encryption.keyring import Keyring
from tidemill.artifacts.encryption.master import (
    COMMAND,
    FILE,
    VARIABLE,
    CommandMasterKey,
    KeptMasterKey,
    master_key,
    write_master_key,
)
from tidemill.artifacts.encryption.objects import EncryptedObjects
from tidemill.artifacts.encryption.sealed import CHUNK, HEADER, SEALED, Seal, Tampered, plain_size
from tidemill.artifacts.location import parse_location
from tidemill.artifacts.objects import Objects, open_objects, open_source
from tidemill.errors import CorruptArtifact, InvalidInput, PermanentError, TransientError
from tidemill.testing.artifact_store import ArtifactStoreContract

SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17]
ID, STORE_KEY = b"i" * 16, b"k" * 32


@pytest.fixture
def master(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A master key, named by the environment."""
    path = tmp_path_factory.mktemp("master") / "master.key"
    write_master_key(path)
    monkeypatch.setenv(FILE, str(path))
    return path


@pytest.mark.usefixtures("master")
class TestEncryptedFolder(ArtifactStoreContract):
    @pytest.fixture
    def url(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        return str(tmp_path_factory.mktemp("store"))


@pytest.mark.usefixtures("master")
class TestEncryptedS3(ArtifactStoreContract):
    @pytest.fixture
    async def url(self, s3: str, bucket: str) -> str:
        url = f"s3://{bucket}/prefix"
        await prepare_bucket(url)
        return url


@pytest.fixture
def objects(master: Path, tmp_path: Path) -> Objects:
    return open_objects(str(tmp_path / "store"))


@pytest.fixture
def raw(tmp_path: Path) -> Objects:
    """The same storage as whoever can write to it sees it."""
    return Objects(parse_location(str(tmp_path / "store")))


def data_of(size: int) -> bytes:
    return (b"%d secret bytes " % size * (size // 14 + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
async def test_sizes_and_ranges_are_those_of_the_plain_bytes(objects: Objects, raw: Objects, size: int) -> None:
    data = data_of(size)
    await objects.create("records/small", data)
    await objects.write("artifacts/sync", (data[start : start + 1000] for start in range(0, size, 1000)))

    async def blocks() -> AsyncIterator[bytes]:
        for start in range(0, size, 100_000):
            yield data[start : start + 100_000]

    await objects.write("artifacts/async", blocks())
    for key in ("records/small", "artifacts/sync", "artifacts/async"):
        assert await objects.size(key) == size
        assert await objects.read(key) == data
        assert b"".join([block async for block in objects.blocks(key)]) == data
        for start in (0, 1, CHUNK - 1, CHUNK, size - 1, size, size + 1):
            for length in (1, CHUNK, CHUNK + 1, None):
                if start >= 0:
                    fresh = open_objects(objects.url)
                    expected = data[start:] if length is None else data[start : start + length]
                    assert await fresh.read(key, start=start, length=length) == expected, (start, length)
        stored = await raw.read(key)
        assert plain_size(len(stored)) == size
        assert b"secret" not in stored
    assert {found.size async for found in objects.entries("artifacts")} == {size}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.sampled_from(SIZES), where=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed(size: int, where: int, bit: int) -> None:
    sealed = bytearray(Seal.new("name", STORE_KEY, ID).close_all(data_of(size)))
    sealed[where % len(sealed)] ^= 1 << bit
    with pytest.raises(Tampered):
        opened("name", bytes(sealed))


@settings(max_examples=100, deadline=None)
@given(size=st.sampled_from(SIZES), cut=st.integers(min_value=1))
def test_a_cut_object_is_noticed(size: int, cut: int) -> None:
    sealed = Seal.new("name", STORE_KEY, ID).close_all(data_of(size))
    for keep in (cut % len(sealed), HEADER, HEADER + SEALED):
        if keep < len(sealed):
            with pytest.raises(Tampered):
                opened("name", sealed[:keep])


@settings(max_examples=100, deadline=None)
@given(chunks=st.permutations(range(4)))
def test_swapped_repeated_and_missing_chunks_are_noticed(chunks: list[int]) -> None:
    data = data_of(4 * CHUNK)
    sealed = Seal.new("name", STORE_KEY, ID).close_all(data)
    parts = [sealed[start : start + SEALED] for start in range(HEADER, len(sealed), SEALED)]
    for order in (chunks, [*chunks, chunks[-1]], chunks[:-1]):
        changed = sealed[:HEADER] + b"".join(parts[number] for number in order)
        if order == list(range(4)):
            assert opened("name", changed) == data
        else:
            with pytest.raises(Tampered):
                opened("name", changed)


def test_an_object_that_was_moved_or_mixed_with_another_is_noticed() -> None:
    one, other = (Seal.new("name", STORE_KEY, ID).close_all(data_of(2 * CHUNK)) for _ in range(2))
    with pytest.raises(Tampered):
        opened("another name", one)
    for mixed in (one[:HEADER] + other[HEADER:], one[: HEADER + SEALED] + other[HEADER + SEALED :]):
        with pytest.raises(Tampered):
            opened("name", mixed)


def opened(name: str, sealed: bytes) -> bytes:
    """What ``sealed`` holds, read as whoever knows the store key does."""
    from tidemill.artifacts.encryption.sealed import store_key_id

    assert store_key_id(sealed[:HEADER]) in (ID, sealed[8:24])
    if sealed[8:24] != ID:
        raise Tampered("another store key")
    if len(sealed) == HEADER:
        raise Tampered("cut off")
    return Seal.of(name, sealed[:HEADER], STORE_KEY).open_range(sealed[HEADER:], 0, to_the_end=True)


HARMS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "flipped": lambda one, _: one[:-20] + bytes([one[-20] ^ 1]) + one[-19:],
    "header flipped": lambda one, _: one[:30] + bytes([one[30] ^ 1]) + one[31:],
    "cut to a chunk": lambda one, _: one[: HEADER + SEALED],
    "cut to the header": lambda one, _: one[:HEADER],
    "cut to nothing": lambda one, _: b"",
    "swapped": lambda one, _: one[:HEADER] + one[HEADER + SEALED : HEADER + 2 * SEALED] + one[HEADER:][:SEALED],
    "another object's": lambda _, other: other,
    "plain": lambda _one, _other: b"not encrypted at all" * 10,
}  # fmt: skip


@pytest.mark.parametrize("harm", list(HARMS))
async def test_what_was_done_to_an_object_in_the_store_is_refused(objects: Objects, raw: Objects, harm: str) -> None:
    await objects.create("artifacts/one", data_of(2 * CHUNK + 5))
    await objects.create("artifacts/other", data_of(2 * CHUNK + 5))
    await objects.read("artifacts/one", start=0, length=10)  # its header is remembered
    changed = HARMS[harm](await raw.read("artifacts/one"), await raw.read("artifacts/other"))
    await raw.write("artifacts/one", iter([changed]))
    for reader in (objects, open_objects(objects.url)):
        with pytest.raises(CorruptArtifact, match=r"artifacts/one.*cannot be decrypted"):
            await reader.read("artifacts/one")
        with pytest.raises(CorruptArtifact, match=r"artifacts/one.*cannot be decrypted"):
            async for _ in reader.blocks("artifacts/one"):
                pass


async def test_an_object_that_is_written_anew_is_read_anew(objects: Objects) -> None:
    reader = open_objects(objects.url)
    await objects.write("artifacts/a", iter([data_of(3 * CHUNK)]))
    assert await reader.read("artifacts/a", start=5, length=3) == data_of(3 * CHUNK)[5:8]
    await objects.write("artifacts/a", iter([data_of(2 * CHUNK)]))
    assert await reader.read("artifacts/a", start=5, length=3) == data_of(2 * CHUNK)[5:8]


async def test_of_many_that_begin_a_store_all_can_read_what_each_wrote(master: Path, tmp_path: Path) -> None:
    writers = [open_objects(str(tmp_path / "store")) for _ in range(8)]
    assert all(await asyncio.gather(*(one.create(f"records/{n}", b"%d" % n) for n, one in enumerate(writers))))
    for reader in writers:
        assert [await reader.read(f"records/{n}") for n in range(8)] == [b"%d" % n for n in range(8)]
    won = await asyncio.gather(*(one.create_own("records/race", b"%d" % n) for n, one in enumerate(writers)))
    assert won.count(True) == 1


async def test_keys_are_rotated_and_what_was_written_stays_as_it_is(
    objects: Objects, raw: Objects, master: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await objects.create("records/before", b"before")
    sealed = await raw.read("records/before")
    assert cli(tmp_path, "rotate")["number"] == 2
    after = open_objects(objects.url)
    await after.create("records/after", b"after")
    assert (await raw.read("records/after"))[8:24] != sealed[8:24]
    assert await objects.read("records/after") == b"after"  # a process that has not looked for a new key yet
    new = tmp_path / "new.key"
    named = cli(tmp_path, "new-master", str(new))["master"]
    assert new.stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        assert cli(tmp_path, "rotate", "--master", str(new)) == {"master": named, "store_keys": 2}
    with pytest.raises(PermanentError, match=rf"store key 1 .*master key '{named}'.*{FILE}"):
        await open_objects(objects.url).read("records/before")
    monkeypatch.setenv(FILE, str(new))
    reader = open_objects(objects.url)
    assert [await reader.read(f"records/{key}") for key in ("before", "after")] == [b"before", b"after"]
    assert await raw.read("records/before") == sealed
    listed = cli(tmp_path, "list")
    assert [(one["number"], one["master"]) for one in listed] == [(1, named), (2, named)]
    assert "wrapped" not in listed[0]


async def test_a_command_may_hold_the_master_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = KeptMasterKey(b"m" * 32)
    program = tmp_path / "kms.py"
    program.write_text(
        "import base64, sys\nfrom tidemill.artifacts.encryption.master import KeptMasterKey\n"
        "data = base64.b64decode(sys.stdin.read())\n"
        "print(base64.b64encode(getattr(KeptMasterKey(b'm' * 32), sys.argv[1])(data)).decode())\n"
    )
    monkeypatch.setenv(COMMAND, f"{sys.executable} {program}")
    objects = open_objects(str(tmp_path / "store"))
    await objects.check()
    await objects.create("records/a", b"a")
    assert await open_objects(objects.url).read("records/a") == b"a"
    assert await EncryptedObjects(parse_location(objects.url), key).read("records/a") == b"a"
    broken = CommandMasterKey(f"{sys.executable} -c 'import sys; sys.exit(\"no such key\")'")
    with pytest.raises(PermanentError, match=r"does not unwrap \(exit status 1\): no such key"):
        broken.unwrap(b"x" * 40)
    with pytest.raises(TransientError, match="cannot be asked"):
        CommandMasterKey("/nowhere/kms").wrap(b"x" * 32)
    keyring = Keyring(Objects(parse_location(objects.url)), CommandMasterKey("/nowhere/kms"))
    with pytest.raises(TransientError, match="cannot be asked"):
        await keyring.current()


@pytest.mark.parametrize("value", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_a_master_key_of_no_use_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    path = tmp_path / "master.key"
    path.write_text(value)
    monkeypatch.setenv(FILE, str(path))
    with pytest.raises(InvalidInput, match=str(path)) as caught:
        open_objects(str(tmp_path / "store"))
    assert not value or value not in str(caught.value)
    monkeypatch.setenv(VARIABLE, "x")
    with pytest.raises(InvalidInput, match=rf"{FILE} and {VARIABLE} are set"):
        master_key()
    with pytest.raises(InvalidInput, match="File exists"):
        write_master_key(path)


async def test_plain_and_encrypted_are_never_mixed(
    master: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Objects(parse_location(str(tmp_path / "plain")))
    await plain.create("records/a", b"a")
    with pytest.raises(PermanentError, match=r"holds records/a, which is not encrypted; back it up"):
        await open_objects(plain.url).check()
    with pytest.raises(PermanentError, match="not encrypted"):
        await open_objects(plain.url).create("records/b", b"b")
    assert await (await open_source(plain.url)).read("records/a") == b"a"
    encrypted = open_objects(str(tmp_path / "encrypted"))
    await encrypted.check()
    await encrypted.create("records/a", b"a")
    assert await (await open_source(encrypted.url)).read("records/a") == b"a"
    monkeypatch.delenv(FILE)
    with pytest.raises(PermanentError, match=rf"is encrypted \(it has keys/00000001.json\).*{FILE}"):
        await open_objects(encrypted.url).check()
    monkeypatch.setenv(VARIABLE, base64.b64encode(b"w" * 32).decode())
    with pytest.raises(PermanentError, match=r"store key 1 .*was wrapped by master key"):
        await open_objects(encrypted.url).check()


def cli(folder: Path, *arguments: str) -> Any:
    """What `tidemill store keys …` prints."""
    environment = os.environ | {"TIDEMILL_STORE_URL": str(folder / "store"), "TIDEMILL_DATA_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "tidemill.cli", "store", "keys", *arguments, "--json"],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
