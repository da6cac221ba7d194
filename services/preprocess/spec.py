"""What a preprocess job is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from services.preprocess.tools import hook_of, tools_of
from tidemill.contracts import Frozen, Recipe
from tidemill.contracts.data import Data
from tidemill.contracts.privacy import ColumnPrivacy, Privacy, Treatment

Kind = Literal["all", "shards", "map", "decide", "apply", "assemble", "report"]

ROLES = ("text", "label", "source", "target", "question", "context", "answers")
"""Roles of columns that a recipe can name; a dataset's schema may have others, such as ``image``."""

CLEANING = ("normalize", "text_rules", "missing", "types", "bounds")
DUPLICATES = ("drop_duplicates", "near_duplicates")
SPLITTING = ("split",)
FITTING = ("missing", "outliers", "features", "balance", "augment")
"""Fields of ``Data`` that each step of a preparation depends on, beside those before it."""


class ShardInfo(Frozen):
    """A file of the ingested dataset: ``<part>/<number>.parquet``; ``first`` is the number of its first row in the
    part, from 1."""

    part: str
    number: int = Field(ge=0)
    first: int = Field(ge=1)
    rows: int = Field(ge=0)

    @property
    def file(self) -> str:
        """Its path in a dataset, and in every folder that keeps something by shard."""
        return f"{self.part}/{self.number:05d}.parquet"

    @property
    def name(self) -> str:
        """Its name in the names of inputs and outputs."""
        return f"{self.part}-{self.number:05d}"


class PreprocessSpec(Frozen):
    """The part of the frozen recipe that the outcome depends on; in ``data`` and ``privacy`` all else is as by default.

    ``kind`` is the part of the work: ``all`` of a dataset in one job, or, for a large one, its ``shards`` as artifacts
    of their own, ``map`` and ``apply`` of one ``shard``, and ``decide`` and ``assemble`` for all ``shards`` together.
    """

    kind: Kind = "all"
    task: str
    roles: dict[str, str] = Field(default_factory=dict)
    data: Data = Data()
    privacy: Privacy = Privacy()
    key: str | None = None
    """Fingerprint of the key of keyed treatments: another key, another outcome."""
    tools: dict[str, str] = Field(default_factory=dict)
    """What else the outcome depends on, see ``tools``."""
    hook: str | None = None
    """Fingerprint of the code that ``data.augment.text.back_translation`` names."""
    engine: Literal["local", "ray"] = "local"
    shard: ShardInfo | None = None
    shards: tuple[ShardInfo, ...] = ()
    also: tuple[str, ...] = ()
    """Columns that decisions look at, in a spec that does not say why."""

    @classmethod
    def of(cls, task: str, recipe: Recipe) -> PreprocessSpec:
        """All of a preparation, as ``recipe`` has it."""
        data = only(recipe.data, (*CLEANING, *DUPLICATES, *SPLITTING, *FITTING))
        # Images are augmented anew in every epoch, so that the prepared dataset does not depend on how.
        data = data.model_copy(update={"augment": data.augment.model_copy(update={"image": None})})
        roles = {role: column for role in ROLES if (column := getattr(recipe.data, role)) is not None}
        return cls(
            task=task, roles=roles, data=data, privacy=recipe.privacy, key=_key(recipe.privacy),
            tools=tools_of(data, recipe.privacy), hook=hook_of(data), engine=recipe.data.engine,
        )  # fmt: skip

    @property
    def decided_on(self) -> tuple[str, ...]:
        """Columns, beside the short ones, that decisions look at."""
        named = [self.data.split.group, self.data.split.time, *self.also]
        if self.privacy.anonymity is not None:
            named += [*self.privacy.anonymity.quasi_identifiers, self.privacy.anonymity.sensitive]
        return tuple(sorted({name for name in named if name is not None}))


class Step(Frozen):
    """What a step of the job for ``all`` depends on, beside the steps before it."""

    name: str
    task: str = ""
    roles: dict[str, str] = Field(default_factory=dict)
    data: Data = Data()
    privacy: Privacy = Privacy()
    key: str | None = None
    tools: dict[str, str] = Field(default_factory=dict)
    decided_on: tuple[str, ...] = ()


def _key(privacy: Privacy) -> str | None:
    if privacy.key is None:
        return None
    # Daft comes with it, which a service that only plans does without otherwise.
    from services.preprocess.privacy import key_fingerprint, needs_key, read_key

    if not needs_key(privacy):
        return None
    return key_fingerprint(read_key(privacy.key))


def steps_of(spec: PreprocessSpec) -> tuple[Step, ...]:
    """The steps whose outcomes are kept, in their order; what comes behind them is the job itself.

    Keys are made in the last pass over the rows, so that cleaning that is followed by another pass is another step.
    """
    own, no_privacy = only(spec.data, CLEANING), Privacy()
    cleaning = {"task": spec.task, "roles": spec.roles, "data": own, "tools": tools_of(own, no_privacy)}
    keys = {"decided_on": spec.decided_on, "data": only(spec.data, DUPLICATES)}
    personal = spec.privacy.model_copy(update={"anonymity": None})
    if spec.privacy.protects:
        passes = [
            Step(name="clean", **cleaning),
            Step(name="deidentify", **keys, privacy=personal, key=spec.key, tools=spec.tools),
        ]
    else:
        both = {**cleaning, "data": only(spec.data, (*CLEANING, *DUPLICATES)), "decided_on": spec.decided_on}
        passes = [Step(name="clean and key", **both)]
    return (*passes, Step(name="deduplicate"), Step(name="split", data=only(spec.data, SPLITTING)))


def only(data: Data, fields: Sequence[str]) -> Data:
    """``data`` with everything but ``fields`` as by default."""
    return Data(**{field: getattr(data, field) for field in fields})


class PreprocessResult(Frozen):
    """Rows of the parts ``train``, ``validation`` and ``test`` and the labels, sorted, of the prepared dataset; of the
    job for ``shards``, those."""

    parts: dict[str, int] = Field(default_factory=dict)
    labels: list[str] = Field(default_factory=list)
    shards: tuple[ShardInfo, ...] = ()
    broken: tuple[str, ...] = ()
    """Of the job for the report: the rules of the quality gate that the dataset does not keep, in sentences."""


def report_spec(task: str, recipe: Recipe) -> PreprocessSpec:
    """What the report depends on beside the datasets: the quality gate, what counts as personal data, and which columns
    are treated as a whole, however."""
    treated: dict[str, ColumnPrivacy | Treatment] = dict.fromkeys(treated_columns(recipe.privacy), "mask")
    protected = Privacy(
        detect=list(recipe.privacy.looked_for), columns=treated, regions=recipe.privacy.regions,
        model=recipe.privacy.model,
    )  # fmt: skip
    quality = only(recipe.data, ("quality",))
    return PreprocessSpec(kind="report", task=task, data=quality, privacy=protected, tools=tools_of(quality, protected))


def treated_columns(privacy: Privacy) -> list[str]:
    """The columns that are treated as a whole: those that are named and not kept as they are."""
    rules = {name: rule if isinstance(rule, str) else rule.treatment for name, rule in privacy.columns.items()}
    return [name for name, treatment in rules.items() if treatment != "keep"]


def decide_spec(spec: PreprocessSpec, shards: tuple[ShardInfo, ...]) -> PreprocessSpec:
    """What decisions about all rows depend on: not on how training texts are augmented afterwards."""
    data = only(spec.data, (*CLEANING, *DUPLICATES, *SPLITTING, *(field for field in FITTING if field != "augment")))
    return spec.model_copy(update={"kind": "decide", "data": data, "hook": None, "shards": shards})


def map_spec(spec: PreprocessSpec, shard: ShardInfo) -> PreprocessSpec:
    """What the cleaning of one shard depends on: nothing of how rows are cut, fitted and written."""
    return PreprocessSpec(
        kind="map",
        task=spec.task,
        roles=spec.roles,
        data=only(spec.data, (*CLEANING, *DUPLICATES)),
        privacy=spec.privacy.model_copy(update={"anonymity": None}),
        key=spec.key,
        tools=spec.tools,
        also=spec.decided_on,
        shard=shard,
    )
