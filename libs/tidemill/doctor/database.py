"""The registry's database against the records. Asked in a process of its own: the doctor knows no service."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys

from tidemill.doctor.findings import Finding, failed, ok, warning
from tidemill.doctor.site import Site


async def look(site: Site) -> list[Finding]:
    """Reachable, of this version's schema, and in step with the bucket."""
    data = site.folder()
    environment = os.environ | {"TIDEMILL_DATA_DIR": str(data.root), "TIDEMILL_STORE_URL": site.store()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "services.registry.inspection",
        env=environment, cwd=data.root, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.returncode:
        said = err.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        return [failed(f"the registry's database cannot be read: {said[-1]}", "see TIDEMILL_REGISTRY_DATABASE_URL")]
    return [judged(json.loads(out.splitlines()[-1]), site)]


def judged(found: dict[str, object], site: Site) -> Finding:
    """What an inspection means."""
    name = found["database"]
    rebuild = f"`tidemill registry rebuild{site.data_dir_option}` makes it again from the records"
    if found["revision"] is None:
        if not found["recorded_runs"]:
            return ok("there is no database yet, and nothing to keep in it")
        return failed(f"{name} has no tables, although {found['recorded_runs']} runs are on record", rebuild)
    if not found["known_revision"]:
        return failed(
            f"{name} has the schema {found['revision']}, which this version (schema {found['head']}) does not know",
            "install the newer Tidemill that wrote it, or remove the database and rebuild it",
        )
    if found["revision"] != found["head"]:
        return warning(
            f"{name} has the schema {found['revision']}, this version needs {found['head']}",
            "start the registry: it brings the schema up to date",
        )
    if found["missing_runs"] or found["surplus_runs"] or found["missing_versions"]:
        return failed(
            f"{name} is not in step with the bucket: of what is on record {found['missing_runs']} runs and "
            f"{found['missing_versions']} versions are missing in it, and {found['surplus_runs']} of its runs are not",
            rebuild,
        )
    holds = f"{found['runs']} runs and {found['versions']} versions"
    return ok(f"{name}: schema {found['head']}, {holds}, in step with the bucket")
