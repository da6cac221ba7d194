"""Multipart bodies are refused as soon as what is wrong with them is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

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
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)
    with pytest.raises(InvalidInput, match=said):
        await receive_form(request, tmp_path, fields=("name", "recipe"), max_bytes=1 << 30, max_files=2)
    assert list(coming) == []
