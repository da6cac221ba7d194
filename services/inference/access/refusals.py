"""Why somebody is not let in: 401, 403, 429 and 503 problems that say what to do."""

from __future__ import annotations

from collections.abc import Collection

from services.inference.web.problems import HttpProblem

_CHALLENGE = "Bearer"


def missing_credentials() -> HttpProblem:
    """401: nothing was sent."""
    return HttpProblem(
        401,
        "unauthorized",
        "send an API key, a token, or the gateway's own key (its TIDEMILL_INFERENCE_API_KEY) as "
        "'Authorization: Bearer <key>'; the tidemill command and SDK take it from TIDEMILL_API_KEY",
        headers={"WWW-Authenticate": _CHALLENGE},
    )


def refused_credentials(why: str) -> HttpProblem:
    """401: what was sent is not taken."""
    return HttpProblem(
        401,
        "unauthorized",
        f"{why}; send a valid one as 'Authorization: Bearer <key>' (TIDEMILL_API_KEY for the tidemill command and SDK, "
        "the gateway's own is its TIDEMILL_INFERENCE_API_KEY)",
        headers={"WWW-Authenticate": f'{_CHALLENGE} error="invalid_token"'},
    )


def unknown_key() -> HttpProblem:
    """401: no such key, or its secret is another; which of the two is nobody's business."""
    return refused_credentials("the key is not known here")


def keys_not_heard_of() -> HttpProblem:
    """503: whether the key is good cannot be told yet."""
    return HttpProblem(
        503, "not-ready", "this gateway has not heard yet which API keys there are: NATS is away; try again in a moment"
    )


def insufficient_scope(actor: str, scopes: Collection[str], needed: Collection[str]) -> HttpProblem:
    """403: they are who they are, and may not do that."""
    has = ", ".join(sorted(scopes)) or "none"
    wanted = " or ".join(needed)
    return HttpProblem(
        403,
        "insufficient-scope",
        f"{actor} has the scopes {has}; this needs {wanted}: ask for a key with it "
        "(`tidemill keys create --scope …`, by somebody with admin)",
        headers={"WWW-Authenticate": f'{_CHALLENGE} error="insufficient_scope", scope="{" ".join(needed)}"'},
    )


def not_of_the_platform(actor: str, project: str) -> HttpProblem:
    """403: what was asked for is of all projects."""
    return HttpProblem(
        403,
        "one-project",
        f"this is about the whole platform, and {actor} is of project {project!r} alone; "
        "use the operator's key, or a token that is bound to no project",
    )


def foreign_project(actor: str, project: str) -> HttpProblem:
    """403: they named another project than theirs."""
    return HttpProblem(
        403,
        "foreign-project",
        f"{actor} is of project {project!r}; leave the header Tidemill-Project (--project, TIDEMILL_PROJECT) out",
    )


def too_often(actor: str, rate: str, seconds: int) -> HttpProblem:
    """429: they have used up their rate."""
    return HttpProblem(
        429,
        "rate-limited",
        f"{actor} may ask {rate}; try again in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )


def foreign_host(host: str) -> HttpProblem:
    """403: a name that is not this machine's, which a web page may have been given (DNS rebinding)."""
    return HttpProblem(
        403,
        "foreign-host",
        f"host {host!r} is not this machine's; without a key the gateway answers under "
        "localhost alone (set TIDEMILL_INFERENCE_API_KEY or TIDEMILL_INFERENCE_ALLOWED_HOSTS)",
    )


def foreign_origin(origin: str) -> HttpProblem:
    """403: a web page of somebody else's."""
    return HttpProblem(403, "foreign-origin", f"a web page of {origin} may not use a gateway without a key")
