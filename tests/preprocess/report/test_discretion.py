"""What a report shows of a dataset as it came in: what is protected is masked, or not there."""

from __future__ import annotations

from services.preprocess.report.discretion import Discretion
from tidemill.contracts.privacy import Privacy
from tidemill.datasets.drift import drift
from tidemill.datasets.histogram import HistogramBuilder
from tidemill.datasets.intake import BadRowExample, BadRowFigures, BadRowKind, IntakeReport
from tidemill.datasets.profile import ColumnFigures, DatasetProfile, PartFigures

MAIL = ColumnFigures(
    name="mail", kind="category", rows=6, distinct=3, values={"a@firm.org": 3, "b@firm.org": 2, "nobody": 1}
)
LABEL = ColumnFigures(name="label", kind="category", rows=6, distinct=2, values={"+49 30 901820": 4, "no": 2})
AGE = ColumnFigures(
    name="age", kind="integer", rows=6, distinct=1, values={"31": 6}, numbers=HistogramBuilder().histogram()
)
PROFILE = DatasetProfile(
    rows=6,
    columns=[MAIL, LABEL, AGE],
    label_counts={"no": 2, "+49 30 901820": 4},
    parts={"data": PartFigures(rows=6, label_counts={"no": 2, "+49 30 901820": 4})},
)
BAD = BadRowKind(
    reason="column … is no number",
    rows=1,
    examples=[
        BadRowExample(file="a.csv", row=3, reason="column 'age': 'a@firm.org' is no number", content="a@firm.org")
    ],
)


def intake() -> IntakeReport:
    earlier = PROFILE.model_copy(
        update={"columns": [MAIL.model_copy(update={"values": {"c@firm.org": 6}, "distinct": 1}), LABEL, AGE]}
    )
    return IntakeReport(
        task="tabular-classification", rows=6, parts={"data": 6}, files=[], drift=drift(earlier, PROFILE),
        bad_rows=BadRowFigures(policy="drop", rows=1, kinds=[BAD]),
    )  # fmt: skip


def test_nothing_is_changed_where_nothing_is_protected() -> None:
    plain = Discretion(Privacy(), "label")
    assert plain.profile(PROFILE) == PROFILE
    assert plain.intake(intake()) == intake()


def test_what_is_found_in_frequent_values_is_masked_but_in_the_label() -> None:
    mail, label, age = Discretion(Privacy(detect=["email"]), "label").profile(PROFILE).columns
    assert mail.values == {"<EMAIL>": 5, "nobody": 1}
    assert (mail.rows, mail.distinct) == (6, 3)
    assert (label, age) == (LABEL, AGE)


def test_a_column_that_is_treated_as_a_whole_shows_no_value() -> None:
    shown = Discretion(Privacy(columns={"age": "mask", "label": "mask"}), "label").profile(PROFILE)
    assert [column.values for column in shown.columns] == [MAIL.values, {}, {}]
    assert shown.columns[2].numbers is None
    assert (shown.label_counts, shown.parts["data"].label_counts) == ({}, {})


def test_drift_and_bad_rows_show_no_value() -> None:
    shown = Discretion(Privacy(detect="structural"), "label").intake(intake())
    assert shown.drift is not None
    assert shown.drift.columns[0].new_values == ["<EMAIL>", "nobody"]
    assert shown.drift.columns[0].vanished_values == ["<EMAIL>"]
    (kind,) = shown.bad_rows.kinds
    assert (kind.rows, kind.examples[0].row) == (1, 3)
    assert "firm.org" not in shown.model_dump_json()
    hidden = Discretion(Privacy(columns={"mail": "hash"}, key="env:KEY"), "label").intake(intake())
    assert hidden.drift is not None
    assert hidden.drift.columns[0].new_values == []
