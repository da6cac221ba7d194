"""Whether an encoded image or recording can be decoded to its end, and its measures. Knows bytes, no folders.

Everything is decoded once, in bounded memory: what opens is not always whole.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

MAX_FILE_BYTES = 1 << 28
"""A larger file is no example but an archive of examples."""
MAX_PIXELS = 89_478_485
"""Pillow's own bound: a quarter of a gigabyte of three-byte pixels."""
MAX_SAMPLES = 1 << 31
"""Twelve hours of one channel at 48 kHz."""
_IMAGE_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
_BLOCK = 1 << 16
_STREAMED = 0xFFFFFFFF
_WHOLE_MP3 = 0.95
"""The length of an MP3 file without a table of contents is an estimate."""


class Unusable(Exception):
    """Why a file is no example: the end of a sentence that begins with its name."""


@dataclass(frozen=True)
class Media:
    """An encoded file as it is, and its measures: ``width`` and ``height``, or ``sample_rate`` and ``seconds``."""

    content: bytes
    measures: Mapping[str, int | float]


def check_image(content: bytes) -> Media:
    """The image in ``content`` with its width and height in pixels, as stored: before any orientation is applied.

    Of an image of several frames the first is looked at.

    Raises:
        Unusable: it is no image, broken off, damaged, or has more than ``MAX_PIXELS`` pixels.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_IMAGE_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Unusable(_too_many_pixels(f"{width} x {height}"))
            image.verify()
        with Image.open(io.BytesIO(content), formats=_IMAGE_FORMATS) as image:
            # A JPEG is decoded to an eighth of its size: every byte is read, at a third of the time.
            image.draft(None, (width // 8, height // 8))
            image.load()
    except Unusable:
        raise
    except UnidentifiedImageError:
        raise Unusable(f"is no image that can be read: it begins with {content[:12]!r}; replace it") from None
    except Image.DecompressionBombError:
        raise Unusable(_too_many_pixels("its header")) from None
    except MemoryError:
        raise
    # A decoder may raise anything on bytes that were made to break it.
    except Exception as error:
        raise Unusable(f"is a damaged image ({_reason(error)}); replace it") from None
    if width < 1 or height < 1:
        raise Unusable("is an image without pixels; replace it")
    return Media(content, {"width": width, "height": height})


def check_recording(content: bytes) -> Media:
    """The recording in ``content`` with its sample rate in hertz and its length in seconds.

    Raises:
        Unusable: it is no recording, broken off, damaged, without a sample, or longer than ``MAX_SAMPLES``.
    """
    # libsndfile is loaded where recordings are read, and nowhere else.
    import soundfile

    _check_riff(content)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            rate, frames, is_mp3 = file.samplerate, file.frames, "MPEG" in file.format or file.format == "MP3"
            read = 0
            while block := len(file.read(_BLOCK, dtype="float32")):
                read += block
                if read * file.channels > MAX_SAMPLES:
                    raise Unusable(f"is longer than {MAX_SAMPLES:,} samples; cut it into examples")
    except Unusable:
        raise
    except MemoryError:
        raise
    # As above.
    except Exception as error:
        raise Unusable(f"is no recording that can be read ({_reason(error)}); replace it") from None
    if read < (frames * _WHOLE_MP3 if is_mp3 else frames):
        raise Unusable(f"breaks off after {read:,} of {frames:,} frames; replace it")
    if not read or rate < 1:
        raise Unusable("is a recording without a sample; replace it")
    return Media(content, {"sample_rate": rate, "seconds": read / rate})


def _check_riff(content: bytes) -> None:
    """libsndfile takes a WAV file that is broken off for a shorter one; its header knows (Microsoft, RIFF, 1991)."""
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        promised = struct.unpack("<I", content[4:8])[0] + 8
        if promised > len(content) and promised - 8 != _STREAMED:
            raise Unusable(f"breaks off after {len(content):,} of {promised:,} bytes; replace it")


def _too_many_pixels(what: str) -> str:
    return f"is too large: {what} promises more than the {MAX_PIXELS:,} pixels that are taken; make it smaller"


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.partition("<_io.BytesIO")[0].rstrip(": ") or type(error).__name__
