"""``python -m tests.faults``: what `make faults` runs."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from tests.faults.faults import BY_NAME
from tests.faults.report import document, show
from tests.faults.scene import Findings, Plan, play

FAULTS_PER_RUN = 1.6
S3_SHARE = 0.25
"""Of the runs: moto answers a request at a time, so most runs are on a folder."""


def main() -> int:
    """0 when every promise held."""
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else 140)
    folder = Path(options.folder or tempfile.mkdtemp(prefix="tidemill-faults-"))
    console.print(f"seed {options.seed}; logs and data below {folder}")
    findings: list[Findings] = []
    status = console.status("starting") if console.is_terminal else None
    if status is not None:
        status.start()

    def progress(line: str) -> None:
        if status is not None:
            status.update(line)

    def said(line: str) -> None:
        if options.verbose or status is not None:
            console.print(line, highlight=False, markup=False)

    try:
        for plan in _plans(options):
            findings.append(asyncio.run(_played(plan, folder / plan.scene, said, progress)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("broken off; nothing runs any more")
        return 1
    if status is not None:
        status.stop()
    show(console, findings, options.seed)
    if options.json:
        Path(options.json).write_text(json.dumps(document(findings, options.seed), indent=2, ensure_ascii=False))
    return 1 if any(one.violations for one in findings) else 0


async def _played(plan: Plan, folder: Path, said: Callable[[str], None], progress: Callable[[str], None]) -> Findings:
    task = asyncio.current_task()
    assert task is not None
    # As after Ctrl-C: processes are ended and the disk is unmounted before this one ends.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await play(plan, folder, said=said, progress=progress)


def _plans(options: argparse.Namespace) -> list[Plan]:
    scenes = [options.scene] if options.scene else ["folder", "s3"]
    plans = []
    for scene in scenes:
        share = 1.0 if options.scene else S3_SHARE if scene == "s3" else 1 - S3_SHARE
        runs = max(1, round(options.runs * share))
        faults = round(options.faults * share) if options.faults is not None else round(runs * FAULTS_PER_RUN)
        plans.append(
            Plan(scene, runs, faults, options.seed, work=options.work, kinds=options.kinds, at_once=options.at_once)
        )
    return plans


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description="Runs and faults, and what became of them."
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--faults", type=int, help=f"default: {FAULTS_PER_RUN} a run")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--scene", choices=("folder", "s3"), help="default: both")
    parser.add_argument("--kinds", type=_kinds, default=(), help=f"of {', '.join(BY_NAME)}")
    parser.add_argument("--work", choices=("real", "quick"), default="real", help="quick trains without torch")
    parser.add_argument("--at-once", type=int, default=8, help="runs under way at the same time")
    parser.add_argument("--json", help="also write everything to this file")
    parser.add_argument("--folder", help="where logs and data are kept; default: a new temporary one")
    parser.add_argument("--verbose", action="store_true", help="a line for every fault, without a terminal too")
    return parser.parse_args()


def _kinds(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in BY_NAME:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(BY_NAME)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
