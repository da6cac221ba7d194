from __future__ import annotations

import pytest

from services.compressor.choice import choose
from tidemill.contracts import VariantFigures


def figures(variant: str, *, p50: float, quality: float, size: int = 100, test: float = 0.5) -> VariantFigures:
    return VariantFigures(
        variant=variant,
        size_bytes=size,
        p50_ms=p50,
        p95_ms=p50,
        throughput=1.0,
        threads=1,
        metrics={"macro_f1": quality},
        test_metrics={"macro_f1": test},
    )


ORIGINAL = figures("torch-fp32", p50=20, quality=0.93, size=400)
EXPORT = figures("onnx-fp32", p50=12, quality=0.93, size=400)


def test_the_fastest_within_the_budget_serves() -> None:
    int8 = figures("openvino-int8", p50=5, quality=0.925)
    choice = choose(ORIGINAL, [EXPORT, figures("onnx-int8", p50=6, quality=0.93), int8], "macro_f1", 0.01)
    assert choice.variant == "openvino-int8"
    assert "4.0 times faster and 4.0 times smaller" in choice.reason


@pytest.mark.parametrize(("quality", "serves"), [(0.92, "onnx-int8"), (0.9199, "onnx-fp32"), (0.99, "onnx-int8")])
def test_a_drop_of_exactly_the_budget_is_within_it(quality: float, serves: str) -> None:
    assert choose(ORIGINAL, [EXPORT, figures("onnx-int8", p50=6, quality=quality)], "macro_f1", 0.01).variant == serves


def test_what_was_faster_but_too_bad_is_named() -> None:
    choice = choose(ORIGINAL, [EXPORT, figures("onnx-int8", p50=6, quality=0.8)], "macro_f1", 0.01)
    assert choice.variant == "onnx-fp32"
    assert "beyond the budget: onnx-int8 (-0.1300)" in choice.reason


def test_of_equally_fast_ones_the_smaller_serves() -> None:
    large, small = figures("a", p50=5, quality=0.93, size=300), figures("b", p50=5, quality=0.93, size=200)
    assert choose(ORIGINAL, [large, small], "macro_f1", 0.01).variant == "b"


def test_what_is_not_faster_here_never_serves_for_its_speed() -> None:
    as_fast = figures("openvino-int8", p50=20, quality=0.95)
    slower = figures("onnx-fp32", p50=21, quality=0.93)
    choice = choose(ORIGINAL, [slower, as_fast], "macro_f1", 0.01)
    assert choice.variant == "onnx-fp32"
    assert (
        "no candidate within the budget was faster than the original here (20.00 ms against 20.00 ms" in choice.reason
    )


def test_when_all_lost_too_much_the_export_serves_and_says_why() -> None:
    bad = [figures("onnx-int8", p50=5, quality=0.5), figures("openvino-int8", p50=4, quality=0.6)]
    choice = choose(ORIGINAL, bad, "macro_f1", 0.01)
    assert choice.variant == "onnx-fp32"
    assert "the best 0.3300" in choice.reason
    assert "compression.quality_budget" in choice.reason


def test_without_a_candidate_the_export_serves() -> None:
    assert choose(ORIGINAL, [], "macro_f1", 0.01).variant == "onnx-fp32"


def test_the_test_part_plays_no_role() -> None:
    lucky = figures("onnx-int8", p50=6, quality=0.93, test=1.0)
    unlucky = figures("openvino-int8", p50=5, quality=0.93, test=0.0)
    assert choose(ORIGINAL, [lucky, unlucky], "macro_f1", 0.01).variant == "openvino-int8"
