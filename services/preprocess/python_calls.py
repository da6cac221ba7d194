"""Columns by expressions that may call Python, each seeing the columns as they were.

Daft 0.7.26 takes what calls Python out of a projection and computes the rest first: when the rest writes a column that
the call reads, the call sees the new values, also those of a later projection. So calls get a projection of their own
here, which ``into_batches`` keeps apart from what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daft import DataFrame, DataType, Expression, col
from daft.expressions import ExpressionVisitor

_BATCH = 1 << 16


def with_columns(frame: DataFrame, columns: Mapping[str, Expression]) -> DataFrame:
    """``frame`` with ``columns``, whose expressions all see ``frame`` as it is."""
    calls = {name: expression for name, expression in columns.items() if _calls_python(expression)}
    if not calls:
        return frame.with_columns(dict(columns))
    names = {name: f"__called_{place}" for place, name in enumerate(calls)}
    called = frame.with_columns({names[name]: call for name, call in calls.items()}).into_batches(_BATCH)
    rest = {name: expression for name, expression in columns.items() if name not in calls}
    return called.with_columns(rest | {name: col(names[name]) for name in calls}).exclude(*names.values())


def _calls_python(expression: Expression) -> bool:
    try:
        return _Calls().visit(expression)
    except ValueError:  # a kind of expression that cannot be visited: being careful costs little
        return True


class _Calls(ExpressionVisitor[bool]):
    """True of an expression with a Python function somewhere in it: its name has the module's before it.

    An expression that Daft shows no visitor (a field of a struct, say) may have one.
    """

    def visit(self, expr: Expression) -> bool:
        try:
            return super().visit(expr)
        except ValueError:
            return True

    def visit_col(self, name: str) -> bool:
        return False

    def visit_lit(self, value: Any) -> bool:
        return False

    def visit_alias(self, expr: Expression, alias: str) -> bool:
        return self.visit(expr)

    def visit_cast(self, expr: Expression, dtype: DataType) -> bool:
        return self.visit(expr)

    def visit_coalesce(self, args: list[Expression]) -> bool:
        return any(self.visit(one) for one in args)

    def visit_function(self, name: str, args: list[Expression]) -> bool:
        return "." in name or any(self.visit(one) for one in args if isinstance(one, Expression))
