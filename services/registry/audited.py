"""What a command is about, in a word for the audit log. Pure."""

from __future__ import annotations

from tidemill.contracts import Command

_NAMED = {"run_id": "run", "letter": "dead-letter", "key_id": "key", "erasure": "erasure"}


def subject_of(command: Command) -> str:
    """``run:<id>``, ``model:<name>:<version>``, ``dataset:<name>``, ``project:<name>``; never a person's data.

    The fields that name a thing tell, so that the log knows what a command that is new is about.
    """
    fields = command.model_dump(include={*_NAMED, "name", "version"}, exclude_none=True)
    for field, what in _NAMED.items():
        if field in fields:
            return f"{what}:{fields[field]}"
    if "name" not in fields:
        return f"project:{command.project}"
    what = "dataset" if command.command == "delete-dataset" else "model"
    return ":".join([what, fields["name"], *([str(fields["version"])] if "version" in fields else [])])
