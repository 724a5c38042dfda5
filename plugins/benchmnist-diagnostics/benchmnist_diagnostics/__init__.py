"""Problems that show where an optimizer breaks: functions, each with a ladder of levels from easy to hard."""

from __future__ import annotations

from benchmnist import ModelSpec, ProblemSpec, hookimpl
from benchmnist_diagnostics.problems import MODELS, PROBLEMS


@hookimpl
def benchmnist_models() -> list[ModelSpec]:
    """Returns the functions, models of the task `function`."""
    return list(MODELS)


@hookimpl
def benchmnist_problems() -> list[ProblemSpec]:
    """Returns the problems."""
    return list(PROBLEMS)
