"""The quality report as one HTML page without a script, a font or an image from elsewhere: it opens anywhere, offline.

Everything that comes from the data is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_COLOURS = {"train": "var(--train)", "validation": "var(--validation)", "test": "var(--test)"}
_SHOWN_LABELS = 200

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5d6778; --line: #dfe3ea; --paper: #ffffff; --card: #f6f7fa;
  --train: #2f6fde; --validation: #e39b24; --test: #2aa583; --warn: #b4540a; --warn-paper: #fff4e5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf1; --soft: #9aa5b8; --line: #2e3644; --paper: #12161d;
  --card: #1a202a; --train: #6ea1ff; --validation: #f0b454; --test: #4fcaa8; --warn: #ffc078; --warn-paper: #33230f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "PingFang SC", sans-serif; }
h1 { margin: 0; font-size: 1.7rem; letter-spacing: -0.01em; } h2 { margin: 2.6rem 0 0.8rem; font-size: 1.15rem; }
p.lead { margin: 0.3rem 0 1.6rem; color: var(--soft); }
.cards { display: grid; gap: 0.8rem; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); }
.card { padding: 0.9rem 1rem; border-radius: 10px; background: var(--card); }
.card b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; } .card span { color: var(--soft); }
table { width: 100%; border-collapse: collapse; } th { color: var(--soft); font-weight: 500; text-align: left; }
th, td { padding: 0.45rem 0.6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td small { color: var(--soft); } details { margin-top: 0.3rem; color: var(--soft); } summary { cursor: pointer; }
blockquote { margin: 0.35rem 0; padding-left: 0.7rem; border-left: 3px solid var(--line); overflow-wrap: anywhere; }
.legend { display: flex; gap: 1.2rem; margin: 0 0 0.6rem; color: var(--soft); }
.legend i { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.4em; border-radius: 3px; }
.warning { margin: 0.5rem 0; padding: 0.7rem 1rem; border-radius: 10px; color: var(--warn);
  background: var(--warn-paper); }
.scroll { max-height: 34rem; overflow-y: auto; } svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; } svg text.label { fill: var(--ink); }
"""


def render_page(report: Mapping[str, Any]) -> str:
    """The page for a report of ``quality.quality_report``."""
    sections = [
        _head(report),
        *(f'<p class="warning">{escape(warning)}</p>' for warning in report["warnings"]),
        "<h2>What was removed</h2>",
        _steps(report["steps"]),
    ]
    if report["labels"]:
        sections += ["<h2>Labels in each part</h2>", _legend(), _balance(report["labels"], report["balance"])]
    if any(sum(counts) for counts in report["histogram"]["counts"].values()):
        sections += ["<h2>Length of the texts</h2>", _legend(), _lengths(report["histogram"])]
        sections.append(_length_table(report["lengths"]))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Data quality</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def _head(report: Mapping[str, Any]) -> str:
    rows, columns = report["rows"], report["columns"]
    source = sum(rows["source"].values())
    cards = [("rows in the source", source), ("removed", rows["removed"]), ("labels", len(report["labels"]))]
    cards += [(f"in {part}", count) for part, count in rows["prepared"].items()]
    given = set(rows["source"]) != {"data"}
    named = ", ".join(f"{role} from column “{column}”" for role, column in columns.items())
    how = "parts as given" if given else f"cut by content with seed {report['split']['seed']}"
    return (
        f'<h1>Data quality</h1>\n<p class="lead">{escape(report["task"])}: {escape(named)}; {how}</p>\n'
        '<div class="cards">'
        + "".join(f'<div class="card"><b>{count:,}</b><span>{escape(what)}</span></div>' for what, count in cards)
        + "</div>"
    )


def _steps(steps: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(step['name'])}<br><small>{escape(step['says'])}</small>{_examples(step['examples'])}</td>"
        f'<td class="number">{step["changed"]:,}</td><td class="number">{step["removed"]:,}</td>'
        f'<td class="number">{step["after"]:,}</td></tr>'
        for step in steps
    )
    return (
        '<table><thead><tr><th>step</th><th class="number">changed</th><th class="number">removed</th>'
        f'<th class="number">left</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _examples(examples: Sequence[Mapping[str, Any]]) -> str:
    if not examples:
        return ""
    quotes = "".join(
        f"<blockquote>{escape(str(example['part']))}, row {example['row']}: {_values(example)}</blockquote>"
        for example in examples
    )
    return f"<details><summary>examples</summary>{quotes}</details>"


def _values(example: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in example.items() if name not in ("part", "row", "of", "similarity")}
    return ", ".join(f"<b>{escape(name)}</b> {escape(str(value))}" for name, value in shown.items())


def _legend() -> str:
    entries = (f'<span><i style="background:{colour}"></i>{part}</span>' for part, colour in _COLOURS.items())
    return f'<div class="legend">{"".join(entries)}</div>'


def _balance(labels: Sequence[str], balance: Mapping[str, Mapping[str, int]]) -> str:
    totals = {label: sum(counts[label] for counts in balance.values()) for label in labels}
    ordered = sorted(labels, key=lambda label: (-totals[label], label))[:_SHOWN_LABELS]
    line, left, width = 24, 230, 560
    most = max(totals.values())
    bars = []
    for index, label in enumerate(ordered):
        top, x = index * line, float(left)
        name = label if len(label) <= 32 else label[:31] + "…"
        bars.append(f'<text class="label" x="{left - 10}" y="{top + 16}" text-anchor="end">{escape(name)}</text>')
        for part, colour in _COLOURS.items():
            count = balance[part][label]
            length = width * count / most
            bars.append(_bar(x, top + 4, length, 16, colour, f"{label}, {part}: {count:,}"))
            x += length
        bars.append(f'<text x="{x + 8:.1f}" y="{top + 16}">{totals[label]:,}</text>')
    more = f"<p>{len(labels) - len(ordered)} more labels are in report.json.</p>" if len(labels) > len(ordered) else ""
    return f'<div class="scroll">{_svg(900, len(ordered) * line, bars, "Rows of each label, by part")}</div>{more}'


def _lengths(histogram: Mapping[str, Any]) -> str:
    edges, counts = histogram["edges"], histogram["counts"]
    stacked = [sum(counts[part][index] for part in counts) for index in range(len(edges))]
    height, step, most = 220, 900 / len(edges), max(stacked)
    bars = []
    for index, edge in enumerate(edges):
        y = float(height)
        low = edges[index - 1] + 1 if index else 0
        for part, colour in _COLOURS.items():
            count = counts[part][index]
            tall = (height - 10) * count / most
            y -= tall
            bars.append(
                _bar(index * step + 1.5, y, step - 3, tall, colour, f"{low} to {edge} characters, {part}: {count:,}")
            )
        if index % 4 == 0 or index == len(edges) - 1:
            shown = f"{low}+" if index == len(edges) - 1 else f"{low}"
            bars.append(f'<text x="{(index + 0.5) * step:.1f}" y="{height + 18}" text-anchor="middle">{shown}</text>')
    return _svg(900, height + 26, bars, "Texts by their length in characters")


def _length_table(lengths: Mapping[str, Mapping[str, float]]) -> str:
    columns = ("min", "median", "mean", "p95", "max")
    head = "".join(f'<th class="number">{column}</th>' for column in columns)
    rows = "".join(
        f"<tr><td>{escape(part)}</td>" + "".join(f'<td class="number">{figures[c]:,}</td>' for c in columns) + "</tr>"
        for part, figures in lengths.items()
    )
    return f"<table><thead><tr><th>characters</th>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _bar(x: float, y: float, width: float, height: float, colour: str, title: str) -> str:
    if width <= 0 or height <= 0:
        return ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" fill="{colour}">'
        f"<title>{escape(title)}</title></rect>"
    )


def _svg(width: int, height: int, shapes: Sequence[str], says: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(says)}">{"".join(shapes)}</svg>'
