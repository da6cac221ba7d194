"""`make audit`: what was not looked at is never called clean, and a bill holds what its image installs and no more."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from deploy.audit.bill import IMAGES, closure, part_of
from deploy.audit.vulnerabilities import judged

ROOT = Path(__file__).parents[2]


def dependency(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "version": "1", **more}


def test_packages_that_the_service_does_not_know_are_not_clean() -> None:
    """As pip-audit reports, with exit status 0, from behind a mirror that has no vulnerability data."""
    report = {"dependencies": [dependency(f"p{n}", skip_reason="not found on PyPI") for n in range(7)]}
    verdict = judged(report, "pypi")
    assert verdict.state == "unknown"
    assert verdict.lines[0].startswith("7 of 7 packages were not looked at")
    assert verdict.lines[0].endswith("p0, p1, p2, p3, p4 and 2 more")


def test_what_was_found_is_named_beside_what_was_not_looked_at() -> None:
    report = {
        "dependencies": [
            dependency("bad", vulns=[{"id": "PYSEC-1"}, {"id": "GHSA-2"}]), dependency("good", vulns=[]),
            dependency("hidden", skip_reason="?"),
        ]
    }  # fmt: skip
    verdict = judged(report, "osv")
    assert (verdict.state, verdict.lines[0]) == ("found", "bad 1: PYSEC-1, GHSA-2")
    assert "1 of 3 packages were not looked at" in verdict.lines[1]
    assert judged({"dependencies": [dependency("good", vulns=[])]}, "osv").state == "clean"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def test_an_image_s_bill_follows_its_extra(project: dict[str, Any]) -> None:
    bills = {image: closure(project, extras)[0] for image, extras in IMAGES.items()}
    for image in IMAGES.keys() - {"trainer", "compressor", "all"}:
        assert "torch" not in bills[image], image
        assert {"cryptography", "cffi", "nats-py", "obstore"} <= bills[image]
    assert "torch" in bills["trainer"] & bills["compressor"]
    assert "starlette" in bills["inference"]
    assert "starlette" not in bills["registry"]
    on_one_machine = [bill for image, bill in bills.items() if image != "preprocess-ray"]
    assert bills["all"] == set().union(*on_one_machine)
    assert not any("pytest" in bill or "tidemill" in bill for bill in bills.values())


def test_a_part_of_a_bill_refers_to_nothing_outside_it() -> None:
    environment = {
        "bomFormat": "CycloneDX",
        "metadata": {"component": {"name": "tidemill", "bom-ref": "root"}},
        "components": [{"name": name, "bom-ref": f"{name}==1"} for name in ("Foo_Bar", "torch", "cffi")],
        "dependencies": [
            {"ref": "root", "dependsOn": ["Foo_Bar==1", "torch==1"]},
            {"ref": "Foo_Bar==1", "dependsOn": ["cffi==1", "torch==1"]},
            {"ref": "cffi==1"}, {"ref": "torch==1"},
        ],
    }  # fmt: skip
    bill = part_of(environment, {"foo-bar", "cffi"}, "registry")
    assert [one["bom-ref"] for one in bill["components"]] == ["Foo_Bar==1", "cffi==1"]
    assert bill["dependencies"] == [
        {"ref": "root", "dependsOn": ["Foo_Bar==1", "cffi==1"]}, {"ref": "Foo_Bar==1", "dependsOn": ["cffi==1"]},
        {"ref": "cffi==1", "dependsOn": []},
    ]  # fmt: skip
    assert bill["metadata"]["component"]["name"] == "tidemill-registry"
    assert bill["serialNumber"] == part_of(environment, {"foo-bar", "cffi"}, "registry")["serialNumber"]
