"""Compression of one model: make the candidates, measure them beside the original, choose, write the package.

Knows recipes and model packages, no bus and no store. Imports torch, ONNX Runtime, OpenVINO and NNCF: it belongs in
a job's child process.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from services.compressor.candidates import EXPORT, Candidate, make_candidate, make_export
from services.compressor.choice import choose
from services.compressor.examples import Examples, read_part
from services.compressor.measure import Timing, measure, timing_inputs
from services.compressor.original import Network, open_trained
from services.compressor.quality import EncodedPart
from services.compressor.spec import CompressionResult, CompressionSpec
from tidemill.contracts import EvaluationSummary, VariantFigures
from tidemill.errors import HandedBack, TidemillError
from tidemill.jobs.preload import usable_processors
from tidemill.jobs.report import ProgressReport
from tidemill.modelpack import Lineage, Metrics, ModelPackage, PackageWriter, Variant
from tidemill.modelpack.runtime import open_session
from tidemill.tasks.text_classification.metrics import agreement, evaluate_logits, paired_bootstrap
from tidemill.tasks.text_classification.serving import TextEncoder

THREADS = 1
"""Of every model while it is timed, the original included: a server's sessions have one thread each."""

TOKENS = 64
LARGE_BATCH = 32
MAX_ROWS = 5_000
"""Rows of a part that quality is judged on; more would cost minutes and move the third decimal."""

_TIMING_SECONDS = 15.0
_TIMING_ROUNDS = 40
_CANDIDATES_DONE = 0.5
_QUALITY_DONE = 0.75
_SEED = 17

Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float32]]


@dataclass(frozen=True)
class _Quality:
    """One model over the validation and test parts; ``predicted`` are label indices int64 on the test part."""

    validation: EvaluationSummary
    test: EvaluationSummary
    predicted: NDArray[np.int64]


@dataclass(frozen=True)
class _Data:
    """The rows that a compression looks at."""

    calibration: Examples
    validation: Examples
    test: Examples


def compress(
    spec: CompressionSpec, model: Path, dataset: Path, output: Path, report: ProgressReport, *, revision: int
) -> CompressionResult:
    """Compress the package in ``model`` and leave the new one, with all variants, in ``output`` (made here).

    ``dataset`` is the prepared dataset that the model was trained on. ``revision`` of the stage goes into the
    lineage.

    Raises:
        CorruptArtifact: a file of the inputs is damaged; names it.
        PermanentError: the model cannot be exported at all.
        HandedBack: the worker wants to leave; there is nothing to resume.
    """
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    report.progress(0.0, "checking the trained model")
    package, original = open_trained(model)
    data = _read(spec, dataset, package)
    encoder = _encoder(package)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".compressing-") as scratch:
        folder = Path(scratch)
        made, failed = _make(spec, package, original, folder, encoder, data, report)
        network = Network(package.variant_dir(original.name))
        quality = _judge(network, original, made, failed, package, encoder, data, report)
        timings = _time(network, original, made, encoder, data, report)
        figures = _figures(package, original, made, quality, timings, data)
        chosen = choose(
            figures[original.name],
            [figures[one.name] for one in made if one.name in spec.compression.candidates],
            spec.goal.metric,
            spec.compression.quality_budget,
        )
        report.progress(0.97, chosen.reason)
        metrics = Metrics(
            validation=quality[chosen.variant].validation,
            test=quality[chosen.variant].test,
            cross_validation=package.metrics.cross_validation,
            variants=list(figures.values()),
        )
        _write(spec, package, original, made, chosen.variant, metrics, output, revision)
    return CompressionResult(
        evaluation=quality[chosen.variant].test,
        original=figures[original.name],
        variants=list(figures.values()),
        chosen=chosen.variant,
        reason=chosen.reason,
        failed=failed,
    )


def _read(spec: CompressionSpec, dataset: Path, package: ModelPackage) -> _Data:
    labels = package.signature.labels
    return _Data(
        calibration=read_part(dataset, "train", labels).stratified(spec.compression.calibration_examples, _SEED),
        validation=read_part(dataset, "validation", labels).spread(MAX_ROWS),
        test=read_part(dataset, "test", labels).spread(MAX_ROWS),
    )


def _encoder(package: ModelPackage) -> TextEncoder:
    tokenization = package.signature.tokenization
    assert tokenization is not None  # open_trained has looked
    return TextEncoder(
        package.directory / tokenization.file,
        tokenization,
        inputs=[tensor.name for tensor in package.signature.inputs],
    )


def _make(
    spec: CompressionSpec,
    package: ModelPackage,
    original: Variant,
    folder: Path,
    encoder: TextEncoder,
    data: _Data,
    report: ProgressReport,
) -> tuple[list[Candidate], dict[str, str]]:
    """Every candidate that can be made, the export first, and why the others cannot."""
    report.progress(0.03, f"exporting {EXPORT}")
    # Plain attention gives a plain graph, which runtimes recognise and fuse; the fused kernel's graph hides it.
    network = Network(package.variant_dir(original.name), attention="eager")
    export = make_export(network, package.signature, folder, encoder, data.validation.texts)
    made, failed = [export], dict[str, str]()
    wanted = [name for name in dict.fromkeys(spec.compression.candidates) if name != EXPORT]
    for number, name in enumerate(wanted):
        _go_on(report)
        fraction = 0.15 + (_CANDIDATES_DONE - 0.15) * number / len(wanted)
        report.progress(fraction, f"making {name}")
        try:
            made.append(
                make_candidate(
                    name,
                    export,
                    folder,
                    encoder,
                    data.calibration.texts,
                    lambda message, fraction=fraction: report.progress(fraction, message),  # type: ignore[misc]
                )
            )
        except Exception as error:  # a tool that cannot handle this graph must not cost the other candidates
            failed[name] = _first_line(error)
            report.progress(fraction, f"{name} cannot be made: {failed[name]}")
    return made, failed


def _judge(
    network: Network,
    original: Variant,
    made: list[Candidate],
    failed: dict[str, str],
    package: ModelPackage,
    encoder: TextEncoder,
    data: _Data,
    report: ProgressReport,
) -> dict[str, _Quality]:
    """Quality of the original and of every candidate; one that cannot run moves from ``made`` to ``failed``."""
    labels = package.signature.labels
    processors = usable_processors()
    validation, test = EncodedPart(encoder, data.validation.texts), EncodedPart(encoder, data.test.texts)

    def judge(name: str, run: Run, number: int) -> _Quality:
        _go_on(report)
        fraction = _CANDIDATES_DONE + (_QUALITY_DONE - _CANDIDATES_DONE) * number / (len(made) + 1)
        report.progress(fraction, f"judging {name} on {len(data.validation)} validation and {len(data.test)} test rows")
        logits = test.predict(run)
        return _Quality(
            validation=evaluate_logits(labels, data.validation.labels, validation.predict(run), "validation"),
            test=evaluate_logits(labels, data.test.labels, logits, "test"),
            predicted=logits.argmax(axis=1),
        )

    torch.set_num_threads(processors)
    found = {original.name: judge(original.name, network.run, 0)}
    for number, one in enumerate(list(made), start=1):
        try:
            session = open_session(one.directory, one.variant, threads=processors)
            found[one.name] = judge(one.name, session.run, number)
        except HandedBack:
            raise
        except (TidemillError, ValueError) as error:
            if one.name == EXPORT:
                raise
            failed[one.name] = _first_line(error)
            made.remove(one)
    return found


def _time(
    network: Network,
    original: Variant,
    made: list[Candidate],
    encoder: TextEncoder,
    data: _Data,
    report: ProgressReport,
) -> dict[str, Timing]:
    """Latency and throughput of the original and every candidate, ``THREADS`` each, in one interleaved run."""
    _go_on(report)
    length = min(TOKENS, encoder.max_length)
    rows = encoder(data.validation.texts[:512])
    torch.set_num_threads(THREADS)
    models: dict[str, Run] = {original.name: network.run}
    models |= {one.name: open_session(one.directory, one.variant, threads=THREADS).run for one in made}

    def say(fraction: float) -> None:
        report.progress(
            _QUALITY_DONE + (0.95 - _QUALITY_DONE) * fraction,
            f"timing {len(models)} variants in turns, {length} tokens",
        )

    return measure(
        models,
        timing_inputs(rows, batch=1, length=length),
        timing_inputs(rows, batch=LARGE_BATCH, length=length),
        seconds=_TIMING_SECONDS,
        max_rounds=_TIMING_ROUNDS,
        progress=say,
    )


def _figures(
    package: ModelPackage,
    original: Variant,
    made: list[Candidate],
    quality: Mapping[str, _Quality],
    timings: Mapping[str, Timing],
    data: _Data,
) -> dict[str, VariantFigures]:
    """One row of the table for each variant, the original first."""
    reference = quality[original.name].predicted
    right = reference == data.test.labels
    figures = {}
    for variant in (original, *(one.variant for one in made)):
        mine, timing = quality[variant.name], timings[variant.name]
        compared = variant.name != original.name
        figures[variant.name] = VariantFigures(
            variant=variant.name,
            size_bytes=variant.size_bytes,
            p50_ms=timing.p50_ms,
            p95_ms=timing.p95_ms,
            throughput=timing.throughput,
            threads=THREADS,
            metrics=mine.validation.metrics,
            test_metrics=mine.test.metrics,
            agreement=agreement(mine.predicted, reference) if compared else None,
            accuracy_difference_ci95=(
                paired_bootstrap(mine.predicted == data.test.labels, right, _SEED) if compared else None
            ),
        )
    return figures


def _write(
    spec: CompressionSpec,
    package: ModelPackage,
    original: Variant,
    made: list[Candidate],
    chosen: str,
    metrics: Metrics,
    output: Path,
    revision: int,
) -> None:
    writer = PackageWriter(output)
    writer.tokenizer(package.tokenizer_dir)
    writer.copy_variant(package, original.name)
    for one in made:
        kind = one.kind
        with writer.variant(one.name, format=kind.format, precision=kind.precision, entry=kind.entry) as target:
            for path in sorted(one.directory.iterdir()):
                shutil.move(path, target / path.name)
    writer.signature(package.signature.model_copy(update={"serving_variant": chosen}))
    writer.metrics(metrics)
    trained = package.lineage
    compression = {"goal": spec.goal.model_dump(mode="json"), "compression": spec.compression.model_dump(mode="json")}
    lineage: Lineage = trained.model_copy(
        update={"trained": spec.trained, "recipe": trained.recipe | compression, "revision": revision}
    )
    writer.lineage(lineage)
    writer.finish()


def _go_on(report: ProgressReport) -> None:
    if report.stop_requested:
        raise HandedBack("compression starts again elsewhere: it has nothing to resume")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
