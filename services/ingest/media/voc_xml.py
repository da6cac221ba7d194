"""Reads one annotation of an image in VOC's XML. Document types and entities are refused: none is needed, and they can
name other files or grow without end (XML 1.0, sections 2.8 and 4)."""

from __future__ import annotations

import re
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from services.ingest.media.boxes import box
from services.ingest.media.checks import Unusable

MAX_BYTES = 1 << 24
_MAX_DEPTH = 50
_DECLARED = re.compile(rb"^\s*<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_objects(xml: bytes, size: tuple[int, int]) -> list[dict[str, Any]]:
    """The objects of an annotation, in their order; ``size`` is the image's width and height.

    Raises:
        Unusable: it is no annotation, an object has no label or no box, or it was made for another size of the image.
    """
    root = _parse(xml)
    if root.tag != "annotation":
        raise Unusable(f"has an annotation that is no VOC: it begins with <{root.tag}>; replace it")
    said = tuple(_number(root, f"size/{side}", 0) for side in ("width", "height"))
    if min(said) > 0 and said != size:
        raise Unusable(
            f"is {size[0]} x {size[1]} pixels, but its annotation is for {said[0]:g} x {said[1]:g}; annotate it again"
        )
    return [_object(element) for element in root.findall("object")]


def _object(element: Element) -> dict[str, Any]:
    label = (element.findtext("name") or "").strip()
    if not label:
        raise Unusable("has an object without a name; add it to its annotation")
    corners = tuple(_number(element, f"bndbox/{corner}") for corner in _CORNERS)
    return box(label, corners, _number(element, "difficult", 0) != 0)


def _number(element: Element, path: str, default: float | None = None) -> float:
    text = (element.findtext(path) or "").strip()
    if not text and default is not None:
        return default
    try:
        return float(text)
    except ValueError:
        raise Unusable(f"has {text!r} where its annotation should have a number ({path}); correct it") from None


def _parse(xml: bytes) -> Element:
    if len(xml) > MAX_BYTES:
        raise Unusable(f"has an annotation of {len(xml):,} bytes; at most {MAX_BYTES:,} are taken")
    builder = TreeBuilder()
    depth = 0

    def refuse(*_: object) -> None:
        raise Unusable("has an annotation with a document type or entities, which are refused; remove <!DOCTYPE …>")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise Unusable("has an annotation that is nested too deeply; replace it")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser = expat.ParserCreate("utf-8" if _DECLARED.match(xml) else None)
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(_as_utf8(xml), True)
    except expat.ExpatError as error:
        raise Unusable(f"has an annotation that is no whole XML ({error}); replace it") from None
    return builder.close()


def _as_utf8(xml: bytes) -> bytes:
    """Expat knows a few encodings only; GBK, which Chinese tools write, is none of them."""
    declared = _DECLARED.match(xml)
    if declared is None:
        return xml
    try:
        return xml.decode(declared[1].decode("ascii")).encode("utf-8")
    except (LookupError, UnicodeError):
        raise Unusable(f"has an annotation that is not in the encoding it declares ({declared[1].decode()})") from None
