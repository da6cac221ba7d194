"""Requests that schemathesis makes up from the gateway's own OpenAPI document: as it describes them, and otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode

from services.inference.openapi import OPERATIONS, document
from services.inference.web.operations import Operation
from tests.access.conftest import Bench
from tidemill.contracts import Scope

_PLACE = re.compile(r"\{(\w+):\w+\}")
_METHODS = ("GET", "POST", "DELETE")
"""Reading first: what is deleted cannot be asked about."""


@dataclass(frozen=True)
class Caller:
    """Somebody who asks: without ``key``, with one of some scopes, or the operator (``key`` and no ``scopes``)."""

    name: str
    key: str = field(default="", repr=False)
    scopes: tuple[Scope, ...] = ()
    is_operator: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """What is sent with a request."""
        sent = {"Authorization": f"Bearer {self.key}".encode().decode("latin-1")} if self.key else {}
        return sent | ({"Tidemill-Project": "ours"} if self.is_operator else {})

    def refused_with(self, operation: Operation) -> int | None:
        """The status that this caller has to get of ``operation`` whatever they send, if there is one."""
        if operation.is_public or self.is_operator:
            return None
        if not self.key:
            return 401
        if operation.of_platform:
            return 403
        return None if "admin" in self.scopes or set(self.scopes) & set(operation.scopes) else 403


def declared() -> list[tuple[Operation, APIOperation]]:
    """Every operation as the gateway declares it and as schemathesis reads it from the document.

    Without credentials: those are the caller's.
    """
    described = document()
    for path in described["paths"].values():
        for one in path.values():
            one.pop("security")
    del described["components"]["securitySchemes"]
    read = {found.ok().label: found.ok() for found in schemathesis.openapi.from_dict(described).get_all_operations()}
    pairs = [(one, read[one.method + " " + _PLACE.sub(r"{\1}", one.path)]) for one in OPERATIONS]
    assert len(pairs) == len(read)
    return sorted(pairs, key=lambda pair: _METHODS.index(pair[0].method))


def cases(operation: APIOperation, mode: GenerationMode, bench: Bench) -> st.SearchStrategy[Case]:
    """Requests of one operation; half of those that are as described are about things that there are."""
    made = operation.as_strategy(generation_mode=mode)
    if mode is GenerationMode.NEGATIVE or "{" not in operation.path:
        return made
    return st.builds(_about, made, st.one_of(st.just({}), _known(operation.path, bench)))


def _about(case: Case, named: Mapping[str, Any]) -> Case:
    case.path_parameters = {**(case.path_parameters or {}), **named}
    return case


def _known(path: str, bench: Bench) -> st.SearchStrategy[dict[str, Any]]:
    """Names of things of the caller's project, and of the other one."""
    name = "dataset" if path.startswith("/v1/datasets") else "model"
    about: dict[str, st.SearchStrategy[Any]] = {
        "run_id": st.sampled_from([bench.mine.run_id, bench.theirs.run_id]),
        "name": st.sampled_from([getattr(bench.mine, name), getattr(bench.theirs, name)]),
        "id": st.sampled_from([bench.mine.letter, bench.theirs.letter]),
        "version": st.sampled_from([1, 2]),
        "what": st.sampled_from(["dataset", "ingested", "quarantine", "report", "vault"]),
        "path": st.sampled_from(["rows.txt", "report.html", "../manifest.json", "/etc/passwd", "a/../rows.txt"]),
    }
    places = re.findall(r"\{(\w+)\}", path)
    return st.fixed_dictionaries({place: about[place] for place in places if place in about})
