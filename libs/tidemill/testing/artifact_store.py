"""What every artifact store must do: one suite, subclassed in the tests for each kind of storage.

A subclass gives a fixture ``url``: the URL of an empty store. Knows nothing of where that is.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill.artifacts import ObjectArtifactStore, open_store
from tidemill.artifacts.manifest import FileEntry, Manifest, Shard, manifest_key, object_key, read_manifest
from tidemill.contracts import ArtifactRef
from tidemill.errors import ArtifactMissing, CorruptArtifact, InvalidInput, NotFound

SHARD_SIZE = 1000

PUT_AND_FETCH = """
import asyncio, sys
from pathlib import Path
from tidemill.artifacts import open_store
url, cache, directory, into = sys.argv[1:]
async def main():
    store = open_store(url, cache=Path(cache), shard_size=1000)
    ref = await store.put(Path(directory), kind="dataset")
    print(ref.digest, flush=True)
    await store.fetch(ref, Path(into))
asyncio.run(main())
"""
"""What another process does to the same store: put the directory argv[3], fetch it to argv[4]."""


def fill(directory: Path, files: dict[str, bytes]) -> Path:
    """Write ``files`` below ``directory`` and return it."""
    for path, data in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return directory


def other_process(program: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start another Python that runs ``program``."""
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)


def contents(directory: Path) -> dict[str, bytes]:
    """All files below ``directory``."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


async def shards_of(store: ObjectArtifactStore, ref: ArtifactRef) -> list[Shard]:
    """The shards that an artifact consists of."""
    data = await store.objects.read(manifest_key(ref))
    manifest = read_manifest(data, ref.digest.removeprefix("sha256:"))
    return [shard for entry in manifest.files for shard in entry.shards]


async def damage(store: ObjectArtifactStore, sha256: str) -> None:
    """Flip one bit of a stored object."""
    data = bytearray(await store.objects.read(object_key(sha256)))
    data[len(data) // 2] ^= 1
    await store.objects.write(object_key(sha256), iter([bytes(data)]))


FILES = {
    "train.parquet": bytes(range(256)) * 13,  # 3328 bytes: four shards
    "empty.txt": b"",
    "nested/deep/labels.json": b'["spam", "ham"]',
    "数据/评论 一.txt": "很好 👍".encode(),
}


class ArtifactStoreContract:
    """Inherit it as ``class TestMine(ArtifactStoreContract)`` and give a fixture ``url``."""

    @pytest.fixture
    def store(self, url: str, tmp_path: Path) -> ObjectArtifactStore:
        """The store under test, with shards of 1000 bytes."""
        return open_store(url, cache=tmp_path / "cache", shard_size=SHARD_SIZE)

    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        """A directory with an empty file, a file of several shards, folders and names that are not ASCII."""
        return fill(tmp_path / "directory", FILES)

    async def test_it_honours_create_only_writes(self, store: ObjectArtifactStore) -> None:
        await store.check()
        await store.check()
        assert [key async for key in store.objects.keys("artifacts/probes")] == []

    async def test_what_is_put_is_fetched(self, store: ObjectArtifactStore, directory: Path, tmp_path: Path) -> None:
        ref = await store.put(directory, kind="dataset")
        assert ref.kind == "dataset"
        assert ref.size_bytes == sum(len(data) for data in FILES.values())
        assert await store.fetch(ref, tmp_path / "into") == tmp_path / "into"
        assert contents(tmp_path / "into") == FILES
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "into").rglob("*") if path.is_file()}
        assert modes == {0o444}
        assert await store.files(ref) == {path: len(data) for path, data in FILES.items()}

    async def test_the_same_bytes_give_the_same_reference(
        self, store: ObjectArtifactStore, directory: Path, tmp_path: Path
    ) -> None:
        first = await store.put(directory, kind="dataset")
        reordered = fill(tmp_path / "again", dict(reversed(FILES.items())))
        for path in reordered.rglob("*"):
            os.utime(path, (1, 1))
        assert await store.put(reordered, kind="dataset") == first
        assert (await store.put(directory, kind="source")).digest != first.digest
        fill(directory, {"empty.txt": b"no longer"})
        assert (await store.put(directory, kind="dataset")).digest != first.digest

    async def test_only_limits_what_is_fetched(
        self, store: ObjectArtifactStore, directory: Path, tmp_path: Path
    ) -> None:
        ref = await store.put(directory, kind="dataset")
        await store.fetch(ref, tmp_path / "into", only=["数据/", "empty.txt", "nested"])
        assert set(contents(tmp_path / "into")) == {"数据/评论 一.txt", "empty.txt"}

    async def test_fetching_again_into_the_same_folder_is_no_error(
        self, store: ObjectArtifactStore, directory: Path, tmp_path: Path
    ) -> None:
        ref = await store.put(directory, kind="dataset")
        fill(tmp_path / "into", {"empty.txt": b"left by someone", "mine.txt": b"kept"})
        await store.fetch(ref, tmp_path / "into")
        await store.fetch(ref, tmp_path / "into")
        assert contents(tmp_path / "into") == FILES | {"mine.txt": b"kept"}

    async def test_ranges_across_shards(self, store: ObjectArtifactStore, directory: Path) -> None:
        ref = await store.put(directory, kind="dataset")
        whole = FILES["train.parquet"]
        assert await store.read(ref, "train.parquet") == whole
        assert await store.read(ref, "train.parquet", start=990, length=1020) == whole[990:2010]
        assert await store.read(ref, "train.parquet", start=1000, length=1000) == whole[1000:2000]
        assert await store.read(ref, "train.parquet", start=3300, length=500) == whole[3300:]
        assert await store.read(ref, "train.parquet", start=9999) == b""
        assert await store.read(ref, "train.parquet", length=0) == b""
        assert await store.read(ref, "empty.txt") == b""
        assert await store.read(ref, "数据/评论 一.txt") == FILES["数据/评论 一.txt"]
        with pytest.raises(NotFound, match=r"train\.csv.*it has .*train\.parquet"):
            await store.read(ref, "train.csv")
        with pytest.raises(InvalidInput, match="0 or more"):
            await store.read(ref, "train.parquet", start=-1)

    async def test_a_flipped_byte_in_the_store_is_named(
        self, store: ObjectArtifactStore, directory: Path, tmp_path: Path
    ) -> None:
        ref = await store.put(directory, kind="dataset")
        entry = (await shards_of(store, ref))[-2]  # the last shard of train.parquet
        assert entry.size == 328
        await damage(store, entry.sha256)
        with pytest.raises(CorruptArtifact, match=rf"'train\.parquet'.*expected sha256 {entry.sha256}, found \w{{64}}"):
            await store.fetch(ref, tmp_path / "into")
        assert not (tmp_path / "into").exists()
        assert list((tmp_path / "cache" / "temporary").iterdir()) == []
        with pytest.raises(CorruptArtifact, match=r"train\.parquet"):
            await store.read(ref, "train.parquet")
        await store.fetch(ref, tmp_path / "into", only=["empty.txt", "nested/"])

    async def test_a_lost_or_cut_object_is_named_and_healed_by_putting_again(
        self, store: ObjectArtifactStore, directory: Path, tmp_path: Path
    ) -> None:
        ref = await store.put(directory, kind="dataset")
        first, second, *_ = await shards_of(store, ref)
        await store.objects.delete([object_key(first.sha256)])
        await store.objects.write(object_key(second.sha256), iter([b"short"]))
        with pytest.raises(CorruptArtifact, match="found no object"):
            await store.read(ref, "nested/deep/labels.json")
        with pytest.raises(CorruptArtifact):
            await store.fetch(ref, tmp_path / "into")
        assert await store.put(directory, kind="dataset") == ref
        await store.fetch(ref, tmp_path / "into")
        assert contents(tmp_path / "into") == FILES

    async def test_quarantine_takes_what_is_damaged_out_of_the_way_so_that_putting_again_heals(
        self, store: ObjectArtifactStore, directory: Path, tmp_path: Path
    ) -> None:
        ref = await store.put(directory, kind="dataset")
        assert await store.quarantine(ref) == []
        first, second, *_ = await shards_of(store, ref)
        await damage(store, first.sha256)  # of the same size, so that no put would notice
        await store.objects.delete([object_key(second.sha256)])
        assert sorted(await store.quarantine(ref)) == sorted([object_key(first.sha256), object_key(second.sha256)])
        assert not await store.exists(ref)
        assert [key async for key in store.objects.keys("artifacts/quarantine")] == [
            f"artifacts/quarantine/{first.sha256}"
        ]
        with pytest.raises(ArtifactMissing) as missing:
            await store.fetch(ref, tmp_path / "into")
        assert missing.value.artifact == ref
        assert await store.put(directory, kind="dataset") == ref
        await store.fetch(ref, tmp_path / "into")
        assert contents(tmp_path / "into") == FILES

    async def test_a_flipped_byte_in_the_cache_is_fetched_again(
        self, store: ObjectArtifactStore, directory: Path, tmp_path: Path
    ) -> None:
        ref = await store.put(directory, kind="dataset")
        await store.fetch(ref, tmp_path / "into")
        written = tmp_path / "into" / "train.parquet"  # the same bytes on disk as the cache's
        before = written.stat()
        written.chmod(0o644)
        with written.open("r+b") as stream:
            stream.write(b"\xff")
        os.utime(written, ns=(before.st_atime_ns, before.st_mtime_ns))
        await store.fetch(ref, tmp_path / "other")
        assert contents(tmp_path / "other") == FILES

    async def test_a_damaged_manifest_is_named_and_healed_by_putting_again(
        self, store: ObjectArtifactStore, directory: Path, tmp_path: Path
    ) -> None:
        ref = await store.put(directory, kind="dataset")
        data = await store.objects.read(manifest_key(ref))
        await store.objects.write(manifest_key(ref), iter([data.replace(b"3328", b"3329")]))
        with pytest.raises(CorruptArtifact, match="manifest"):
            await store.fetch(ref, tmp_path / "into")
        await store.put(directory, kind="dataset")
        await store.fetch(ref, tmp_path / "into")

    @pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a/../../evil", "a//b", ".", ""])
    async def test_a_manifest_that_leaves_its_folder_is_refused(
        self, store: ObjectArtifactStore, tmp_path: Path, path: str
    ) -> None:
        manifest = Manifest(kind="model", files=(FileEntry(path=path, size=0, shards=()),))
        ref = manifest.reference()
        await store.objects.create(manifest_key(ref), manifest.canonical())
        with pytest.raises(CorruptArtifact, match="leaves the artifact"):
            await store.fetch(ref, tmp_path / "into")
        assert contents(tmp_path) == {}

    async def test_what_does_not_exist_is_not_found(self, store: ObjectArtifactStore, tmp_path: Path) -> None:
        ref = ArtifactRef(digest=f"sha256:{'0' * 64}", kind="model", size_bytes=0)
        assert not await store.exists(ref)
        with pytest.raises(NotFound, match="no model artifact sha256:000"):
            await store.fetch(ref, tmp_path / "into")
        await store.delete(ref)

    async def test_a_half_written_put_is_invisible_and_finished_by_another(
        self, store: ObjectArtifactStore, directory: Path, tmp_path: Path
    ) -> None:
        elsewhere = open_store(str(tmp_path / "elsewhere"), cache=tmp_path / "cache", shard_size=SHARD_SIZE)
        ref = await elsewhere.put(directory, kind="dataset")
        for shard in (await shards_of(elsewhere, ref))[:3]:
            key = object_key(shard.sha256)
            await store.objects.create(key, await elsewhere.objects.read(key))
        assert not await store.exists(ref)
        with pytest.raises(NotFound):
            await store.fetch(ref, tmp_path / "into")
        assert await store.put(directory, kind="dataset") == ref
        assert await store.exists(ref)
        await store.fetch(ref, tmp_path / "into")

    async def test_a_large_file_is_streamed_in_parts(self, url: str, tmp_path: Path) -> None:
        store = open_store(url, cache=tmp_path / "cache", shard_size=20_000_000)
        block = bytes(range(256)) * 4096
        directory = fill(tmp_path / "directory", {"weights": b"".join([block] * 21) + b"end"})
        ref = await store.put(directory, kind="model")
        assert sorted(shard.size for shard in await shards_of(store, ref)) == [2_020_099, 20_000_000]
        await store.fetch(ref, tmp_path / "into")
        assert contents(tmp_path / "into") == contents(directory)

    @pytest.mark.parametrize("trouble", ["empty", "absent", "file", "escape", "folder link", "broken", "pipe"])
    async def test_what_cannot_be_stored_is_refused(
        self, store: ObjectArtifactStore, tmp_path: Path, trouble: str
    ) -> None:
        (tmp_path / "outside.txt").write_text("secret")
        directory = tmp_path / "directory"
        (directory / "sub").mkdir(parents=True)
        expected = {
            "empty": "holds no files",
            "absent": "not a directory",
            "file": "not a directory",
            "escape": "leaves",
            "folder link": "link to a folder",
            "broken": "leads nowhere",
            "pipe": "not a regular file",
        }[trouble]
        match trouble:
            case "absent":
                directory = tmp_path / "absent"
            case "file":
                directory = tmp_path / "outside.txt"
            case "escape":
                (directory / "link").symlink_to(tmp_path / "outside.txt")
            case "folder link":
                (directory / "link").symlink_to(directory / "sub")
            case "broken":
                (directory / "link").symlink_to(directory / "gone")
            case "pipe":
                os.mkfifo(directory / "pipe")
        with pytest.raises(InvalidInput, match=expected):
            await store.put(directory, kind="dataset")
        assert [key async for key in store.objects.keys("artifacts")] == []

    async def test_a_link_inside_the_directory_is_a_file(
        self, store: ObjectArtifactStore, directory: Path, tmp_path: Path
    ) -> None:
        (directory / "latest").symlink_to("nested/deep/labels.json")
        ref = await store.put(directory, kind="dataset")
        await store.fetch(ref, tmp_path / "into", only=["latest"])
        assert contents(tmp_path / "into") == {"latest": FILES["nested/deep/labels.json"]}

    async def test_delete_keeps_shared_objects(
        self, store: ObjectArtifactStore, directory: Path, tmp_path: Path
    ) -> None:
        first = await store.put(directory, kind="dataset")
        fill(directory, {"extra.txt": b"only in the second"})
        second = await store.put(directory, kind="dataset")
        only_second = {shard.sha256 for shard in await shards_of(store, second)} - {
            shard.sha256 for shard in await shards_of(store, first)
        }
        await store.delete(second)
        assert not await store.exists(second)
        assert await store.exists(first)
        assert [await store.objects.size(object_key(sha256)) for sha256 in only_second] == [None]
        await store.fetch(first, tmp_path / "into")
        await store.delete(first)
        assert [key async for key in store.objects.keys("artifacts")] == []

    async def test_of_sixteen_concurrent_creates_one_wins(self, store: ObjectArtifactStore) -> None:
        for key in ("records/默认/race.json", "records/default/race.json"):
            won = await asyncio.gather(*(store.objects.create(key, b"%d" % n) for n in range(16)))
            assert won.count(True) == 1
            assert await store.objects.read(key) == b"%d" % won.index(True)

    async def test_several_processes_put_and_fetch_the_same(
        self, url: str, store: ObjectArtifactStore, directory: Path, tmp_path: Path
    ) -> None:
        others = [
            other_process(PUT_AND_FETCH, url, tmp_path / "cache", directory, tmp_path / f"into{n}") for n in range(3)
        ]
        refs = await asyncio.gather(*(store.put(directory, kind="dataset") for _ in range(3)))
        await asyncio.gather(*(store.fetch(ref, tmp_path / f"here{n}") for n, ref in enumerate(refs)))
        answers = [(await asyncio.to_thread(other.communicate))[0].strip() for other in others]
        assert {other.returncode for other in others} == {0}
        assert {*answers, *(ref.digest for ref in refs)} == {refs[0].digest}
        for name in ("here0", "here1", "here2", "into0", "into1", "into2"):
            assert contents(tmp_path / name) == FILES

    async def test_the_cache_is_disposable(self, store: ObjectArtifactStore, directory: Path, tmp_path: Path) -> None:
        ref = await store.put(directory, kind="dataset")
        await store.fetch(ref, tmp_path / "into")
        shutil.rmtree(tmp_path / "cache")
        await store.fetch(ref, tmp_path / "other")
        assert contents(tmp_path / "other") == FILES == contents(tmp_path / "into")
