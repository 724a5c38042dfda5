"""The functions and the problems that are made of them: levels, budgets and targets."""

from __future__ import annotations

from typing import Any

from benchmnist import ModelSpec, ProblemSpec

STEPS = 500
SETTINGS: dict[str, Any] = {
    "steps": STEPS,
    "batch_size": 1,
    "evaluate_every": 10,
    "target_loss": 0.01,
    "stop_at_target": True,
    "engine": "stacked",
}
"""Settings of every problem. The starting points of most are about 1 away from the minimum in each coordinate."""

_SHAPES = "benchmnist_diagnostics.shapes"
_GRADIENTS = "benchmnist_diagnostics.gradients"


def _model(name: str, where: str, summary: str, surrogate_gradients: str = "") -> ModelSpec:
    return ModelSpec(
        name=name, summary=summary, build=where, task="function", surrogate_gradients=surrogate_gradients
    )


MODELS = (
    _model("quadratic", f"{_SHAPES}:Quadratic", "an ill-conditioned quadratic function"),
    _model("ravine", f"{_SHAPES}:Ravine", "Hinton's ravine: steep across, flat along"),
    _model("rosenbrock", f"{_SHAPES}:Rosenbrock", "Rosenbrock's curved valley"),
    _model("beale", f"{_SHAPES}:Beale", "Beale's function: flat and steep"),
    _model("saddle", f"{_SHAPES}:Saddle", "a saddle, approached along its ridge"),
    _model("plateau", f"{_SHAPES}:Plateau", "a hole in a plain"),
    _model("layer-scale", f"{_SHAPES}:LayerScale", "a deep linear network whose layers have other scales"),
    _model(
        "gaussian-noise",
        f"{_GRADIENTS}:GaussianNoise",
        "a quadratic function; gradients with normal noise",
        "noise is added",
    ),
    _model(
        "heavy-tails",
        f"{_GRADIENTS}:HeavyTails",
        "a quadratic function; noise of Student's t distribution",
        "noise is added",
    ),
    _model("sparse", f"{_GRADIENTS}:Sparse", "a quadratic function; each coordinate rarely has a gradient"),
    _model(
        "delayed",
        f"{_GRADIENTS}:Delayed",
        "a quadratic function; gradients of an earlier point",
        "those of an earlier point",
    ),
    _model("moving-target", f"{_GRADIENTS}:MovingTarget", "a quadratic function whose minimum moves"),
    _model(
        "sign-flips",
        f"{_GRADIENTS}:SignFlips",
        "a quadratic function; some gradients have the wrong sign",
        "noise is added, and some have the wrong sign",
    ),
    _model(
        "min-max",
        f"{_GRADIENTS}:MinMax",
        "a game of two players, whose gradients turn",
        "each player has those of its own loss",
    ),
)


def _problem(
    name: str,
    summary: str,
    *,
    model: str,
    key: str,
    levels: dict[str, float],
    solved_by: dict[str, Any],
    source: str,
    model_params: dict[str, Any] | None = None,
    **settings: Any,
) -> ProblemSpec:
    return ProblemSpec(
        name=name,
        summary=summary,
        model=model,
        dataset="noise",
        model_params=model_params or {},
        settings={**SETTINGS, **settings},
        levels={level: {f"model.{key}": value} for level, value in levels.items()},
        solved_by=solved_by,
        source=source,
    )


def _powers(*exponents: int) -> dict[str, float]:
    return {f"1e{exponent}": 10.0**exponent for exponent in exponents}


def _plain(*values: float) -> dict[str, float]:
    return {f"{value:g}": value for value in values}


PROBLEMS = (
    _problem(
        "axis-aligned",
        "quadratics by condition number",
        model="quadratic",
        key="condition",
        levels=_powers(1, 2, 3, 4, 6, 8),
        solved_by={"optimizer": "momentum", "lr": 0.05},
        source="Nocedal and Wright 2006",
    ),
    _problem(
        "rotated",
        "rotated quadratics by condition number",
        model="quadratic",
        key="condition",
        levels={"1e1": 10, "3e1": 30, "1e2": 100, "3e2": 300, "1e3": 1000, "3e3": 3000, "1e4": 1e4},
        solved_by={"optimizer": "momentum", "lr": 0.05},
        source="Nocedal and Wright 2006",
        model_params={"rotated": True},
    ),
    _problem(
        "ravine",
        "ravines by steepness",
        model="ravine",
        key="steepness",
        levels=_powers(1, 2, 3, 4, 6, 8),
        solved_by={"optimizer": "momentum", "lr": 0.05},
        source="Hinton, Srivastava and Swersky 2012, lecture 6",
    ),
    _problem(
        "rosenbrock",
        "Rosenbrock's valleys by steepness",
        model="rosenbrock",
        key="b",
        levels=_plain(1, 10, 30, 100, 300, 1000),
        solved_by={"optimizer": "adam", "lr": 0.1},
        source="Rosenbrock 1960",
    ),
    _problem(
        "beale",
        "Beale's function by distance of the start",
        model="beale",
        key="distance",
        levels=_plain(0.5, 1, 2, 4, 8, 64, 10000),
        solved_by={"optimizer": "adam", "lr": 0.05},
        source="Beale 1958",
    ),
    _problem(
        "saddle",
        "saddles by the curvature across the way out",
        model="saddle",
        key="sharpness",
        levels=_plain(10, 30, 100, 300, 1000, 10000),
        solved_by={"optimizer": "momentum", "lr": 0.05},
        source="Dauphin et al. 2014",
    ),
    _problem(
        "plateau",
        "plateaus by distance of the hole",
        model="plateau",
        key="distance",
        levels=_plain(1, 3, 5, 7, 12, 16),
        solved_by={"optimizer": "adam", "lr": 0.05},
        source="Schaul, Antonoglou and Silver 2014",
    ),
    _problem(
        "layer-scale",
        "deep linear networks by ratio of scales",
        model="layer-scale",
        key="ratio",
        levels=_powers(0, 1, 2, 3, 4, 6),
        solved_by={"optimizer": "adam", "lr": 0.02},
        source="You, Gitman and Ginsburg 2017",
    ),
    _problem(
        "gaussian-noise",
        "noise by its standard deviation",
        model="gaussian-noise",
        key="noise",
        levels=_plain(0.1, 0.3, 1, 1.5, 2, 3),
        solved_by={"optimizer": "sgd", "lr": 0.02},
        source="Schaul, Antonoglou and Silver 2014",
    ),
    _problem(
        "heavy-tails",
        "heavy-tailed noise by its degrees of freedom",
        model="heavy-tails",
        key="freedom",
        levels=_plain(4, 2, 1.5, 1.2, 1, 0.7),
        solved_by={"optimizer": "sgd", "lr": 0.02},
        source="Zhang et al. 2020",
    ),
    _problem(
        "sparse",
        "sparse gradients by how often a coordinate has one",
        model="sparse",
        key="share",
        levels=_plain(0.5, 0.1, 0.03, 0.01, 0.003),
        solved_by={"optimizer": "sgd", "lr": 0.1},
        source="Duchi, Hazan and Singer 2011",
    ),
    _problem(
        "delayed",
        "delayed gradients by steps of delay",
        model="delayed",
        key="delay",
        levels={f"{delay}": delay for delay in (1, 8, 16, 32, 64, 128)},
        solved_by={"optimizer": "sgd", "lr": 0.02},
        source="Zinkevich, Smola and Langford 2009",
    ),
    _problem(
        "moving-target",
        "moving minima by their speed per step",
        model="moving-target",
        key="speed",
        levels=_plain(0.003, 0.01, 0.03, 0.1, 0.2, 0.3),
        solved_by={"optimizer": "momentum", "lr": 0.05},
        source="Schaul, Antonoglou and Silver 2014",
    ),
    _problem(
        "sign-flips",
        "false gradients by their share",
        model="sign-flips",
        key="share",
        levels=_plain(0, 0.1, 0.2, 0.3, 0.4, 0.45),
        solved_by={"optimizer": "sgd", "lr": 0.05},
        source="Bernstein et al. 2019",
    ),
    _problem(
        "min-max",
        "games by their pull towards the equilibrium",
        model="min-max",
        key="pull",
        levels=_plain(1, 0.5, 0.3, 0.2, 0.1, 0),
        solved_by={"optimizer": "sgd", "lr": 0.1},
        source="Mescheder, Geiger and Nowozin 2018",
    ),
)
