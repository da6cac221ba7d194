"""``tidemill keys`` against a real gateway and a real registry, as a person on this machine uses it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

from tests.access.conftest import Bench, bench, gateway  # noqa: F401 - the fixture


async def tidemill(url: str, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """Status, what it printed, and what it said beside it."""
    environment = {**os.environ, "TIDEMILL_URL": url, "PYTHONUTF8": "1", **variables}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tidemill.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


async def test_keys_on_a_laptop_from_issue_to_end(bench: Bench, tmp_path: Any) -> None:  # noqa: F811
    """Nobody needs a key here; whoever sends one is who it says."""
    async with gateway(bench.settings(tmp_path, api_key=None)) as http:
        url = str(http.base_url).rstrip("/")
        code, key, beside = await tidemill(
            url, "--project", "ours", "keys", "create", "CI 张伟", "-s", "publish", "-s", "read", "--rate", "10/s",
            "--expires", "90d",
        )  # fmt: skip
        assert (code, "may read, publish" in beside) == (0, True), beside
        key = key.strip()
        assert key.startswith("tm_")
        key_id = key.split("_")[1]
        code, listed, _ = await tidemill(url, "keys", "list", TIDEMILL_PROJECT="ours")
        assert code == 0
        assert key_id in listed
        assert "by local" in listed
        assert key not in listed
        code, shown, _ = await tidemill(url, "models", "list", "--json", TIDEMILL_API_KEY=key)
        assert [one["name"] for one in json.loads(shown)] == ["model-ours"]
        code, _, said = await tidemill(url, "models", "delete", "model-ours", "--yes", TIDEMILL_API_KEY=key)
        assert (code, "this needs admin" in said) == (1, True)
        code, printed, _ = await tidemill(url, "--project", "ours", "keys", "rotate", key_id, "--grace", "1h", "--json")
        assert (code, json.loads(printed)["replaces"]) == (0, key_id)
        code, _, said = await tidemill(url, "keys", "revoke", key_id, "--yes")
        assert (code, "there is no key" in said) == (1, True), "it is another project's"
        code, printed, _ = await tidemill(url, "--project", "ours", "keys", "revoke", key_id, "--yes")
        assert (code, "is revoked" in printed) == (0, True)
        code, _, said = await tidemill(url, "models", "list", TIDEMILL_API_KEY=key)
        assert (code, "it was revoked" in said, "Traceback" in said) == (1, True, False)
        for wrong, status in (
            (["create", "x", "-s", "root"], 2),
            (["create", "x"], 2),
            (["create", "x", "-s", "read", "--rate", "often"], 1),
            (["create", "x", "-s", "read", "--expires", "never"], 1),
            (["rotate", "unknown"], 1),
            (["revoke", "unknown"], 2),
        ):
            code, _, said = await tidemill(url, "keys", *wrong)
            assert (code, "Traceback" in said) == (status, False), (wrong, said)
