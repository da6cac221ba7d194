"""``make audit``: known vulnerabilities, a bill of materials for every image, secrets in the repository.

Run by the project's own Python, whose environment is looked at; the tools live in an environment of their own:

    python -m deploy.audit --tools .tidemill/audit/venv/bin --to .tidemill/audit

Exits 0 when all was looked at and nothing was found, 1 when something was found, 3 when something could not be looked
at (the vulnerability service cannot be reached, or does not know the packages) and nothing was found in the rest.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.audit.bill import write_bills
from deploy.audit.secrets_in_files import find_secrets
from deploy.audit.verdict import Verdict
from deploy.audit.vulnerabilities import look_up

ROOT = Path(__file__).parents[2]


def main() -> int:
    """All three, whatever the others say; the worst counts."""
    parser = argparse.ArgumentParser(prog="make audit")
    parser.add_argument("--tools", type=Path, required=True, help="folder of pip-audit, cyclonedx-py, detect-secrets")
    parser.add_argument("--to", type=Path, required=True, help="folder for what is found")
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    verdicts: list[Verdict] = []
    for look in (
        lambda: find_secrets(ROOT, arguments.tools),
        lambda: write_bills(ROOT, arguments.tools, arguments.to),
        lambda: look_up(ROOT, arguments.tools, arguments.to),
    ):
        verdicts.append(verdict := look())
        print(f"\n{verdict.title}: {verdict.state}")
        print("\n".join(f"  {line}" for line in verdict.lines), flush=True)
    if any(verdict.state == "found" for verdict in verdicts):
        return 1
    return 3 if any(verdict.state == "unknown" for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
