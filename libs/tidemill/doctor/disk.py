"""Free space and free inodes of the folders that the platform writes to."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tidemill.doctor.findings import Finding, failed, ok, warning
from tidemill.doctor.site import Site

FAILED_BYTES = 500 << 20
WARNING_BYTES = 2 << 30
WARNING_SHARE = 0.10
FAILED_FILES = 1000
WARNING_FILES_SHARE = 0.05


async def look(site: Site) -> list[Finding]:
    """Each file system once, named by the first folder on it."""
    data = site.folder()
    folders = [data.root, data.jetstream, site.store_folder]
    return await asyncio.to_thread(_look, [folder for folder in folders if folder is not None], data.root / "cache")


def _look(folders: list[Path], cache: Path) -> list[Finding]:
    seen: set[int] = set()
    found: list[Finding] = []
    for folder in folders:
        there = next(each for each in (folder, *folder.parents) if each.exists())
        device = there.stat().st_dev
        if device not in seen:
            seen.add(device)
            found.append(of_folder(folder, there, cache))
    return found


def of_folder(folder: Path, there: Path, cache: Path) -> Finding:
    """The file system of ``there``, which is ``folder`` or the nearest one above it."""
    state = os.statvfs(there)
    free, size = state.f_bavail * state.f_frsize, max(state.f_blocks * state.f_frsize, 1)
    said = f"{folder}: {free / 1e9:.2f} GB of {size / 1e9:.1f} GB are free"
    advice = f"make room; what is in {cache} may be removed, it is fetched again"
    if free < FAILED_BYTES:
        return failed(f"{said}: NATS and the store refuse to write soon", advice)
    if state.f_files and state.f_favail < FAILED_FILES:
        return failed(f"{folder}: only {state.f_favail} more files can be made, although space is free", advice)
    if state.f_files and state.f_favail < WARNING_FILES_SHARE * state.f_files:
        return warning(f"{folder}: {state.f_favail} of {state.f_files} possible files are left", advice)
    if free < WARNING_BYTES or free < WARNING_SHARE * size:
        return warning(said, advice)
    return ok(said)
