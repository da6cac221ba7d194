"""A recipe as people send it: YAML, of which JSON is a part. Knows nothing of what a recipe says."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tidemill.errors import InvalidInput


def parse(text: str) -> dict[str, Any] | None:
    """The document in ``text``; None when it is empty.

    Raises:
        InvalidInput: not YAML, not a mapping, or it holds what JSON cannot (a date, a set).
    """
    try:
        document = yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader
        json.dumps(document)
    except yaml.YAMLError as error:
        raise InvalidInput(f"the recipe is not valid YAML: {' '.join(str(error).split())}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"the recipe holds something that is not JSON: {error}") from None
    if document is None:
        return None
    if not isinstance(document, dict):
        raise InvalidInput("the recipe must be a mapping of sections, e.g. 'training: {epochs: 2}'")
    return document


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few hundred bytes of them can stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose what comes next.

        Raises:
            YAMLError: it is an alias.
        """
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases are not taken; write the value out")
        return super().compose_node(parent, index)
