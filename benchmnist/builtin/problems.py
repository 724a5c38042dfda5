"""The built-in problems, on data that is at hand without a download."""

from __future__ import annotations

from typing import Any

from benchmnist.extensions.specs import ProblemSpec

_ADAM = {"optimizer": "adam", "lr": 1e-3}
_OF_VARIANTS = {"steps": 600, "batch_size": 100, "evaluate_every": 50}


def _within(steps: int, **target: float) -> dict[str, Any]:
    """Returns the settings of a problem with a budget in steps, tested on 2,000 images."""
    return {"steps": steps, "batch_size": 100, "evaluate_every": 50, "test_size": 2000, **target}


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
    ProblemSpec(
        name="mnist-noisy-labels",
        summary="ever more wrong labels, in percent: 90 % on right ones in 600 steps",
        model="fc",
        dataset="mnist-noisy-labels",
        settings={**_OF_VARIANTS, "target_accuracy": 90.0},
        levels={f"{percent}": {"dataset.noise": percent / 100} for percent in (20, 40, 60, 80)},
        solved_by=_ADAM,
        source="Zhang et al. 2017, Understanding deep learning requires rethinking generalization",
    ),
    ProblemSpec(
        name="mnist-imbalanced",
        summary="ever fewer images of the last classes: 85 % on all classes alike in 600 steps",
        model="fc",
        dataset="mnist-imbalanced",
        settings={**_OF_VARIANTS, "target_accuracy": 85.0},
        levels={f"{ratio}": {"dataset.ratio": float(ratio)} for ratio in (10, 50, 100, 500)},
        solved_by=_ADAM,
        source="Cui et al. 2019, Class-balanced loss based on effective number of samples",
    ),
    ProblemSpec(
        name="mnist-rotated",
        summary="digits rotated by ever larger angles, in degrees: 85 % in 600 steps",
        model="fc",
        dataset="mnist-rotated",
        settings={**_OF_VARIANTS, "target_accuracy": 85.0},
        levels={f"{degrees}": {"dataset.degrees": float(degrees)} for degrees in (30, 90, 180)},
        solved_by=_ADAM,
        source="Larochelle et al. 2007, An empirical evaluation of deep architectures",
    ),
    ProblemSpec(
        name="mnist-permuted",
        summary="the pixels in another order, which no convolution helps with: 94 % in 600 steps",
        model="fc",
        dataset="mnist-permuted",
        settings={**_OF_VARIANTS, "target_accuracy": 94.0},
        solved_by=_ADAM,
        source="Goodfellow et al. 2013, An empirical investigation of catastrophic forgetting",
    ),
    ProblemSpec(
        name="deep-autoencoder",
        summary="the deep autoencoder of Hinton and Salakhutdinov: 105 nats in 600 steps",
        model="deep-autoencoder",
        task="reconstruction",
        settings=_within(600, target_loss=105.0),
        solved_by={"optimizer": "adam", "lr": 1e-3},
        source="Martens, Deep learning via Hessian-free optimization, 2010",
    ),
    ProblemSpec(
        name="small-autoencoder",
        summary="784-128-16 and back: 112 nats in 600 steps",
        model="small-autoencoder",
        task="reconstruction",
        settings=_within(600, target_loss=112.0),
        solved_by={"optimizer": "adam", "lr": 1e-2},
    ),
    ProblemSpec(
        name="next-pixel",
        summary="the next of 49 pixels by a recurrent network: 0.54 nats in 300 steps",
        model="pixel-gru",
        task="next-token",
        settings=_within(300, target_loss=0.54),
        solved_by={"optimizer": "adam", "lr": 1e-2},
    ),
    ProblemSpec(
        name="rows-gru",
        summary="gated recurrent units over the rows of an image: 90 % in 300 steps",
        model="gru",
        settings=_within(300, target_accuracy=90.0),
        solved_by={"optimizer": "adam", "lr": 1e-2},
    ),
    ProblemSpec(
        name="rows-lstm",
        summary="long short-term memory over the rows of an image: 86 % in 300 steps",
        model="lstm",
        settings=_within(300, target_accuracy=86.0),
        solved_by={"optimizer": "adam", "lr": 1e-2},
    ),
    ProblemSpec(
        name="vit",
        summary="small vision transformer: 82 % in 600 steps",
        model="vit",
        settings=_within(600, target_accuracy=82.0),
        solved_by={"optimizer": "adam", "lr": 3e-3},
        source="Dosovitskiy et al., An image is worth 16x16 words, 2021",
    ),
    ProblemSpec(
        name="mlp-mixer",
        summary="small MLP-mixer: 86 % in 600 steps",
        model="mlp-mixer",
        settings=_within(600, target_accuracy=86.0),
        solved_by={"optimizer": "adam", "lr": 3e-3},
        source="Tolstikhin et al., MLP-Mixer: an all-MLP architecture for vision, 2021",
    ),
    ProblemSpec(
        name="deep-narrow",
        summary="ever more layers whose gradients vanish: 80 % in 600 steps",
        model="deep-narrow",
        settings=_within(600, target_accuracy=80.0),
        levels={str(depth): {"model.depth": depth} for depth in (5, 10, 20, 40)},
        solved_by={"optimizer": "adam", "lr": 3e-3},
        source="Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010",
    ),
    ProblemSpec(
        name="badly-scaled",
        summary="one layer with ever larger gradients: 88 % in 300 steps",
        model="badly-scaled",
        settings=_within(300, target_accuracy=88.0),
        levels={str(scale): {"model.scale": float(scale)} for scale in (10, 100, 1000, 10000)},
        solved_by={"optimizer": "adam", "lr": 1e-3},
    ),
)
"""By name; a level of `mnist-few` is its number of training examples.

With Adam at its default rate and 600 steps, `fc` ends at 95.3, 94.1, 91.8 and 84.3 % with 20 to 80 % of wrong
labels, at 94.6 and 84.4 % with ratios of 10 and 100, at 93.3, 88.4 and 83.5 % rotated by up to 30, 90 and 180
degrees, and at 95.6 % permuted (means of three seeds).
"""
