"""What the data of a task needs before it can be learned from, whatever the recipe says: row steps by task.

Each repairs or removes what is certainly wrong, and counts it. Knows columns by their roles, no files and no reports.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.preprocess.change import RowStep
from services.preprocess.repairs.answers import answer_steps
from services.preprocess.repairs.boxes import box_steps
from services.preprocess.repairs.pairs import pair_steps


def repairs_for(task: str, roles: Mapping[str, str]) -> list[RowStep]:
    """The repairs of ``task``'s data, in their order; ``roles`` gives its columns as ``DatasetSchema.roles`` does.

    None for tasks whose data is whole once it could be read: texts with a label, tables, images, recordings.
    """
    if task == "object-detection":
        return box_steps(roles["objects"])
    if task == "question-answering":
        return answer_steps(roles["question"], roles["context"], roles["answers"])
    if task == "translation":
        return pair_steps(roles["source"], roles["target"])
    return []
