"""Archives and compressed files: unpacked into a folder, whatever whoever packed them had in mind.

    kinds        which files are archives, by their content
    names        how the names in a zip are encoded
    tar, zips    the members of an archive, one after the other
    streams      decompression in bounded memory
    writing      where members go: counted, checked, never outside the folder
    unpacking    all of it, for a source

Knows nothing of what is in the files.
"""

from services.ingest.archives.unpacking import unpack
from services.ingest.archives.writing import UnpackLimits

__all__ = ["UnpackLimits", "unpack"]
