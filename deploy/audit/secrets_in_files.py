"""Secrets in files that git keeps, by detect-secrets: what is not in ``.secrets.baseline`` is new."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deploy.audit.verdict import Verdict, last_line, run, why_not

TITLE = "secrets in the repository"
BASELINE = ".secrets.baseline"
_ONLY_MOVED = 3
"""Exit status where nothing is new and the baseline's line numbers were brought up to date."""


def find_secrets(root: Path, tools: Path) -> Verdict:
    """Look through every file that git keeps."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
    if listed.returncode:
        return Verdict(TITLE, "unknown", [f"git does not list the files: {last_line(listed.stderr)}"])
    files = [name for name in listed.stdout.split("\0") if name and name != BASELINE]
    try:
        done = run(tools / "detect-secrets-hook", ["--baseline", BASELINE, *files], cwd=root)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Verdict(TITLE, "unknown", [why_not("detect-secrets", error)])
    if done.returncode == 0:
        return Verdict(TITLE, "clean", [f"{len(files)} files"])
    if done.returncode == _ONLY_MOVED:
        return Verdict(
            TITLE, "clean", [f"{len(files)} files; lines have moved: commit {BASELINE}, which is up to date"]
        )
    places = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("Location:")]
    if not places:
        return Verdict(TITLE, "unknown", [last_line(done.stderr or done.stdout)])
    advice = (
        "remove it from the history and revoke it; a test's own is taken into the baseline: "
        f"{tools / 'detect-secrets'} scan --baseline {BASELINE}"
    )
    return Verdict(TITLE, "found", [*places, advice])
