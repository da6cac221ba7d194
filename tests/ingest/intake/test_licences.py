"""A licence that the recipe does not allow, or none, ends the run before anything is read."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingest.intake.licences import allowed, licence_files, normal
from services.ingest.stage import plan_ingest
from tidemill.contracts import ArtifactRef, DatasetPublished, parse_recipe
from tidemill.errors import InvalidInput

SOURCE = ArtifactRef(digest=f"sha256:{'1' * 64}", kind="source", size_bytes=1)
ALLOWED = ["MIT", "CC-BY-4.0"]


def planned(data: dict[str, Any], **event: Any) -> Any:
    published = DatasetPublished(run_id="r1", name="reviews", source=SOURCE, **event)
    (job,) = plan_ingest(published, parse_recipe({"data": data}))
    return job


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Apache 2.0", "Apache-2.0"),
        ("Apache License, Version 2.0", "apache-2.0"),
        ("The MIT License", "MIT"),
        ("cc by 4.0", "CC-BY-4.0"),
        ("Creative Commons Attribution-ShareAlike 4.0 International", "CC-BY-SA-4.0"),
        ("CC BY-NC-ND 4.0", "Creative Commons Attribution-NonCommercial-NoDerivatives 4.0"),
        ("CC0", "CC0 1.0 Universal"),
        ("GPL-3.0-only", "GPL v3"),
        ("GPLv2+", "GPL-2.0-or-later"),
        ("GNU Lesser General Public License v2.1", "LGPL-2.1-only"),
        ("BSD 3-Clause License", "BSD-3-Clause"),
        ("ODbL", "ODbL-1.0"),
    ],
)
def test_names_of_the_same_licence_are_equal(one: str, other: str) -> None:
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CC-BY-4.0", "CC-BY-3.0"),
        ("CC-BY-4.0", "CC-BY-SA-4.0"),
        ("GPL-3.0-only", "GPL-3.0-or-later"),
        ("GPL-3.0", "LGPL-3.0"),
        ("GPL-3.0", "AGPL-3.0"),
        ("BSD", "BSD-3-Clause"),
        ("MIT", "MIT-0"),
    ],
)
def test_other_licences_stay_others(one: str, other: str) -> None:
    assert normal(one) != normal(other)


def test_a_choice_needs_one_and_a_combination_all() -> None:
    assert allowed("GPL-3.0 OR MIT", ALLOWED)
    assert allowed("MIT AND CC BY 4.0", ALLOWED)
    assert not allowed("MIT AND GPL-3.0", ALLOWED)
    assert not allowed("GPL-3.0 OR Apache-2.0", ALLOWED)


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ("(MIT OR GPL-3.0) AND CC-BY-4.0", True),
        ("(MIT OR GPL-3.0) AND CC-BY-NC-4.0", False),
        ("CC-BY-NC-4.0 AND (MIT OR GPL-3.0)", False),
        ("GPL-3.0 AND MIT OR CC-BY-4.0", True),
        ("((MIT))", True),
        ("MIT AND", False),
        ("(MIT OR GPL-3.0", False),
        ("(" * 100_000 + "MIT OR GPL-3.0", False),
    ],
)
def test_brackets_count_in_an_expression_of_licences(expression: str, fits: bool) -> None:
    assert allowed(expression, ALLOWED) is fits


def test_the_recipe_counts_before_the_event() -> None:
    planned({"allowed_licences": ALLOWED}, licence="cc by 4.0")
    planned({"allowed_licences": ALLOWED, "licence": "MIT"}, licence="GPL-3.0")
    with pytest.raises(InvalidInput) as error:
        planned({"allowed_licences": ALLOWED, "licence": "GPL-3.0"}, licence="MIT")
    assert str(error.value) == (
        "the dataset's licence 'GPL-3.0' is not one that data.allowed_licences allows (MIT, CC-BY-4.0); use another "
        "dataset, or allow it there"
    )


def test_without_a_licence_nothing_is_allowed_where_some_are_listed() -> None:
    planned({})
    planned({}, licence="anything")
    with pytest.raises(InvalidInput, match=r"allows MIT, CC-BY-4.0, but nobody says which licence .* set data.licence"):
        planned({"allowed_licences": ALLOWED})
    with pytest.raises(InvalidInput, match=r"allows \(none\)"):
        planned({"allowed_licences": []}, licence="MIT")


def test_who_owns_a_dataset_and_its_licence_change_no_result() -> None:
    assert planned({}, licence="MIT", owner="Ada").spec == planned({}).spec


def test_a_licence_file_is_named_in_the_report_and_not_read(ingest_files) -> None:
    files = {"reviews.csv": b"text,label\ngood,yes\nbad,no\nfine,yes\npoor,no\n", "LICENSE": b"MIT"}
    assert ingest_files(files).report.licence_files == ["LICENSE"]


def test_what_counts_as_a_licence_file(tmp_path) -> None:
    for name in ("LICENCE.txt", "license-data.md", "COPYING", "NOTICE", "licensed.csv", "data.csv"):
        (tmp_path / name).touch()
    assert licence_files(tmp_path) == ["COPYING", "LICENCE.txt", "NOTICE", "license-data.md"]


def test_what_an_append_is_planned_with() -> None:
    before = ArtifactRef(digest=f"sha256:{'2' * 64}", kind="dataset", size_bytes=1)
    job = planned({}, append=True, previous=before)
    assert (job.spec.append, dict(job.inputs)) == (True, {"source": SOURCE, "previous": before})
    job = planned({}, append=True)
    assert (job.spec.append, dict(job.inputs)) == (False, {"source": SOURCE})
    assert planned({}, previous=before).spec.append is False
