"""Writes the cells of one sheet to standard output, a JSON list for each row: a program of its own.

A sheet may claim a cell at its far corner, for which the library that reads workbooks allocates everything before,
and memory that cannot be had ends the process. So it is this process that ends, within bounds of memory and time.
Imports nothing of the project, so that it starts quickly.

Usage: ``workbook_program.py PATH [SHEET]``. The first line is ``{"sheet": name, "row": r, "column": c}``, the place of
the first cell, from 0. Dates are ``["date", "2024-02-29"]``, and so on for datetime, time and seconds. Merged cells all
have the value of the merged one; an error (#N/A, #DIV/0!) is an empty cell. Exit status 2 has a
reason on standard error.
"""

from __future__ import annotations

import datetime
import json
import resource
import sys
from typing import Any

MEMORY = 4 << 30
SECONDS = 600
OUTPUT = 16 << 30


def main(path: str, wanted: str | None) -> int:
    """Write the sheet ``wanted``, or the first visible one that has rows."""
    import python_calamine as calamine

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT, OUTPUT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with calamine.CalamineWorkbook.from_path(path) as workbook:
            sheet = _sheet(calamine, workbook, wanted)
            if isinstance(sheet, str):
                return _refuse(sheet)
            _write(sheet)
    except calamine.PasswordError:
        return _refuse("it is protected by a password; save it without one")
    except (calamine.CalamineError, OSError, ValueError, OverflowError) as error:
        return _refuse(f"it is damaged: {error}; open it and save it again")
    return 0


def _sheet(calamine: Any, workbook: Any, wanted: str | None) -> Any:
    if wanted is not None:
        if wanted not in workbook.sheet_names:
            return f"it has no sheet {wanted!r} (data.sheet); its sheets are {', '.join(workbook.sheet_names)}"
        return workbook.get_sheet_by_name(wanted)
    for metadata in workbook.sheets_metadata:
        readable = metadata.typ == calamine.SheetTypeEnum.WorkSheet
        if readable and metadata.visible == calamine.SheetVisibleEnum.Visible:
            sheet = workbook.get_sheet_by_name(metadata.name)
            if sheet.start is not None:
                return sheet
    return "no sheet of it has a cell with a value; name a hidden one with data.sheet"


def _write(sheet: Any) -> None:
    top, left = sheet.start or (0, 0)
    merged: dict[int, list[tuple[int, int, object]]] = {}
    rows = sheet.to_python(skip_empty_area=True)
    for (first, begin), (last, end) in sheet.merged_cell_ranges or ():
        if 0 <= first - top < len(rows) and 0 <= begin - left < len(rows[0]):
            value = rows[first - top][begin - left]
            for row in range(first - top, min(last - top + 1, len(rows))):
                merged.setdefault(row, []).append((begin - left, min(end - left + 1, len(rows[0])), value))
    write = sys.stdout.write
    write(json.dumps({"sheet": sheet.name, "row": top, "column": left}) + "\n")
    for number, row in enumerate(rows):
        for begin, end, value in merged.get(number, ()):
            row[begin:end] = [value] * (end - begin)
        write(json.dumps(row, default=_tagged, ensure_ascii=False, separators=(",", ":")) + "\n")


def _tagged(value: object) -> list[object]:
    if isinstance(value, datetime.datetime):
        return ["datetime", value.isoformat()]
    if isinstance(value, datetime.date):
        return ["date", value.isoformat()]
    if isinstance(value, datetime.timedelta):
        return ["seconds", value.total_seconds()]
    return ["time", str(value)]


def _refuse(reason: str) -> int:
    sys.stderr.write(reason)
    return 2


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
