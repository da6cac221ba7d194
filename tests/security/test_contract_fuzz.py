"""The gateway against its own OpenAPI document: whoever asks, whatever they send, it answers as the document says.

Some hundred requests in `make test`; ten thousand with ``-m full`` (`make fuzz` counts them).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

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
OF_SCHEMA = [response_schema_conformance]
NEVER_TOLD = ("Traceback (most recent call last)", 'File "', "site-packages", str(REPOSITORY))


@pytest.fixture(scope="module")
async def callers(http: httpx.AsyncClient) -> list[Caller]:
    """The operator, a key of each scope, and nobody: Hypothesis takes the first most often, who may do the most."""
    keys = [
        Caller(scope, (await issue(http, "ours", scopes=[scope]))["key"], (scope,))
        for scope in sorted(SCOPES, key=lambda scope: scope != "admin")
    ]
    return [Caller("operator", OPERATOR, is_operator=True), *keys, Caller("nobody")]


def judge(
    operation: Operation, described: APIOperation, caller: Caller, case: Case, answer: Response, never: Sequence[str]
) -> None:
    """Whether the answer is one that the document allows, and tells nothing that it must not."""
    status = answer.status_code
    forced = caller.refused_with(operation)
    documented = {int(one) for one in described.definition.raw["responses"]}
    allowed = {forced} if forced is not None else documented
    if not operation.route().path_regex.match(unquote(urlsplit(str(answer.request.url)).path)):
        allowed = allowed | documented | {404, 405}  # another operation's address, or no one's
    assert status in allowed, answer.text
    assert status < 500 or status in documented, answer.text
    if status in documented:
        # Schemathesis takes the schema of a stream for that of each message, where OpenAPI 3.1 means all of it.
        is_stream = answer.headers["content-type"][0].startswith("text/event-stream")
        case.validate_response(answer, checks=[one for one in CHECKS if not (is_stream and one in OF_SCHEMA)])
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


def labelled(one: Any) -> str:
    return str(one.value if isinstance(one, GenerationMode) else one[1].label)


def amount() -> Any:
    endless = [pair for pair, _ in WAYS if any(pair[1].iter_parameters()) or pair[1].body]
    each = -(-tally.REQUESTS // len(endless))  # what takes nothing has a case for each caller and no more
    return pytest.mark.parametrize("most", [3, pytest.param(each, marks=pytest.mark.full)])


WAYS = [
    (pair, mode)
    for pair in DECLARED
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or any(pair[1].iter_parameters()) or pair[1].body
]
"""What takes neither parameters nor a body cannot be asked wrongly."""


@amount()
@pytest.mark.parametrize(("pair", "mode"), WAYS, ids=labelled)
async def test_every_answer_is_as_documented(
    bench: Bench, http: httpx.AsyncClient, callers: list[Caller], pair: Any, mode: GenerationMode, most: int
) -> None:
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
