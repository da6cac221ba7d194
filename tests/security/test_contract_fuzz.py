"""The gateway against its own OpenAPI document: whoever asks, whatever they send, it answers as the document says.

Some hundred requests in `make test`; ten thousand with ``-m full`` (`make fuzz` counts them).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode, Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)

from services.inference.openapi import OPERATIONS
from services.inference.web.operations import Operation
from tests import tally
from tests.access.conftest import OPERATOR, Bench, bearer
from tests.access.test_keys import issue
from tests.conftest import REPOSITORY
from tests.security.contract_cases import Caller, cases, declared
from tidemill.contracts import SCOPES

DECLARED = declared()
PROBLEM = "application/problem+json"
CHECKS: list[Any] = [content_type_conformance, response_headers_conformance, response_schema_conformance]
NEVER_TOLD = ("Traceback (most recent call last)", 'File "', "site-packages", str(REPOSITORY))


@pytest.fixture(scope="module")
async def callers(http: httpx.AsyncClient) -> list[Caller]:
    """Nobody, the operator, and a key of each scope."""
    made = [Caller("nobody"), Caller("operator", OPERATOR, is_operator=True)]
    for scope in SCOPES:
        made.append(Caller(scope, (await issue(http, "ours", scopes=[scope]))["key"], (scope,)))
    return made


def judge(
    operation: Operation, described: APIOperation, caller: Caller, case: Case, answer: Response, never: Sequence[str]
) -> None:
    """Whether the answer is one that the document allows, and tells nothing that it must not."""
    status = answer.status_code
    forced = caller.refused_with(operation)
    documented = {int(one) for one in described.definition.raw["responses"]}
    as_described = case.meta is None or case.meta.generation.mode is GenerationMode.POSITIVE
    # A name that cannot be one may lead to another operation, or to none.
    allowed = {forced} if forced is not None else documented
    assert status in (allowed if as_described else allowed | {404, 405}), answer.text
    assert status < 500 or status in documented, answer.text
    if status in documented:
        case.validate_response(answer, checks=CHECKS)
    if status >= 400:
        assert answer.headers["content-type"] == [PROBLEM] or status == 503
    told = answer.content.decode("utf-8", "replace") + str(answer.headers)
    for secret in never:
        assert secret not in told


def fuzz(
    pair: tuple[Operation, APIOperation], mode: GenerationMode, bench: Bench, url: str, callers: list[Caller], most: int
) -> None:
    operation, described = pair
    never = [*NEVER_TOLD, str(bench.folder), *(one.key for one in callers if one.key)]

    @settings(
        max_examples=most, deadline=None, derandomize=most < 100, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(cases(described, mode, bench), st.sampled_from(callers))
    def holds(case: Case, caller: Caller) -> None:
        answer = case.call(base_url=url, headers=caller.headers, timeout=20)
        tally.count(described.label, str(answer.status_code))
        judge(operation, described, caller, case, answer, never)

    holds()


def amount() -> Any:
    each = max(tally.REQUESTS // (2 * len(OPERATIONS)), 100)
    return pytest.mark.parametrize("most", [6, pytest.param(each, marks=pytest.mark.full)])


@amount()
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("pair", DECLARED, ids=lambda pair: pair[1].label)
async def test_every_answer_is_as_documented(
    bench: Bench, http: httpx.AsyncClient, callers: list[Caller], pair: Any, mode: GenerationMode, most: int
) -> None:
    if mode is GenerationMode.NEGATIVE and not any(pair[1].iter_parameters()) and not pair[1].body:
        pytest.skip("there is nothing in it that could be wrong")
    await asyncio.to_thread(fuzz, pair, mode, bench, str(http.base_url).rstrip("/"), callers, most)


PATHS = sorted({one.path for one in OPERATIONS})


@pytest.mark.parametrize("path", PATHS)
async def test_a_method_that_is_not_declared_is_refused_with_those_that_are(http: httpx.AsyncClient, path: str) -> None:
    taken = {one.method for one in OPERATIONS if one.path == path}
    taken |= {"HEAD"} if "GET" in taken else set()
    sent = path.replace(":number}", "}").replace(":path}", "}").replace(":name}", "}").replace("{version}", "1")
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} - taken:
        answer = await http.request(method, sent.replace("{", "").replace("}", ""), headers=bearer(OPERATOR, "ours"))
        tally.count("methods that are not declared", str(answer.status_code))
        assert answer.status_code == 405, (method, answer.text)
        assert {one.strip() for one in answer.headers["allow"].split(",")} == taken
