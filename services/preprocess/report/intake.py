"""The report's sections on what came in: files, repairs, bad rows."""

from __future__ import annotations

from html import escape

from services.preprocess.report.document import DataReport
from services.preprocess.report.tables import Markup, listed, table
from tidemill.datasets.intake import BadRowExample, BadRowKind, FileRead, IntakeReport, Repair

_SHOWN_FILES = 50


def sections(report: DataReport) -> list[str]:
    """The sections; none of a dataset whose ingest left no report."""
    if report.intake is None:
        return []
    intake = report.intake
    found = ["<h2>What came in</h2>", _files(intake)]
    if intake.licence_files:
        named = ", ".join(intake.licence_files)
        found.append(f"<p>Beside the data lies a licence to read: {escape(named)}.</p>")
    found += [f"<p>As it came in, {escape(warning)}.</p>" for warning in intake.warnings]
    if intake.repairs:
        found += ["<h2>What was found in the values</h2>", _repairs(intake)]
    if intake.bad_rows.rows:
        became = {"drop": "left out", "quarantine": "put aside in the quarantine artifact", "fail": "refused"}
        found += [
            "<h2>What could not be read</h2>",
            f"<p>{intake.bad_rows.rows:,} rows were {became[intake.bad_rows.policy]}.</p>",
            table(("reason", "rows"), [(_reason(kind), kind.rows) for kind in intake.bad_rows.kinds]),
        ]
    return found


def _repairs(intake: IntakeReport) -> str:
    """The same repair of several columns is one line."""
    where: dict[str, list[Repair]] = {}
    for one in intake.repairs:
        where.setdefault(one.says, []).append(one)
    rows = [
        (says, listed([one.column or one.file or "" for one in repairs]), sum(one.rows for one in repairs))
        for says, repairs in where.items()
    ]
    return table(("what", "where", "values"), sorted(rows, key=lambda row: -row[2]))


def _files(intake: IntakeReport) -> str:
    shown = intake.files[:_SHOWN_FILES]
    rows = [(one.name, one.part, _writing(one), one.rows, one.bad_rows) for one in shown]
    more = len(intake.files) - len(shown)
    behind = f"<p>{more:,} more files are in report.json.</p>" if more else ""
    return table(("file", "part", "written as", "rows", "bad rows"), rows) + behind


def _writing(one: FileRead) -> str:
    delimiters = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar", " ": "space"}
    words = [one.format]
    if one.encoding:
        words.append(one.encoding)
    if (one.delimiter and one.format not in ("csv", "tsv")) or (one.delimiter and one.delimiter not in ",\t"):
        words.append(f"fields by {delimiters.get(one.delimiter, repr(one.delimiter))}")
    if one.header is False:
        words.append("no header")
    return ", ".join(words)


def _content(one: BadRowExample) -> str:
    return f": {escape(one.content)}" if one.content else ""


def _reason(kind: BadRowKind) -> Markup:
    quotes = "".join(
        f"<blockquote>{escape(one.file)}, row {one.row}{_content(one)}<br><small>{escape(one.reason)}</small>"
        "</blockquote>"
        for one in kind.examples
    )
    return Markup(f"{escape(kind.reason)}<details><summary>examples</summary>{quotes}</details>")
