"""Known vulnerabilities of what ``constraints.txt`` pins, by pip-audit.

pip-audit counts a package that its service does not know as harmless: it says «No known vulnerabilities found» and
exits with 0 when it has looked at none at all. Here such a package is one that nobody has looked at.
"""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

from deploy.audit.verdict import Verdict, last_line, run, why_not

TITLE = "known vulnerabilities"
REPORT = "vulnerabilities.json"
OSV = ("api.osv.dev", 443)
_SHOWN = 5


def look_up(root: Path, tools: Path, to: Path) -> Verdict:
    """Ask PyPI's service for every pinned package; where it does not know them, OSV's, if that can be reached."""
    verdict = _asked(root, tools, to, "pypi")
    if verdict.state != "unknown":
        return verdict
    try:
        with socket.create_connection(OSV, timeout=10):
            pass
    except OSError as error:
        return Verdict(TITLE, "unknown", [*verdict.lines, f"{OSV[0]} cannot be reached from here: {error}"])
    return _asked(root, tools, to, "osv")


def _asked(root: Path, tools: Path, to: Path, service: str) -> Verdict:
    arguments = [
        "--requirement", "constraints.txt", "--no-deps", "--disable-pip", "--progress-spinner", "off",
        "--vulnerability-service", service, "--timeout", "15", "--format", "json",
    ]  # fmt: skip
    try:
        done = run(tools / "pip-audit", arguments, cwd=root)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Verdict(TITLE, "unknown", [why_not("pip-audit", error)])
    if not done.stdout.lstrip().startswith("{"):
        reason = last_line(done.stderr)
        return Verdict(TITLE, "unknown", [f"the service {service!r} cannot be asked from here: {reason}"])
    (to / REPORT).write_text(done.stdout, encoding="utf-8")
    return judged(json.loads(done.stdout), service)


def judged(report: dict[str, list[dict[str, object]]], service: str) -> Verdict:
    """The verdict over a report of pip-audit."""
    dependencies = report["dependencies"]
    bad = [one for one in dependencies if one.get("vulns")]
    skipped = [one for one in dependencies if "skip_reason" in one]
    if bad:
        lines = [
            f"{one['name']} {one['version']}: {', '.join(str(vuln['id']) for vuln in one['vulns'])}"  # type: ignore[attr-defined]
            for one in bad
        ]
        return Verdict(TITLE, "found", [*lines, *_unlooked(skipped, len(dependencies), service)])
    if skipped:
        return Verdict(TITLE, "unknown", _unlooked(skipped, len(dependencies), service))
    return Verdict(TITLE, "clean", [f"{len(dependencies)} packages, asked of {service}"])


def _unlooked(skipped: list[dict[str, object]], all_of_them: int, service: str) -> list[str]:
    if not skipped:
        return []
    names = ", ".join(str(one["name"]) for one in skipped[:_SHOWN])
    more = f" and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else ""
    return [
        f"{len(skipped)} of {all_of_them} packages were not looked at: the service {service!r} does not know them "
        f"(a mirror of PyPI without its JSON interface answers so): {names}{more}",
        f"run it where {'pypi.org' if service == 'pypi' else 'api.osv.dev'} can be reached",
    ]
