"""The data report as one HTML page without a script, a font or an image from elsewhere: it opens anywhere, offline.

Everything that comes from the data is escaped.
"""

from __future__ import annotations

from html import escape

from services.preprocess.report import columns, drift, intake, preparation
from services.preprocess.report.document import DataReport
from tidemill.datasets import PARTS

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5d6778; --line: #dfe3ea; --paper: #ffffff; --card: #f6f7fa;
  --train: #2f6fde; --validation: #e39b24; --test: #2aa583; --warn: #b4540a; --warn-paper: #fff4e5;
  --good: #1d7a53; --good-paper: #e8f6ef; --before: #b9c2d2; --after: #2f6fde; --bad: #c8452f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf1; --soft: #9aa5b8; --line: #2e3644; --paper: #12161d;
  --card: #1a202a; --train: #6ea1ff; --validation: #f0b454; --test: #4fcaa8; --warn: #ffc078; --warn-paper: #33230f;
  --good: #6fd6a5; --good-paper: #10291f; --before: #4a5568; --after: #6ea1ff; --bad: #ff8a75; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "PingFang SC", sans-serif; }
h1 { margin: 0; font-size: 1.7rem; letter-spacing: -0.01em; } h2 { margin: 2.6rem 0 0.8rem; font-size: 1.15rem; }
h3 { margin: 1.4rem 0 0.3rem; font-size: 1rem; font-weight: 600; overflow-wrap: anywhere; }
h3 small { color: var(--soft); font-weight: 400; } p.lead { margin: 0.3rem 0 1.6rem; color: var(--soft); }
.cards { display: grid; gap: 0.8rem; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); }
.card { padding: 0.9rem 1rem; border-radius: 10px; background: var(--card); }
.card b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; } .card span { color: var(--soft); }
table { width: 100%; border-collapse: collapse; } th { color: var(--soft); font-weight: 500; text-align: left; }
th, td { padding: 0.45rem 0.6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td { overflow-wrap: break-word; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td small { color: var(--soft); } details { margin-top: 0.3rem; color: var(--soft); } summary { cursor: pointer; }
blockquote { margin: 0.35rem 0; padding-left: 0.7rem; border-left: 3px solid var(--line); overflow-wrap: anywhere; }
.legend { display: flex; gap: 1.2rem; margin: 0 0 0.6rem; color: var(--soft); }
.legend i { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.4em; border-radius: 3px; }
.warning, .kept { margin: 0.5rem 0; padding: 0.7rem 1rem; border-radius: 10px; color: var(--warn);
  background: var(--warn-paper); } .kept { color: var(--good); background: var(--good-paper); }
.scroll { max-height: 34rem; overflow-y: auto; } svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; } svg text.label { fill: var(--ink); }
"""


def render_page(report: DataReport) -> str:
    """The page."""
    sections = [
        _head(report),
        *(_finding(finding.says, kept=finding.kept) for finding in report.gate),
        *(_finding(warning, kept=False) for warning in report.statistics.warnings),
        *intake.sections(report),
        *preparation.sections(report),
        *columns.sections(report),
        *drift.sections(report),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Data report</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def _head(report: DataReport) -> str:
    statistics = report.statistics
    source = sum(statistics.source.values())
    cards = [("rows in the source", source), ("removed", statistics.removed)]
    if report.intake is not None and report.intake.bad_rows.rows:
        cards.append(("could not be read", report.intake.bad_rows.rows))
    cards += [(f"in {part}", statistics.prepared[part]) for part in PARTS if part in statistics.prepared]
    if labels := statistics.balance.get("train"):
        cards.append(("labels", len(labels)))
    roles = ", ".join(f"{escape(role)} from “{escape(column)}”" for role, column in report.roles.items())
    how = "parts as given" if set(statistics.source) != {"data"} else _how_cut(report)
    return (
        f'<h1>Data report</h1>\n<p class="lead">{escape(report.task)}{": " if roles else ""}{roles}; {how}</p>\n'
        '<div class="cards">'
        + "".join(f'<div class="card"><b>{count:,}</b><span>{escape(what)}</span></div>' for what, count in cards)
        + "</div>"
    )


def _how_cut(report: DataReport) -> str:
    split = report.statistics.split
    method = escape(str(split.get("method", "stratified")))
    by = split.get("group") if method == "group" else split.get("time") if method == "time" else None
    return f"parts cut by {method}{f' of “{escape(str(by))}”' if by else ''}, seed {split.get('seed', 0)}"


def _finding(says: str, *, kept: bool) -> str:
    return f'<p class="{"kept" if kept else "warning"}">{escape(says)}</p>'
