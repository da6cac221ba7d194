"""Multipart bodies become files where their names say, and are refused as soon as what is wrong is known."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from services.inference.access.caller import Caller, let_in
from services.inference.uploads import receive_form
from tidemill.errors import InvalidInput


def field(name: str, more: str = "") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode()


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ([field("colour")], "field 'colour' is not known; known are name, recipe and file"),
        ([field("name") + b"a\r\n", field("name")], "field 'name' was sent twice"),
        ([field("颜色")], "field '颜色' is not known"),
        ([field("file")], "no file name"),
        ([field("data", '; filename="a.csv"')], "parts named 'file'"),
        ([field("file", '; filename="a.csv"') + b"x\r\n", field("file", '; filename="a.csv"')], "'a.csv' twice"),
    ],
)
async def test_a_part_that_may_not_come_is_refused_before_its_value(
    tmp_path: Path, chunks: list[bytes], said: str
) -> None:
    coming = iter(chunks)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(coming), "more_body": True}  # asking for more ends the test

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    request = from_somebody({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)
    with pytest.raises(InvalidInput, match=said):
        await receive_form(request, tmp_path, fields=("name", "recipe"), max_bytes=1 << 30, max_files=2)
    assert list(coming) == []


def from_somebody(scope: dict[str, Any], receive: Any) -> Request:
    let_in(scope, Caller("local", "default"))
    return Request(scope, receive)


def request(*parts: bytes, cut: int = 1 << 16) -> Request:
    body = b"".join(part + b"\r\n" for part in parts) + b"--b--\r\n"
    chunks = [body[at : at + cut] for at in range(0, len(body), cut)]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    return from_somebody({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


def file(name: str, content: bytes = b"x") -> bytes:
    return field("file", f'; filename="{name}"') + content


async def received(tmp_path: Path, *parts: bytes, max_files: int = 100, cut: int = 1 << 16) -> dict[str, bytes]:
    sent = request(*parts, cut=cut)
    form = await receive_form(sent, tmp_path, fields=("name",), max_bytes=1 << 30, max_files=max_files)
    found = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert sorted(form.files) == sorted(found)
    return found


@pytest.mark.parametrize("cut", [1, 7, 1 << 16])
async def test_a_tree_of_files_lies_as_it_was_sent(tmp_path: Path, cut: int) -> None:
    sent = {"train/猫/1.png": b"\x89PNG", "train/dog 2.png": b"", r"a \"b\".csv": b"a,b\r\n" * 9, "labels.csv": b"--b"}
    found = await received(tmp_path, field("name") + b"n", *(file(*one) for one in sent.items()), cut=cut)
    assert found == {name.replace(r"\"", '"'): content for name, content in sent.items()}


async def test_more_files_than_may_be_open_at_once_are_taken(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        found = await received(tmp_path, *(file(f"images/{number}.png") for number in range(2_000)), max_files=2_000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(found) == 2_000


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("../a.csv",), "leads out of its folder"),
        (("a/../../b.csv",), "leads out of its folder"),
        (("..",), "leads out of its folder"),
        (("/etc/passwd",), "is an absolute path"),
        (("C:/a.csv",), "is an absolute path"),
        (("a\\..\\..\\b.csv",), "holds a backslash"),
        (("a\0.csv",), "holds a control character"),
        (("a\tb.csv",), "holds a control character"),
        (("",), "it is empty"),
        (("/",), "is an absolute path"),
        ((".",), "it is empty"),
        (("长" * 90,), "more than 255 bytes"),
        (("/".join("d" * 40),), "more than 32 folders"),
        (("/".join(["d" * 250] * 5),), "more than 1,024 bytes"),
        ((".hidden",), "a hidden file"),
        (("a/.git/config",), "a hidden file"),
        (("__MACOSX/a.csv",), "a hidden file"),
        (("a.csv", "a.csv"), "twice"),
        (("a.csv", "./a.csv"), "twice"),
        (("a/b.csv", "a//b.csv"), "twice"),
        (("a.csv", "A.csv"), "only in case or Unicode form"),
        (("é.csv", "e\u0301.csv"), "only in case or Unicode form"),
        (("a", "a/b.csv"), "both as a file and as a folder"),
        (("a/b.csv", "A"), "both as a file and as a folder"),
        (tuple(f"{number}.csv" for number in range(6)), "one zip or tar.gz archive"),
    ],
)
async def test_a_name_that_cannot_be_used_is_refused(tmp_path: Path, names: tuple[str, ...], says: str) -> None:
    folder = tmp_path / "deep" / "upload"
    folder.mkdir(parents=True)
    with pytest.raises(InvalidInput, match=says):
        await received(folder, *(file(name) for name in names), max_files=5)
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in folder.parent.iterdir()] == ["upload"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "ends too early|malformed"),
        (b"hello", "malformed"),
        (file("a.csv"), "ends too early"),
        (file("a.csv") + b"\r\n--b", "ends too early"),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx", "no name in its Content-Disposition"),
        (b"--b\r\n\r\nx", "no name in its Content-Disposition"),
        (b"--b\r\nbad header\r\n\r\nx", "malformed"),
        (field("name") + b"\xff\r\n--b--\r\n", "is not UTF-8 text"),
        (field("name") + b"x" * (1 << 21), "more than 1,048,576 bytes"),
    ],
)
async def test_a_body_that_is_no_form_is_refused(tmp_path: Path, body: bytes, says: str) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    broken = from_somebody({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)
    with pytest.raises(InvalidInput, match=says):
        await receive_form(broken, tmp_path, fields=("name",), max_bytes=1 << 30, max_files=5)
