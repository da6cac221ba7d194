"""Limits and prices as people write them, what usage costs, and that no result depends on either."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.compressor.spec import CompressionSpec
from services.ingest.spec import IngestSpec
from services.preprocess.spec import PreprocessSpec
from services.trainer.spec import TrainingSpec
from tidemill.contracts import Budget, Prices, RecipeError, ResourceUsage, RunFailed, cost_of, parse_recipe
from tidemill.contracts.durations import format_duration, parse_duration
from tidemill.errors import InvalidInput
from tidemill.settings import PriceSettings
from tidemill.stage.fingerprint import job_fingerprint


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("PT30M", 1800), ("P1DT1H", 90000), ("1.5 s", 1.5)],
)
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    duration = parse_duration(text)
    assert duration == timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("economics", "words"),
    [
        ({"max_wall_time": "2 hours"}, "'2 hours' is not a duration; write seconds (90), 30m, 2h"),
        ({"max_wall_time": 0}, "longer than nothing"),
        ({"max_wall_time": True}, "a duration is seconds"),
        ({"max_wall_time": "999999999999d"}, "longer than ten years"),
        ({"max_cost": 0}, "'economics.max_cost': Input should be greater than 0"),
        ({"max_cost": float("nan")}, "'economics.max_cost'"),
        ({"max_stage_time": {"trainer": "30m"}}, "'trainer' is not a stage that works; did you mean 'train'?"),
        ({"max_stage_time": {"register": "30m"}}, "'register' is not a stage that works"),
        ({"max_stage_time": {"train": "soon"}}, "'economics.max_stage_time.train': 'soon' is not a duration"),
        ({"max_costs": 1}, "did you mean 'max_cost'?"),
    ],
)
def test_a_limit_that_is_none_is_refused_with_what_to_write(economics: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError) as refused:
        parse_recipe({"economics": economics})
    assert words in str(refused.value)


def test_a_cost_is_the_sum_of_its_lines() -> None:
    prices = Prices(currency="CHF", cpu_hour=0.5, memory_gib_hour=0.1, gpu_hour=3, wall_hour=0, written_gib=0.02)
    small = ResourceUsage(wall_seconds=3600, cpu_seconds=7200, peak_memory_bytes=2 * 2**30, written_bytes=2**30)
    large = ResourceUsage(wall_seconds=1800, gpu_seconds=1800, peak_memory_bytes=8 * 2**30)
    cost = cost_of([small, large], prices)
    assert {line.resource: round(line.cost, 6) for line in cost.lines} == {
        "cpu_hour": 1.0,
        "gpu_hour": 1.5,
        "memory_gib_hour": 0.6,  # 2 GiB for an hour and 8 GiB for half of one
        "written_gib": 0.02,
    }
    assert cost.total == pytest.approx(3.12)
    assert str(cost) == "3.12 CHF"
    assert str(cost_of([ResourceUsage(cpu_seconds=12)], Prices())) == "0.00013 EUR"
    assert str(cost_of([], Prices())) == "0.00 EUR"


def test_what_the_environment_says_goes_before_the_price_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = tmp_path / "价格.yaml"
    book.write_text("currency: CHF\ncpu_hour: 0.07\ngpu_hour: 1.9\n")
    monkeypatch.setenv("TIDEMILL_PRICE_BOOK", str(book))
    monkeypatch.setenv("TIDEMILL_PRICE_GPU_HOUR", "2.5")
    prices = PriceSettings().read()
    assert (prices.currency, prices.cpu_hour, prices.gpu_hour) == ("CHF", 0.07, 2.5)
    assert prices.memory_gib_hour == Prices().memory_gib_hour


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cpu: 0.04", "'cpu' is no price; known: currency, cpu_hour"),
        ("cpu_hour: -1", "price cpu_hour: Input should be greater than or equal to 0 (got -1)"),
        ("- 3", "must be a mapping of prices"),
        ("{", "cannot be read"),
    ],
)
def test_a_price_book_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    book = tmp_path / "prices.yaml"
    book.write_text(text)
    with pytest.raises(InvalidInput) as refused:
        PriceSettings(book=book).read()
    assert words in str(refused.value)


def test_a_retry_changes_the_limits_that_it_names() -> None:
    first = Budget.model_validate({"max_cost": 1, "max_wall_time": "1h", "max_stage_time": {"train": 60}})
    second = first.overlaid(Budget.model_validate({"max_cost": 2, "max_stage_time": {"compress": 90}}))
    assert second == Budget.model_validate(
        {"max_cost": 2, "max_wall_time": "1h", "max_stage_time": {"train": 60, "compress": 90}}
    )
    assert second.overlaid(None) == second
    assert Budget.model_validate_json(second.model_dump_json()) == second


def test_a_kind_of_failure_that_a_newer_version_announces_is_permanent() -> None:
    assert RunFailed(run_id="r", stage="train", error="e", kind="struck-by-lightning").kind == "permanent"


def test_no_fingerprint_depends_on_the_economics() -> None:
    """Golden: the fingerprint of this spec as it was before recipes had economics."""
    plain = parse_recipe({"training": {"epochs": 2}})
    limited = parse_recipe({"training": {"epochs": 2}, "economics": {"max_cost": 1, "max_stage_time": {"train": 9}}})
    fingerprints = {job_fingerprint("ingest", 1, IngestSpec(recipe=recipe), {}) for recipe in (plain, limited)}
    assert fingerprints == {"0f3ce1b3c7d3ec8c0317c4ad9bce2389794f242db9a8b930f064707b5814af0b"}
    for spec in (PreprocessSpec, TrainingSpec, CompressionSpec):
        assert "economics" not in json.dumps(spec.model_json_schema())
