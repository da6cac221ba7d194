"""A real labelled text set made from the running interpreter's own documentation. Knows Python, no platform.

Texts are the first paragraphs of docstrings of public modules, classes, functions and methods, and paragraphs of the
language reference that ``pydoc`` carries. The label is the area that the module belongs to. The same interpreter
gives the same rows in the same order.
"""

from __future__ import annotations

import builtins
import contextlib
import csv
import hashlib
import importlib
import inspect
import io
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

LONGEST = 400
"""Characters of a text."""
_SHORTEST = 20
_MOST_OF_ONE_LABEL = 460
"""Rows of one label, so that no area drowns the others."""

AREAS: dict[str, tuple[str, ...]] = {
    "concurrency": (
        "asyncio", "threading", "multiprocessing", "multiprocessing.connection", "multiprocessing.managers",
        "multiprocessing.pool", "multiprocessing.shared_memory", "multiprocessing.synchronize",
        "multiprocessing.context", "multiprocessing.queues", "concurrent.futures", "concurrent.futures.thread",
        "concurrent.futures.process", "queue", "sched", "_thread", "contextvars", "subprocess", "signal",
        "asyncio.base_events", "asyncio.events", "asyncio.futures", "asyncio.locks", "asyncio.queues",
        "asyncio.runners", "asyncio.streams", "asyncio.tasks", "asyncio.taskgroups", "asyncio.timeouts",
        "asyncio.transports", "asyncio.protocols", "asyncio.subprocess", "asyncio.unix_events",
        "asyncio.selector_events", "asyncio.sslproto", "asyncio.threads", "selectors", "select",
    ),
    "dates and mathematics": (
        "math", "cmath", "decimal", "_pydecimal", "fractions", "statistics", "random", "numbers", "datetime",
        "calendar", "time", "zoneinfo", "colorsys", "operator",
    ),
    "data structures": (
        "collections", "collections.abc", "heapq", "bisect", "array", "itertools", "functools", "copy", "enum",
        "dataclasses", "weakref", "types", "graphlib", "reprlib", "queue", "typing", "abc",
    ),
    "files and archives": (
        "pathlib", "os", "os.path", "shutil", "tempfile", "glob", "fnmatch", "fileinput", "filecmp", "io", "_pyio",
        "zipfile", "tarfile", "gzip", "bz2", "lzma", "zlib", "stat", "mmap", "linecache", "dbm", "dbm.dumb", "shelve",
        "pickle", "sqlite3", "marshal", "zipimport", "importlib.resources",
    ),
    "internet": (
        "socket", "ssl", "socketserver", "http", "http.client", "http.server", "http.cookies", "http.cookiejar",
        "urllib.request", "urllib.parse", "urllib.error", "urllib.robotparser", "ftplib", "poplib", "imaplib",
        "smtplib", "ipaddress", "xmlrpc.client", "xmlrpc.server", "email.message", "email.policy", "email.utils",
        "email.header", "email.headerregistry", "email.mime.text", "email.parser", "email.generator", "mailbox",
        "mimetypes", "webbrowser", "wsgiref.handlers", "wsgiref.headers", "wsgiref.simple_server", "wsgiref.util",
        "wsgiref.validate", "uuid", "netrc",
    ),
    "language reference": (),
    "testing and debugging": (
        "unittest", "unittest.mock", "unittest.case", "unittest.loader", "unittest.runner", "unittest.result",
        "unittest.suite", "unittest.async_case", "unittest.util", "doctest", "pdb", "bdb", "cmd", "trace",
        "traceback", "tracemalloc", "faulthandler", "timeit", "cProfile", "profile", "pstats", "warnings", "logging",
        "logging.handlers", "logging.config", "inspect", "dis", "gc", "code", "codeop", "pydoc", "tabnanny",
    ),
    "text": (
        "string", "re", "difflib", "textwrap", "unicodedata", "codecs", "csv", "json", "json.decoder", "json.encoder",
        "html", "html.parser", "html.entities", "xml.etree.ElementTree", "xml.dom.minidom", "xml.dom.pulldom",
        "xml.sax", "xml.sax.handler", "xml.sax.saxutils", "xml.sax.xmlreader", "xml.sax.expatreader", "configparser",
        "tomllib", "gettext", "locale", "argparse", "optparse", "getopt", "shlex", "pprint", "base64", "binascii",
        "quopri", "stringprep", "plistlib", "struct", "readline", "tokenize", "token",
    ),
}  # fmt: skip
"""Label to modules. A module that this interpreter does not have is left out."""

BUILTINS: dict[str, tuple[str, ...]] = {
    "text": ("str", "bytes", "bytearray", "format", "ascii", "chr", "ord", "repr"),
    "dates and mathematics": ("int", "float", "complex", "abs", "divmod", "pow", "round", "sum", "hex", "oct", "bin"),
    "data structures": (
        "dict", "list", "tuple", "set", "frozenset", "range", "slice", "memoryview", "enumerate", "filter", "map",
        "zip", "reversed", "sorted", "iter", "next", "len", "max", "min", "any", "all",
    ),
}  # fmt: skip

_WRITTEN_IN = {"os": "posix", "posixpath": "genericpath", "decimal": "pydecimal", "pydecimal": "decimal", "io": "pyio"}
"""Modules whose members come from another one."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_PROMPT = re.compile(r"^\s*(>>>|\.\.\. |\$ )")
_SIGNATURE = re.compile(r"^[\w.\[\], ]*\(.*?\)(\s*->\s*\S.*)?$")


@dataclass(frozen=True)
class Example:
    """One row: a short text and the area that it is about."""

    text: str
    label: str


def examples(rows: int | None = None) -> list[Example]:
    """All examples of this interpreter, at most ``rows``, in an order that mixes the labels.

    A text that documents things of two areas is left out, since nobody could say which is right.
    """
    labels_of: dict[str, set[str]] = defaultdict(set)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # looking at a deprecated thing is not using it
        for label, text in _labelled():
            labels_of[text].add(label)
    by_label: dict[str, list[str]] = defaultdict(list)
    for text, labels in labels_of.items():
        if len(labels) == 1:
            by_label[next(iter(labels))].append(text)
    kept = [
        Example(text, label)
        for label, texts in by_label.items()
        for text in sorted(texts, key=_shuffled)[:_MOST_OF_ONE_LABEL]
    ]
    return sorted(kept, key=lambda example: _shuffled(example.text))[:rows]


def write_csv(found: list[Example], path: Path) -> None:
    """Write ``found`` as CSV in UTF-8 with a header.

    Raises:
        InvalidInput: the file cannot be written.
    """
    from tidemill.errors import InvalidInput

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "label"))
            writer.writerows((example.text, example.label) for example in found)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from None


def _shuffled(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _labelled() -> Iterator[tuple[str, str]]:
    for label, names in AREAS.items():
        for name in names:
            module = _loaded(name)
            if module is not None:
                for documentation in _of_module(module):
                    yield from ((label, text) for text in _first_paragraph(documentation))
    for label, names in BUILTINS.items():
        for name in names:
            for documentation in _of_object(getattr(builtins, name)):
                yield from ((label, text) for text in _first_paragraph(documentation))
    yield from (("language reference", text) for text in _language_reference())


def _loaded(name: str) -> ModuleType | None:
    """The module, imported without a sound; none of ``AREAS`` does anything when it is imported."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return importlib.import_module(name)
        except ImportError:
            return None


def _of_module(module: ModuleType) -> Iterator[str]:
    if isinstance(module.__doc__, str):
        yield module.__doc__
    family = module.__name__.partition(".")[0].lstrip("_")
    for name, thing in sorted(vars(module).items()):
        if name.startswith("_") or inspect.ismodule(thing):
            continue
        home = str(getattr(thing, "__module__", None) or "").partition(".")[0].lstrip("_")
        # What a module merely imported belongs to another area; C code often does not say where it is from.
        if home in (family, "", "builtins", _WRITTEN_IN.get(family)):
            yield from _of_object(thing)


def _of_object(thing: Any) -> Iterator[str]:
    if inspect.isclass(thing):
        if isinstance(thing.__doc__, str):
            yield thing.__doc__
        for name, member in sorted(vars(thing).items()):
            if name.startswith("_"):
                continue
            documentation = getattr(member, "__doc__", None)
            if isinstance(documentation, str) and (inspect.isroutine(member) or inspect.isdatadescriptor(member)):
                yield documentation
    elif inspect.isroutine(thing) and isinstance(thing.__doc__, str):
        yield thing.__doc__


def _first_paragraph(documentation: str) -> Iterator[str]:
    """The first paragraph that is prose, as one line; nothing when there is none."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(documentation)):
        lines = [line for line in paragraph.splitlines() if not _PROMPT.match(line)]
        if lines and _SIGNATURE.match(lines[0].strip()):  # C code writes its signature first
            lines = lines[1:]
        text = _cut(" ".join(" ".join(lines).split()))
        if len(text) >= _SHORTEST and " " in text:
            yield text
            return


def _language_reference() -> Iterator[str]:
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except (ImportError, AttributeError):
        return
    for _, topic in sorted(topics.items()):
        for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(topic)):
            first = paragraph.lstrip()
            if paragraph.startswith("  ") or _PROMPT.match(first) or set(first) <= set("*=-~^ \n") or "::=" in first:
                continue  # indented code, headings, grammar
            text = _cut(" ".join(first.split()))
            if len(text) >= 2 * _SHORTEST and text.count(" ") >= 5:
                yield text


def _cut(text: str) -> str:
    """At most ``LONGEST`` characters, whole sentences where that is possible."""
    if len(text) <= LONGEST:
        return text
    kept = ""
    for sentence in _SENTENCE_END.split(text):
        if len(kept) + len(sentence) + 1 > LONGEST:
            break
        kept = f"{kept} {sentence}".strip()
    return kept or text[:LONGEST].rsplit(" ", 1)[0]
