"""The work of preprocess: an ingested dataset becomes a clean one in three parts.

Knows the order of things; each thing itself is in a module of its own. ``all`` of the work in one job and its pieces in
several call the same functions on the same shards, so that they leave the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from services.preprocess import passes
from services.preprocess.apply import apply
from services.preprocess.assemble import assemble
from services.preprocess.decisions import decide_duplicates, decide_parts, decide_rest
from services.preprocess.engine import Engine
from services.preprocess.label_counts import read_label_counts
from services.preprocess.number_samples import read_number_samples
from services.preprocess.plan import Plan, make_plan
from services.preprocess.privacy import merged, write_vault
from services.preprocess.shards import list_shards, single_shards
from services.preprocess.spec import PreprocessResult, PreprocessSpec, ShardInfo, steps_of
from services.preprocess.training_texts import more_texts
from services.preprocess.work import Work
from tidemill.datasets import DatasetSchema
from tidemill.errors import HandedBack
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.telemetry import span

ROWS_OF_A_PROCESS = 50_000
"""What one process prepares in a tenth of a second or two; another takes hundredths to begin, and 200 MB."""


def preprocess(
    spec: PreprocessSpec, inputs: Inputs, output: Path, report: ProgressReport, *,
    ray_address: str | None = None, allowed_hooks: Sequence[str] = (), processes: int = 1,
) -> PreprocessResult:  # fmt: skip
    """Do the part of the work that ``spec.kind`` says; see ``spec`` for the parts and ``stage`` for who gets what.

    The prepared dataset is ``output/dataset``: ``<part>/<number>.parquet`` with the number of the ingested shard,
    ``schema.json``, ``labels.json`` (sorted), ``features.json`` (what was fitted) and ``statistics.json``. Text
    classification has the columns ``text`` and ``label`` (strings), other tasks their own; all have ``row`` (int64,
    number of the row in the ingested part from 1) and, with folds, ``fold`` (int8). Reversible tokens of personal data
    are in ``output/vault``. A large dataset is prepared in up to ``processes`` processes, with the same result; with
    more than one this process has to be a job's own (see ``Engine``).

    Raises:
        InvalidInput: the dataset cannot be prepared as the recipe says; names row and column.
        HandedBack: the worker wants to leave.
    """
    return _Preparation(spec, inputs, output, report, ray_address, allowed_hooks, processes).run()


class _Preparation:
    def __init__(
        self, spec: PreprocessSpec, inputs: Inputs, output: Path, report: ProgressReport, ray_address: str | None,
        allowed_hooks: Sequence[str], processes: int,
    ) -> None:  # fmt: skip
        self._spec, self._inputs, self._output, self._report = spec, inputs, output, report
        self._ray_address, self._allowed_hooks, self._processes = ray_address, allowed_hooks, processes

    def run(self) -> PreprocessResult:
        parts: dict[str, Callable[[], PreprocessResult]] = {
            "all": self._all, "shards": self._shards, "map": self._map, "decide": self._decide,
            "apply": self._apply, "assemble": self._assemble, "report": self._report_on,
        }  # fmt: skip
        return parts[self._spec.kind]()

    def _all(self) -> PreprocessResult:
        source, work = self._inputs["dataset"], Work(self._output / "work")
        shards, plan = list_shards(source), self._plan(source)
        more_texts(plan, self._spec, self._allowed_hooks)  # a hook that is not there is said at once
        engine = Engine(self._spec.engine, address=self._ray_address, processes=self._useful(shards))
        done = -1
        if self._inputs.step is not None:
            done, known = self._inputs.step
            work.take(known)
        for number, step in enumerate(steps_of(self._spec)):
            if number > done:
                self._stop_if_asked()
                self._report.progress(0.15 + 0.15 * number, step.name)
                with span(step.name, rows=sum(shard.rows for shard in shards)):
                    self._step(step.name, plan, source, shards, work, engine)
                if self._report.keeps_steps:
                    self._report.step(number, work.root)
        with span("decide"):
            engine.alone(lambda one: decide_rest(plan, self._spec, shards, work, one))
        self._stop_if_asked()
        self._report.progress(0.8, "writing the parts")
        target = self._output / "dataset"
        with span("apply"):
            engine.each(lambda shard, own: own.alone(lambda one: self._write(plan, shard, work, target, one)), shards)
        with span("assemble"):
            self._put_vaults_together(plan, shards, work)
            return assemble(plan, self._spec, shards, work, target)

    def _step(self, name: str, plan: Plan, source: Path, shards: list[ShardInfo], work: Work, engine: Engine) -> None:
        if name == "clean":
            # Where nobody keeps what is left between two passes, the second does both.
            if self._report.keeps_steps:
                engine.each(lambda shard, own: passes.clean(plan, source, shard, work, own), shards)
        elif name in ("deidentify", "clean and key"):
            engine.each(lambda shard, own: passes.key(plan, self._spec, source, shard, work, own), shards)
            work.forget("cleaned")
        elif name == "deduplicate":
            decide_duplicates(plan, self._spec, shards, work)
        else:
            decide_parts(plan, self._spec, shards, work)

    def _shards(self) -> PreprocessResult:
        shards = list_shards(self._inputs["dataset"])
        single_shards(self._inputs["dataset"], shards, self._output)
        return PreprocessResult(shards=tuple(shards))

    def _map(self) -> PreprocessResult:
        source, shard = self._inputs["dataset"], self._shard()
        engine = Engine(processes=self._useful([shard]))
        work = Work(self._output)
        passes.key(self._plan(source), self._spec, source, shard, work, engine)
        work.take(work.vault(shard))
        return PreprocessResult()

    def _decide(self) -> PreprocessResult:
        work, shards = Work(self._output / "work"), list(self._spec.shards)
        for shard in shards:
            work.take(self._inputs[f"keys-{shard.name}"], "keys")
        plan, engine = self._plan(self._inputs["schema"]), Engine()
        decide_duplicates(plan, self._spec, shards, work)
        self._stop_if_asked()
        decide_parts(plan, self._spec, shards, work)
        self._stop_if_asked()
        decide_rest(plan, self._spec, shards, work, engine)
        for shard in shards:
            own = Work(self._output / f"decisions-{shard.name}")
            own.take_file(work.decisions(shard), shard.file)
            own.take_file(work.decisions(shard).with_suffix(".json"), shard.file.replace(".parquet", ".json"))
            if work.held_out(shard).exists():
                own.take_file(work.held_out(shard), shard.file.replace(".parquet", ".npy"))
        Work(self._output / "summary").take(work.root / "summary")
        return PreprocessResult()

    def _apply(self) -> PreprocessResult:
        work, shard = Work(self._output / "work"), self._shard()
        work.take(self._inputs["rows"], "rows")
        work.take(self._inputs["decisions"], "decisions")
        plan = self._plan(self._inputs["schema"])
        self._write(plan, shard, work, self._output / "dataset", Engine())
        Work(self._output / "applied").take(work.root / "applied")
        return PreprocessResult()

    def _write(self, plan: Plan, shard: ShardInfo, work: Work, target: Path, engine: Engine) -> None:
        apply(plan, self._spec, shard, work, target, engine, self._allowed_hooks)

    def _assemble(self) -> PreprocessResult:
        work, shards, target = Work(self._output / "work"), list(self._spec.shards), self._output / "dataset"
        work.take(self._inputs["summary"], "summary")
        for shard in shards:
            work.take(self._inputs[f"applied-{shard.name}"], "applied")
            if f"dataset-{shard.name}" in self._inputs.paths:
                Work(target).take(self._inputs[f"dataset-{shard.name}"])
            if f"vault-{shard.name}" in self._inputs.paths:
                Work(work.vault(shard)).take(self._inputs[f"vault-{shard.name}"], "vault")
        plan = self._plan(self._inputs["schema"])
        self._put_vaults_together(plan, shards, work)
        return assemble(plan, self._spec, shards, work, target)

    def _report_on(self) -> PreprocessResult:
        from services.preprocess.report.making import make_report

        made = make_report(
            ingested=self._inputs["dataset"], prepared=self._inputs["prepared"],
            intake=self._inputs["intake"] if "intake" in self._inputs.paths else None, gate=self._spec.data.quality,
            privacy=self._spec.privacy, into=self._output / "report", progress=self._report,
        )  # fmt: skip
        return PreprocessResult(broken=tuple(finding.says for finding in made.broken))

    def _put_vaults_together(self, plan: Plan, shards: list[ShardInfo], work: Work) -> None:
        vaults = [work.vault(shard) for shard in shards if work.vault(shard).is_dir()]
        if vaults and plan.key is not None:
            write_vault(merged(vaults), self._output, plan.key)

    def _plan(self, dataset: Path) -> Plan:
        numbers = read_number_samples(dataset) if self._spec.privacy.looked_for else None
        return make_plan(self._spec, DatasetSchema.read(dataset), read_label_counts(dataset), numbers)

    def _useful(self, shards: Sequence[ShardInfo]) -> int:
        """Processes for these shards. One, where it makes more of few rows than several; and where a model, or a hook
        that may hold one, works on them: it has threads of its own, and each process would load it."""
        if self._spec.privacy.model is not None or self._spec.hook is not None:
            return 1
        return min(self._processes, max(1, sum(shard.rows for shard in shards) // ROWS_OF_A_PROCESS))

    def _shard(self) -> ShardInfo:
        assert self._spec.shard is not None, "the stage plans map and apply with a shard"
        return self._spec.shard

    def _stop_if_asked(self) -> None:
        if self._report.stop_requested:
            raise HandedBack("the worker is leaving in the middle of preparing a dataset")
