"""The built-in problems, on data that is at hand without a download."""

from __future__ import annotations

from benchmnist.extensions.specs import ProblemSpec

PROBLEMS = (
    ProblemSpec(
        name="mnist-logistic",
        summary="softmax regression, which is convex: 91.5 % in one epoch",
        model="logistic",
        settings={"epochs": 1, "batch_size": 100, "evaluate_every": 50, "target_accuracy": 91.5},
        solved_by={"optimizer": "adam", "lr": 5e-3},
    ),
    ProblemSpec(
        name="mnist-fc",
        summary="one hidden layer with ReLU: 97 % in three epochs",
        model="fc",
        settings={"epochs": 3, "batch_size": 100, "evaluate_every": 50, "target_accuracy": 97.0},
        solved_by={"optimizer": "adam", "lr": 1e-3},
    ),
    ProblemSpec(
        name="mnist-few",
        summary="batch normalisation and dropout on ever fewer digits: 86 % in 300 steps",
        model="fc-bn-dropout",
        settings={"steps": 300, "batch_size": 100, "evaluate_every": 10, "target_accuracy": 86.0},
        levels={"2000": {"train_size": 2000}, "1000": {"train_size": 1000}, "500": {"train_size": 500}},
        solved_by={"optimizer": "adam", "lr": 1e-3},
    ),
)
"""A level of `mnist-few` is its number of training examples."""
