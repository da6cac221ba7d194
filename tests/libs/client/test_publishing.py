"""What the SDK sends for a dataset: which files, under which names, with which words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import tidemill
from tidemill.client.multipart import MultipartBody
from tidemill.client.sources import default_name
from tidemill.errors import InvalidInput
from tidemill.testing.gateway import ScriptedGateway

ROWS = b"text,label\ngood,yes\n"


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with ScriptedGateway().running() as gateway:
        yield gateway


@pytest.fixture
def platform(gateway: ScriptedGateway) -> Iterator[tidemill.Platform]:
    with tidemill.connect(gateway.url) as platform:
        yield platform


def written(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(ROWS)
    return folder


def test_a_folder_is_sent_with_all_that_is_visible_in_it(
    gateway: ScriptedGateway, platform: tidemill.Platform, tmp_path: Path
) -> None:
    names = ("train/猫/1.png", "train/dog 2.png", 'a "b".csv', "LICENSE")
    folder = written(tmp_path / "animals", *names, ".git/config", ".DS_Store", "train/Thumbs.db")
    (folder / "empty.csv").touch()
    run = platform.publish(folder, append=True, licence="CC BY 4.0", owner="张伟")
    (sent,) = gateway.published
    assert sent["files"] == dict.fromkeys(names, ROWS) | {"empty.csv": b""}
    assert (run.name, sent["append"], sent["licence"], sent["owner"]) == ("animals", "true", "CC BY 4.0", "张伟")


def test_several_files_and_folders_are_one_dataset(
    gateway: ScriptedGateway, platform: tidemill.Platform, tmp_path: Path
) -> None:
    written(tmp_path / "set", "train.csv", "images/a.png")
    platform.publish([tmp_path / "set" / "train.csv", str(tmp_path / "set" / "images")])
    assert gateway.published[0]["files"] == {"train.csv": ROWS, "images/a.png": ROWS}
    assert gateway.published[0]["name"] == "set"
    assert "append" not in gateway.published[0]


def test_an_archive_is_sent_as_it_is(gateway: ScriptedGateway, platform: tidemill.Platform, tmp_path: Path) -> None:
    written(tmp_path, "reviews.tar.gz")
    assert platform.publish(tmp_path / "reviews.tar.gz").name == "reviews"
    assert gateway.published[0]["files"] == {"reviews.tar.gz": ROWS}


def test_a_uri_travels_with_its_words(gateway: ScriptedGateway, platform: tidemill.Platform) -> None:
    uri = "postgresql://reader@db.example/shop?password=env:TIDEMILL_DATABASE_SHOP"
    platform.publish(uri, recipe={"data": {"query": "SELECT 1"}}, append=True, owner="shop")
    assert gateway.published[0] == {
        "name": "shop", "uri": uri, "use_cache": True, "append": True, "owner": "shop",
        "recipe": {"data": {"query": "SELECT 1"}},
    }  # fmt: skip


def test_more_files_than_may_be_open_at_once_are_sent(
    gateway: ScriptedGateway, platform: tidemill.Platform, tmp_path: Path
) -> None:
    folder = written(tmp_path / "many", *(f"{number % 10}/{number}.txt" for number in range(900)))
    told: list[tuple[int, int]] = []
    platform.publish(folder, sent=lambda done, total: told.append((done, total)))
    assert len(gateway.published[0]["files"]) == 900
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 900 * len(ROWS)


@pytest.mark.parametrize(
    "uri", ["postgresql://u:topsecret@h/d", "s3://key:topsecret@bucket/x", "sqlite:////x?pwd=topsecret"]
)
def test_a_password_is_never_sent(gateway: ScriptedGateway, platform: tidemill.Platform, uri: str) -> None:
    with pytest.raises(InvalidInput, match=r"\?password=env:NAME") as raised:
        platform.publish(uri, name="x")
    assert "topsecret" not in str(raised.value)
    assert gateway.published == []


def test_what_cannot_be_sent_says_why(gateway: ScriptedGateway, platform: tidemill.Platform, tmp_path: Path) -> None:
    cases = {
        "empty": ("holds no file that is not hidden", lambda path: path.mkdir()),
        "hidden": ("holds no file that is not hidden", lambda path: written(path, ".a.csv")),
        "missing": ("no such file or folder", lambda path: None),
        "pipe": ("neither a file nor a folder", os.mkfifo),
        "piped": ("neither a file nor a folder", lambda path: (path.mkdir(), os.mkfifo(path / "x"))),
        "linked": ("symbolic link to a folder", lambda path: (path.mkdir(), (path / "x").symlink_to("/etc"))),
        "lost": ("no such file or folder", lambda path: (path.mkdir(), (path / "x").symlink_to("nowhere"))),
        "lines": ("control character", lambda path: written(path, "a\nb.csv")),
        "case": ("only in case or Unicode form", lambda path: written(path, "a.csv", "A.csv")),
        "bytes": ("not valid Unicode", lambda path: written(path, os.fsdecode(b"\xff.csv"))),
    }
    for name, (says, make) in cases.items():
        make(tmp_path / name)
        with pytest.raises(InvalidInput, match=says):
            platform.publish(tmp_path / name)
    (tmp_path / "a.csv").write_bytes(ROWS)
    for several, says in (
        ([], "no file was named"),
        (["s3://bucket/x", tmp_path / "a.csv"], "is published alone"),
        ([tmp_path / "a.csv", tmp_path / "a.csv"], "twice"),
    ):
        with pytest.raises(InvalidInput, match=says):
            platform.publish(several, name="x")
    assert gateway.published == []


def test_a_file_that_changes_while_it_is_sent_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for meanwhile in (ROWS + b"more", ROWS[:-3]):
        path.write_bytes(ROWS)
        body = MultipartBody({}, [("a.csv", path)])
        assert body.length == len(b"".join(body))
        path.write_bytes(meanwhile)
        with pytest.raises(InvalidInput, match="changed while it was sent"):
            list(body)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("reviews.csv", "reviews"), ("data/reviews.csv.gz", "reviews"), ("data/reviews.tar.zst", "reviews"),
        ("影评/", "影评"),
        ("hf://datasets/stanfordnlp/imdb@v1", "imdb"), ("sqlite:////data/shop.db", "shop"),
        ("postgresql://r@h/shop?password=file:/run/secret", "shop"), ("https://example.org/a/b.parquet?key=1/2", "b"),
    ],
)  # fmt: skip
def test_a_name_is_made_from_what_the_source_is_called(source: str, name: str) -> None:
    assert default_name([source]) == name
