"""Compression of one model: make the candidates, measure them beside the original, choose, write the package.

Knows recipes and model packages, no bus and no store. Imports torch, ONNX Runtime, OpenVINO and NNCF: it belongs in
a job's child process.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from services.compressor.candidates import EXPORT, Candidate, make_candidate, make_export
from services.compressor.choice import choose
from services.compressor.examples import Examples, read_examples
from services.compressor.judgement import Judge, Tested
from services.compressor.measure import Timing, measure, timing_inputs
from services.compressor.original import Network, open_trained
from services.compressor.quality import Run
from services.compressor.spec import CompressionResult, CompressionSpec
from tidemill.contracts import EvaluationSummary, VariantFigures
from tidemill.errors import HandedBack
from tidemill.jobs.preload import usable_processors
from tidemill.jobs.report import ProgressReport
from tidemill.modelpack import Metrics, ModelPackage, PackageWriter, Variant
from tidemill.modelpack.runtime import open_session
from tidemill.tasks.text_classification.serving import TextEncoder
from tidemill.telemetry import span

THREADS = 1
"""Of every model while it is timed, the original included: a server's sessions have one thread each."""

TOKENS = 64
LARGE_BATCH = 32
MAX_ROWS = 5_000
"""Rows of a part that quality is judged on; more would cost minutes and move the third decimal."""

_TIMING_SECONDS = 10.0
_TIMING_ROUNDS = 30
_TIMING_ROWS = 256
_SEED = 17


@dataclass
class _Bench:
    """The original and its candidates while they are made, judged and timed."""

    package: ModelPackage
    original: Variant
    network: Network
    encoder: TextEncoder
    judge: Judge
    timing_rows: Mapping[str, NDArray[Any]]
    report: ProgressReport
    candidates: list[Candidate] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def run_original(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        _go_on(self.report)
        return self.network.run(inputs)

    def session(self, candidate: Candidate, *, parallel: int) -> Run:
        """A single-threaded session of ``candidate`` for ``parallel`` callers, that ends when the worker leaves."""
        opened = open_session(candidate.directory, candidate.variant, threads=THREADS, parallel=parallel)

        def run(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
            _go_on(self.report)
            return opened.run(inputs)

        return run

    def give_up(self, name: str, error: Exception) -> None:
        """``name`` is out of the race; the reason goes into the result."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        self.failed[name] = (lines[0] if lines else type(error).__name__)[:300]
        self.candidates = [one for one in self.candidates if one.name != name]


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
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(THREADS)
    report.progress(0.0, "checking the trained model")
    package, original = open_trained(model)
    labels, encoder = package.signature.labels, _encoder(package)
    train = read_examples(dataset, "train", labels).stratified(spec.compression.calibration_examples, _SEED)
    validation = read_examples(dataset, "validation", labels).spread(MAX_ROWS)
    test = read_examples(dataset, "test", labels).spread(MAX_ROWS)
    bench = _Bench(
        package=package,
        original=original,
        network=Network(package.variant_dir(original.name)),
        encoder=encoder,
        judge=Judge(labels, encoder, validation, test),
        timing_rows=encoder(validation.texts[:_TIMING_ROWS]),
        report=report,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".compressing-") as scratch:
        quality, tested = _make(spec, bench, Path(scratch), train, validation)
        with span("judge on the validation part"):
            quality |= _validate(bench)
        with span("time in turns"):
            timings = _time(bench)
        figures = {
            variant.name: _figures(variant, timings[variant.name], quality[variant.name])
            for variant in (original, *(one.variant for one in bench.candidates))
        }
        choice = choose(
            figures[original.name],
            [figures[one.name] for one in bench.candidates if one.name in spec.compression.candidates],
            spec.goal.metric,
            spec.compression.quality_budget,
        )
        with span("report on the test part"):
            evaluation = _test(bench, choice.variant, tested, figures)
        report.progress(0.98, choice.reason)
        metrics = Metrics(
            validation=quality[choice.variant],
            test=evaluation,
            cross_validation=spec.cross_validation,
            variants=list(figures.values()),
            choice=choice.reason,
            failed=bench.failed,
        )
        _write(spec, bench, choice.variant, metrics, output, revision)
    return CompressionResult(
        evaluation=evaluation,
        original=figures[original.name],
        variants=list(figures.values()),
        chosen=choice.variant,
        reason=choice.reason,
        failed=bench.failed,
    )


def _encoder(package: ModelPackage) -> TextEncoder:
    tokenization = package.signature.tokenization
    assert tokenization is not None  # open_trained has looked
    names = [tensor.name for tensor in package.signature.inputs]
    # A second time would change some texts once more, and the model would be judged on what it is never asked.
    return TextEncoder(package.directory / tokenization.file, tokenization, inputs=names, prepared=True)


def _make(
    spec: CompressionSpec, bench: _Bench, folder: Path, train: Examples, validation: Examples
) -> tuple[dict[str, EvaluationSummary], Tested]:
    """Make the candidates, and judge the original meanwhile: its quality on the validation part, and the test part."""
    _go_on(bench.report)
    bench.report.progress(0.03, f"exporting {EXPORT}")
    directory = bench.package.variant_dir(bench.original.name)
    # Plain attention gives a plain graph, which runtimes recognise and fuse; the fused kernel's graph hides it.
    plain = Network(directory, attention="eager")
    with span(f"make {EXPORT}"):
        export = make_export(plain, bench.package.signature, folder, bench.encoder, validation.texts)
    bench.candidates.append(export)
    # Not before the export is done: tracing patches torch for all threads. Quantization is one thread of Python.
    with ThreadPoolExecutor(2, thread_name_prefix="original") as pool:
        valid = pool.submit(bench.judge.validate, bench.run_original)
        tested: Future[Tested] = pool.submit(bench.judge.test, bench.run_original)
        wanted = [name for name in dict.fromkeys(spec.compression.candidates) if name != EXPORT]
        for number, name in enumerate(wanted):
            _go_on(bench.report)
            fraction = 0.2 + 0.35 * number / len(wanted)
            bench.report.progress(fraction, f"making {name}")

            def say(message: str, fraction: float = fraction) -> None:
                bench.report.progress(fraction, message)

            try:
                with span(f"make {name}"):
                    made = make_candidate(name, export, folder, bench.encoder, train.texts, say)
            except Exception as error:  # a tool that cannot handle this graph must not cost the other candidates
                bench.give_up(name, error)
            else:
                bench.candidates.append(made)
        bench.report.progress(0.55, f"judging {bench.original.name}")
        return {bench.original.name: valid.result()}, tested.result()


def _validate(bench: _Bench) -> dict[str, EvaluationSummary]:
    """Quality of every candidate on the validation part; one that cannot run is given up."""
    found: dict[str, EvaluationSummary] = {}
    candidates = list(bench.candidates)
    for number, one in enumerate(candidates):
        bench.report.progress(0.6 + 0.15 * number / len(candidates), f"judging {one.name} on the validation part")
        try:
            parallel = usable_processors()
            found[one.name] = bench.judge.validate(bench.session(one, parallel=parallel), parallel=parallel)
        except HandedBack:
            raise
        except Exception as error:  # a graph that a runtime loads or runs badly must not cost the other candidates
            if one.name == EXPORT:
                raise
            bench.give_up(one.name, error)
    return found


def _time(bench: _Bench) -> dict[str, Timing]:
    """Latency and throughput of the original and every candidate, ``THREADS`` each, in one interleaved run."""
    length = min(TOKENS, bench.encoder.max_length)
    models: dict[str, Run] = {bench.original.name: bench.run_original}
    models |= {one.name: bench.session(one, parallel=1) for one in bench.candidates}
    message = f"timing {len(models)} variants in turns, {length} tokens, {THREADS} thread each"
    return measure(
        models,
        timing_inputs(bench.timing_rows, batch=1, length=length),
        timing_inputs(bench.timing_rows, batch=LARGE_BATCH, length=length),
        seconds=_TIMING_SECONDS,
        max_rounds=_TIMING_ROUNDS,
        progress=lambda fraction: bench.report.progress(0.75 + 0.15 * fraction, message),
    )


def _figures(variant: Variant, timing: Timing, quality: EvaluationSummary) -> VariantFigures:
    return VariantFigures(
        variant=variant.name,
        size_bytes=variant.size_bytes,
        p50_ms=timing.p50_ms,
        p95_ms=timing.p95_ms,
        throughput=timing.throughput,
        threads=THREADS,
        metrics=quality.metrics,
    )


def _test(bench: _Bench, chosen: str, original: Tested, figures: dict[str, VariantFigures]) -> EvaluationSummary:
    """Report on the test part, now that the choice is made: the original, the chosen one and all quantized ones.

    A full-precision candidate that was not chosen is left out: it computes what the original does, as its
    validation figures show, and takes the longest. Adds to ``figures``; returns the evaluation of ``chosen``.
    """
    name = bench.original.name
    figures[name] = bench.judge.compare(figures[name], original)
    evaluation = original.evaluation
    for one in bench.candidates:
        if one.name != chosen and one.kind.precision == "fp32":
            continue
        bench.report.progress(0.92, f"reporting on {one.name} on the test part")
        parallel = usable_processors()
        tested = bench.judge.test(bench.session(one, parallel=parallel), parallel=parallel)
        figures[one.name] = bench.judge.compare(figures[one.name], tested, original)
        if one.name == chosen:
            evaluation = tested.evaluation
    return evaluation


def _write(spec: CompressionSpec, bench: _Bench, chosen: str, metrics: Metrics, output: Path, revision: int) -> None:
    package = bench.package
    writer = PackageWriter(output)
    writer.tokenizer(package.tokenizer_dir)
    writer.copy_variant(package, bench.original.name)
    for one in bench.candidates:
        kind = one.kind
        with writer.variant(one.name, format=kind.format, precision=kind.precision, entry=kind.entry) as target:
            for path in sorted(one.directory.iterdir()):
                shutil.move(path, target / path.name)
    writer.signature(package.signature.model_copy(update={"serving_variant": chosen}))
    writer.metrics(metrics)
    sections = {"goal": spec.goal.model_dump(mode="json"), "compression": spec.compression.model_dump(mode="json")}
    lineage = package.lineage
    writer.lineage(
        lineage.model_copy(update={"trained": spec.trained, "recipe": lineage.recipe | sections, "revision": revision})
    )
    writer.finish()


def _go_on(report: ProgressReport) -> None:
    if report.stop_requested:
        raise HandedBack("compression starts again elsewhere: it has nothing to resume")
