"""Blots a value out of files of lines that other processes append to: the bytes are overwritten where they are."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from tidemill.erasure.subject import Matcher
from tidemill.erasure.texts import found_in

log = logging.getLogger(__name__)


def blot_out(folder: Path, matcher: Matcher) -> int:
    """Overwrite every line below ``folder`` that holds the value, as long as before; how many there were.

    A line of JSON becomes an empty object with spaces behind it, since whoever reads the file takes it for JSON.
    """
    blotted = 0
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file() and not path.is_symlink():
            try:
                blotted += _blot_out_file(path, matcher)
            except OSError as error:
                log.warning("%s cannot be searched for what is to be erased: %s", path, error.strerror or error)
    return blotted


def _blot_out_file(path: Path, matcher: Matcher) -> int:
    blotted = 0
    with path.open("r+b") as file:
        while line := file.readline():
            if not found_in(line.decode("utf-8", "replace"), matcher):
                continue
            behind = file.tell()
            file.seek(behind - len(line))
            file.write(_blank(line))
            file.seek(behind)
            blotted += 1
    return blotted


def _blank(line: bytes) -> bytes:
    text = line.rstrip(b"\r\n")
    try:
        json.loads(text)
    except ValueError:
        return b"*" * len(text) + line[len(text) :]
    return b"{}".ljust(len(text)) + line[len(text) :]
