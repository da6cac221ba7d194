"""``tidemill trace``: one run's trace as a waterfall, from the span files beside the platform's data."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from tidemill.cli.screen import DataDirOption, JsonOption, print_document, screen

_TRACE_ID = re.compile(r"^[0-9a-f]{32}$")


def trace(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or a trace's 32 hexadecimal digits.")],
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Where the time of a run went: every hop and child process, from publish to the first prediction."""
    from tidemill.client import connect
    from tidemill.errors import NotFound
    from tidemill.platform.data_dir import DataDir
    from tidemill.telemetry.waterfall import read_trace, render

    data = DataDir.find(data_dir)
    trace_id = run if _TRACE_ID.match(run) else None
    if trace_id is None:
        with connect(None, data_dir) as platform:
            trace_id = platform.run(run).show().trace_id
    if trace_id is None:
        raise NotFound(f"run {run} has no trace")
    rows = read_trace(data.root, trace_id)
    if not rows:
        raise NotFound(
            f"no span of trace {trace_id} is in {data.root}; "
            "with OTEL_EXPORTER_OTLP_ENDPOINT set, spans are in the collector"
        )
    if as_json:
        print_document({"trace_id": trace_id, "spans": [{"depth": row.depth, **row.span.to_json()} for row in rows]})
        return
    console = screen()
    console.print(f"[dim]trace {trace_id}[/dim]")
    console.print(render(rows, width=console.width))
