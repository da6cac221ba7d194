"""Datasets whose cells, columns and labels are HTML and script: the pages that show them hold text alone."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from tests.access.conftest import OPERATOR, Bench, bearer
from tests.preprocess.report.test_making import ROWS, reported

HOSTILE = (
    "<script>alert(1)</script>",
    "</style></title><script src=//evil.example/x.js></script>",
    "<img src=x onerror=alert(1)>",
    "\"'><svg/onload=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<a href=javascript:alert(1)>x</a>",
    "--><!--<b>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "{{constructor.constructor('alert(1)')()}}",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
)


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def harmless(page: str) -> Elements:
    found = Elements(page)
    assert not found.tags & {"script", "iframe", "img", "object", "embed", "base", "form", "link", "video"}
    assert [name for name, _ in found.attributes if name.startswith("on") or name == "srcdoc"] == []
    values = [value or "" for name, value in found.attributes if name in ("href", "src", "xlink:href", "content")]
    assert not [value for value in values if "javascript:" in value or "evil" in value]
    return found


def test_a_data_report_of_a_hostile_dataset_is_text(tmp_path: Path) -> None:
    columns = {f"{name}{n}": [HOSTILE[row % len(HOSTILE)] for row in range(ROWS)] for n, name in enumerate(HOSTILE[:6])}
    table = pa.table(
        {
            "t": [f"{HOSTILE[n % len(HOSTILE)]} {n}" for n in range(ROWS)],
            "y": [HOSTILE[n % 2] for n in range(ROWS)],
            **columns,
        }
    )
    for task, roles in (
        ("text-classification", {"text": "t", "label": "y"}),
        ("tabular-classification", {"label": "y"}),
    ):
        (tmp_path / task).mkdir()
        _, page, _ = reported(tmp_path / task, table, roles, task)
        text = "".join(harmless(page).texts)
        assert HOSTILE[0] in text, "the page does not show what this test is about"


async def test_a_page_with_script_in_it_could_not_run_it(bench: Bench, http: httpx.AsyncClient) -> None:
    """Were a report's page hostile all the same (whoever writes the bucket writes it), no browser runs it."""
    for path in (f"/v1/runs/{bench.mine.run_id}/report", "/docs"):
        answer = await http.get(path, headers=bearer(OPERATOR, "ours"))
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
        assert "script-src" not in policy
        assert answer.headers["content-type"].startswith("text/html")
    harmless(answer.text)


async def test_files_are_given_out_as_bytes_that_no_browser_shows(bench: Bench, http: httpx.AsyncClient) -> None:
    path = f"/v1/runs/{bench.mine.run_id}/artifacts/report/report.html"
    answer = await http.get(path, headers=bearer(OPERATOR, "ours"))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_formulas_stay_what_they_were_and_go_out_in_no_file_that_a_spreadsheet_opens(ingest_files: Any) -> None:
    """A cell is data, not ours to change. What is given out of it is Parquet, JSON and HTML."""
    formulas = ["=HYPERLINK(A1)", "+1+1", "@SUM(A1)", "-2+3|cmd"]
    rows = "".join(f'"{one}",{"yes" if n % 2 else "no"}\n' for n, one in enumerate(formulas * 10))
    bad = 'one,"two",three,four\n'
    made = ingest_files({"a.csv": f"text,label\n{rows}{bad}".encode()}, {"on_bad_row": "quarantine"})
    assert {row["text"] for row in made.rows()} == set(formulas)
    given_out = {path.suffix for path in made.folder.rglob("*") if path.is_file()}
    assert made.quarantined
    assert given_out <= {".parquet", ".json", ".html"}
