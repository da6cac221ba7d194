"""``tidemill erase``: a person's data is taken out of a project."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.screen import (
    DataDirOption,
    JsonOption,
    Misused,
    UrlOption,
    YesOption,
    agreed,
    print_document,
    progress_bar,
    screen,
)

if TYPE_CHECKING:
    from tidemill.client import Platform
    from tidemill.contracts.erasures import ErasureReport, ErasureView

LOOK_SECONDS = 0.3


def erase(
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject", metavar="VALUE", show_default=False,
            help="An e-mail address, a phone number, a name…; - reads it from standard input, where nobody sees it.",
        ),
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", help="email, phone, iban, payment_card, person, …; any goes by its form.")
    ] = "any",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
    show: Annotated[
        str | None, typer.Option("--show", metavar="ID", show_default=False, help="Show an erasure that was asked for.")
    ] = None,
    yes: YesOption = False,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Erase a person's data: from datasets, sources, reports, vaults, records and messages. It cannot be undone.

    The last version of every dataset is made again without the person's rows; models trained on them are listed.
    """
    from tidemill.client import connect

    if (subject is None) == (show is None):
        raise Misused("name whose data is to go with --subject VALUE, or look at an erasure with --show ID")
    with connect(url, data_dir) as platform:
        if show is not None:
            view = platform.erasure(show)
        else:
            value = sys.stdin.readline().rstrip("\n") if subject == "-" else str(subject)
            if not dry_run:
                agreed("Erase this person's data? It cannot be brought back.", yes=yes)
            view = _asked(platform, value, kind, dry_run=dry_run)
            if not as_json:
                screen().print(f"[dim]erasure {view.id}[/dim]")
        report = _awaited(platform, view, as_json=as_json)
    if as_json:
        print_document(report.model_dump(mode="json"))
    else:
        _show(report)


def _asked(platform: Platform, value: str, kind: str, *, dry_run: bool) -> ErasureView:
    from typing import cast, get_args

    from tidemill.contracts.erasures import SubjectKind
    from tidemill.contracts.privacy import EntityName

    kinds = ("any", *get_args(EntityName))
    if kind not in kinds:
        raise Misused(f"--kind {kind}: no such kind; known: {', '.join(kinds)}")
    return platform.erase(value, kind=cast(SubjectKind, kind), dry_run=dry_run)


def _awaited(platform: Platform, view: ErasureView, *, as_json: bool) -> ErasureReport:
    console = screen(as_json)
    try:
        with progress_bar(console) as progress:
            said = ""
            while view.report is None:
                progress(view.step or view.state, view.done, view.total)
                if view.step.startswith("stopped") and view.step != said:
                    console.print(view.step, markup=False)
                    said = view.step
                time.sleep(LOOK_SECONDS)
                view = platform.erasure(view.id)
    except KeyboardInterrupt:
        console.print(f"the erasure goes on; look at it: tidemill erase --show {view.id}")
        raise typer.Exit(130) from None
    return view.report


def _show(report: ErasureReport) -> None:
    from rich.markup import escape

    from tidemill.cli.figures import size

    console = screen()
    would = "would be " if report.dry_run else ""
    console.print(
        f"looked through {report.searched_files:,} files ({size(report.searched_bytes)}) of "
        f"{report.searched_artifacts:,} artifacts and {report.searched_records:,} records for a subject of the kind "
        f"{report.kind}"
    )
    removed = [one for one in report.artifacts if one.fate == "removed"]
    held = sum(one.held for one in removed)
    if not report.found:
        console.print("nothing of this person was found")
    if removed:
        console.print(f"{len(removed)} artifacts {would}removed: {held} with the value, the others made from them")
    for dataset in report.datasets:
        rows = f"{dataset.erased:,} rows {would}erased, {dataset.left:,} left"
        made = f"; run {dataset.run_id} makes the version without them" if dataset.run_id else ""
        made = made if report.dry_run or dataset.run_id else "; nothing of it is left"
        console.print(f"dataset {escape(dataset.name)}, version {dataset.version}: {rows}{made}")
    for run_id in report.runs_cancelled:
        console.print(f"run {run_id} was cancelled")
    if report.records or report.messages:
        messages = sum(report.messages.values())
        console.print(f"{report.records} records {would}overwritten, {messages} messages {would}removed")
    _show_models(report)
    for unsearched in report.unsearched:
        console.print(f"[yellow]not searched[/yellow] {unsearched.files} {unsearched.what}")
    for sentence in report.left:
        console.print(f"[yellow]left[/yellow] {escape(sentence)}")


def _show_models(report: ErasureReport) -> None:
    from rich.markup import escape

    console = screen()
    for model in report.models:
        state = "serving" if model.serving else ", ".join(model.aliases) or "not serving"
        console.print(f"[yellow]trained on it[/yellow] model {escape(model.name)}, version {model.version} ({state})")
    if report.advice:
        console.print("to train again without this person:")
    for command in report.advice:
        console.print(f"  {command}", markup=False)
