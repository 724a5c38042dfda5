"""The only list of the kinds of plugin.

Hooks, the registry, suites, cases, keys, the pre-flight, `benchmnist plugins`, `check` and `new-plugin`, and the
reference derive from KINDS. CONTRIBUTING.md has the recipe for a new kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmnist.extensions.specs import (
    PARTS_OF_PROBLEMS,
    AugmentationSpec,
    DatasetSpec,
    ExecutorSpec,
    MetricSpec,
    ModelSpec,
    NamedSpec,
    OptimizerSpec,
    ProblemSpec,
    ScheduleSpec,
    TaskSpec,
)

Role = Literal["axis", "setting", "set", "bundle", ""]


@dataclass(frozen=True)
class Kind:
    """One kind of plugin.

    Attributes:
        name: Its name in sentences, and of the field of Case that has it: `optimizer`.
        spec: The class that a plugin returns one of for each thing of this kind.
        harness: The parameters of `build` that the harness passes, and that a suite must not set.
        checks: The conformance checks, `"module:attribute"`.
        role: Its part in a case. `axis`: a case has one, a suite lists several, and the id of the case has its
            name. `setting`: a case has one or none; the id has its name where a suite lists several.
            `set`: a case has all that the suite lists. `bundle`: a suite lists it in place of what it bundles,
            things of other kinds, and a case has those. Empty: it is no part of a case.
        default: The name that a suite need not give; None where it must, or where there is none by default.
        new_cases: The [[cases]] of the suite that `benchmnist new-plugin` writes, `$name` being the new plugin's;
            its module is `benchmnist/cli/templates/<name>.py.txt`. Empty where there is no template.
    """

    name: str
    spec: type[NamedSpec]
    harness: tuple[str, ...]
    checks: str
    role: Role = ""
    default: str | None = None
    new_cases: str = ""

    @property
    def plural(self) -> str:
        """The key of its tables and lists in a suite: `optimizers`, as in [optimizers.NAME]."""
        return f"{self.name}s"

    @property
    def hook(self) -> str:
        """The hook by which a plugin offers things of this kind."""
        return f"benchmnist_{self.plural}"

    @property
    def has_setting(self) -> bool:
        """True if [defaults] and [[cases]] take its name in the singular: `dataset = "mnist"`."""
        return self.role == "setting" or (self.role == "axis" and self.default is not None)


DATASET = Kind(
    name="dataset",
    spec=DatasetSpec,
    harness=("root",),
    checks="benchmnist.testing.datasets:CHECKS",
    role="axis",
    default="mnist",
    new_cases='dataset = "$name"\nmodels = ["logistic", "fc"]\noptimizers = ["adam"]',
)
MODEL = Kind(
    name="model",
    spec=ModelSpec,
    harness=("input_shape", "num_classes", "output_shape"),
    checks="benchmnist.testing.models:CHECKS",
    role="axis",
    new_cases='models = ["fc", "$name"]\noptimizers = ["adam"]',
)
OPTIMIZER = Kind(
    name="optimizer",
    spec=OptimizerSpec,
    harness=("model", "total_steps"),
    checks="benchmnist.testing.optimizers:CHECKS",
    role="axis",
    new_cases='models = ["fc"]\noptimizers = ["adam", "$name"]\nbaseline = "adam"',
)
SCHEDULE = Kind(
    name="schedule",
    spec=ScheduleSpec,
    harness=("optimizer", "total_steps"),
    checks="benchmnist.testing.schedules:CHECKS",
    role="setting",
    new_cases='models = ["fc"]\noptimizers = ["adam"]\n'
    'schedules = ["constant", "$name"]\nbaseline = "adam/constant"',
)
AUGMENTATION = Kind(
    name="augmentation",
    spec=AugmentationSpec,
    harness=(),
    checks="benchmnist.testing.augmentations:CHECKS",
    role="setting",
    new_cases='models = ["fc"]\noptimizers = ["adam"]\naugmentations = ["none", "$name"]\nbaseline = "adam/none"',
)
TASK = Kind(
    name="task",
    spec=TaskSpec,
    harness=("label_smoothing",),
    checks="benchmnist.testing.tasks:CHECKS",
    role="setting",
    new_cases='dataset = "$name-waves"\nmodels = ["logistic", "fc"]\noptimizers = ["adam"]',
)
METRIC = Kind(
    name="metric",
    spec=MetricSpec,
    harness=(),
    checks="benchmnist.testing.metrics:CHECKS",
    role="set",
    new_cases='metrics = ["$name"]\nmodels = ["fc"]\noptimizers = ["sgd", "adam"]',
)
PROBLEM = Kind(
    name="problem",
    spec=ProblemSpec,
    harness=(),
    checks="benchmnist.testing.problems:CHECKS",
    role="bundle",
    new_cases='problems = ["$name"]\noptimizers = ["sgd", "adam"]',
)
EXECUTOR = Kind(
    name="executor",
    spec=ExecutorSpec,
    harness=("workplace",),
    checks="benchmnist.testing.executors:CHECKS",
)

KINDS = (DATASET, MODEL, OPTIMIZER, SCHEDULE, AUGMENTATION, TASK, METRIC, PROBLEM, EXECUTOR)
"""Every kind, in the order of `benchmnist plugins`."""
AXES = tuple(kind for kind in KINDS if kind.role == "axis")
"""The kinds whose names make the id of a case, in that order."""
SETTINGS = tuple(kind for kind in KINDS if kind.role == "setting")
SETS = tuple(kind for kind in KINDS if kind.role == "set")
PARTS = (*AXES, *SETTINGS)
"""The kinds of which a case may have one; each is a field of Case."""
BUNDLES = tuple(kind for kind in KINDS if kind.role == "bundle")
"""The kinds that [[cases]] list in place of others, those in BUNDLED."""
BUNDLED = tuple(kind for kind in PARTS if kind.name in PARTS_OF_PROBLEMS)
IN_SUITES = (*PARTS, *SETS, *BUNDLES)
"""The kinds that a suite names; each has a list and tables there."""
