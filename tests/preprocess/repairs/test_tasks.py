"""Which tasks have repairs, and that they can be sent to another machine."""

from __future__ import annotations

import pickle

import pytest

from services.preprocess.repairs import repairs_for
from tidemill.datasets import Column

ROLES = {
    "object-detection": {"image": "image", "objects": "objects"},
    "question-answering": {"question": "question", "context": "context", "answers": "answers"},
    "translation": {"source": "en", "target": "zh"},
}


@pytest.mark.parametrize("task", ["text-classification", "tabular-regression", "image-classification"])
def test_other_tasks_have_none(task: str) -> None:
    assert repairs_for(task, {"label": "label"}) == []


@pytest.mark.parametrize("task", ROLES)
def test_steps_and_their_expressions_can_be_sent_to_a_cluster(task: str) -> None:
    names = [*ROLES[task].values(), "width", "height"]
    columns = {name: Column(name=name, kind="text") for name in names}
    for step in repairs_for(task, ROLES[task]):
        assert step.name
        assert step.says
        change = pickle.loads(pickle.dumps(step)).change(columns)
        sent = [*change.columns.values(), *change.counts.values()]
        sent += [] if change.remove is None else [change.remove]
        assert sent
        for expression in sent:
            assert str(pickle.loads(pickle.dumps(expression))) == str(expression)


@pytest.mark.parametrize("task", ROLES)
def test_nothing_is_changed_where_the_columns_are_absent(task: str) -> None:
    for step in repairs_for(task, ROLES[task]):
        change = step.change({})
        assert not change.columns
        assert change.remove is None
