"""A model that is not published yet: what to train, what it was made from, and the run that made it."""

import shlex
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spotter.config import FamiliarityConfig, TrainConfig
from spotter.data.dataset import MANIFEST, Dataset
from spotter.data.training_run import Run, spread
from spotter.decide.costs import CostTable, make_costs
from spotter.decide.prior import check_prior
from spotter.recipe import Recipe, make_recipe, read_recipe
from spotter.search import BACKENDS, SearchBackend
from spotter.stores import Store
from spotter.utils.files import import_root

# torch and scikit-learn come with these: nothing of them before a training needs it.
if TYPE_CHECKING:
    from spotter.data.quality import Measured
    from spotter.evaluate.comparison import Changes
    from spotter.evaluate.metrics import Evaluation
    from spotter.evaluate.ood import Strangers
    from spotter.train.features import Backbone
    from spotter.train.trained import Trained


@dataclass(frozen=True)
class Task:
    """What to train, and where to publish it.

    `more` are further queries by label. `strangers` is a folder of pictures of none of the classes. With
    `is_first`, what can be done with the model is told at the end.
    """

    recipe: Recipe
    config: TrainConfig
    store: Store
    command: str
    sources: Sequence[SearchBackend] = ()
    more: Mapping[str, Sequence[str]] = field(default_factory=dict)
    strangers: Path | None = None
    show_batch: bool = False
    is_first: bool = False

    @property
    def costs(self) -> CostTable | None:
        """What mistakes cost; None where nobody said so.

        Raises:
            BadCosts: what the recipe says is no table of its labels.
        """
        return make_costs(self.recipe.costs, self.recipe.labels)

    @property
    def prior(self) -> tuple[float, ...]:
        """In which shares labels come, () where nobody said so.

        Raises:
            BadPrior: what the recipe says is no prior of its labels.
        """
        return tuple(check_prior(self.recipe.prior, self.recipe.labels).values()) if self.recipe.prior else ()


@dataclass(frozen=True)
class Features:
    """A picture set with its features, float32 (n, width), by a backbone, and what was measured of the pictures that
    were decoded for them, by their file."""

    dataset: Dataset
    backbone: "Backbone"
    values: np.ndarray
    measured: "Mapping[Path, Measured]" = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class Cleaned(Features):
    """Features of a set as people left it, with its folds, int64 (n,)."""

    folds: np.ndarray


@dataclass(frozen=True)
class Candidate:
    """A judged model that is not published yet, with all that it was made from.

    `strangers` tell how well it refuses them, if there were any. `changes` tell what is new since an earlier run over
    the set, if there was another.
    """

    task: Task
    cleaned: Cleaned
    trained: "Trained"
    evaluation: "Evaluation"
    strangers: "Strangers | None" = None
    changes: "Changes | None" = None


RECIPES = import_root() / "recipes"
# Where the card's command looks for one's own pictures: the folders of this machine are nobody's business.
PICTURES = "pictures"


def train_command(options: Namespace, recipe: Recipe) -> str:
    """The command that makes such a model, for its card: it runs in a checkout, and names no folder of this machine.

    A recipe of one's own is written out as its classes. Pictures of a list come from the manifest that is published
    beside the card. Visitors' pictures are left out, as they are not published.
    """
    words = ["train.py"]
    classes = {spec.label: spec.query for spec in recipe.classes}
    plain = make_recipe(classes, recipe.name)
    shipped = RECIPES / options.recipe.name if options.recipe else None
    if shipped and shipped.is_file():
        read = read_recipe(shipped)
        if replace(read, title=recipe.title, region=recipe.region, costs=recipe.costs, prior=recipe.prior) == recipe:
            words, plain = [*words, f"{RECIPES.name}/{shipped.name}"], read
    if len(words) == 1:
        for label, query in classes.items():
            words += ["--class", label if query == label else f"{label}={query}"]
    for name in ("title", "region"):
        if getattr(recipe, name) != getattr(plain, name):
            words += [f"--{name}", getattr(recipe, name)]
    costs = {key: cost for key, cost in recipe.costs.items() if plain.costs.get(key) != cost}
    words += [word for key, cost in costs.items() for word in ("--cost", f"{key}={_short(cost)}")]
    if recipe.prior and recipe.prior != plain.prior:
        words += ["--prior", ",".join(f"{label}:{_short(share)}" for label, share in recipe.prior.items())]
    words += [word for value in options.more for word in ("--more", value)]
    words += ["--search", _public_sources(options.search), "--license", options.license, "--arch", options.arch]
    for name in ("size", "resize", "fine_tune", "min_scale", "presize", "mult", "coverage"):
        if getattr(options, name) != getattr(TrainConfig, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    flags = ("--no-shifts", "--find-rate", "--int8")
    words += [flag for flag in flags if getattr(options, flag[2:].replace("-", "_"))]
    return shlex.join(words)


def _short(number: float) -> str:
    """The shortest text that is read as this number."""
    return repr(int(number)) if number == int(number) else repr(number)


def _public_sources(search: str) -> str:
    own = f"folder:{PICTURES}"
    public = {"folder": own, "table": own, "urls": f"manifest:{MANIFEST}", "manifest": f"manifest:{MANIFEST}"}
    # The rest of a path with a comma in it is no source.
    parts = [part.strip() for part in search.split(",") if part.partition(":")[0].strip() in BACKENDS]
    named = [public.get(part.partition(":")[0], part) for part in parts if part.partition(":")[0] != "feedback"]
    return ",".join(dict.fromkeys(named))


def as_run(candidate: Candidate) -> Run:
    """The run that made a candidate, which has no revision yet."""
    from spotter.evaluate.ood import score_known
    from spotter.train.backbone import feature_cache

    task, cleaned, trained = candidate.task, candidate.cleaned, candidate.trained
    dataset = cleaned.dataset
    cache = feature_cache(cleaned.backbone, dataset.folder)
    familiarity = score_known(trained, cleaned.folds, candidate.evaluation.familiarity, FamiliarityConfig())
    return Run(
        folder=dataset.folder,
        recipe=task.recipe,
        config=task.config,
        command=task.command,
        store="",
        revision="",
        threshold=candidate.evaluation.familiarity.threshold,
        features=cache.name,
        width=cache.width,
        keys=tuple(str(record.sha256) for record in dataset.records),
        given=tuple(record.label for record in dataset.records),
        probabilities=spread(trained.probabilities, trained.judged),
        familiarity=spread(familiarity, trained.judged),
        folds=cleaned.folds,
    )
