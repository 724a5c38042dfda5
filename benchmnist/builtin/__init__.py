"""The first-party plugin, registered by the entry point `builtin` as any other plugin is."""

from __future__ import annotations

from dataclasses import replace

from benchmnist.builtin.problems import PROBLEMS
from benchmnist.extensions.hookspecs import hookimpl
from benchmnist.extensions.specs import (
    CLASSIFICATION,
    AugmentationSpec,
    DatasetSpec,
    ExecutorSpec,
    MetricSpec,
    ModelSpec,
    OptimizerSpec,
    ProblemSpec,
    ScheduleSpec,
    TaskSpec,
)
from benchmnist.metrics import OF_CLASSIFICATION, RANKING_TEST_LOSS, Metric

RECONSTRUCTION, NEXT_TOKEN, FUNCTION = "reconstruction", "next-token", "function"
_BUILTIN = "benchmnist.builtin"
_OPTIMIZERS = "benchmnist.builtin.optimizers"
_SCHEDULES = "benchmnist.builtin.schedules"
_DATASETS = "benchmnist.builtin.datasets"
_AUGMENTATIONS = "benchmnist.builtin.augmentations"
_VARIANTS = "benchmnist.builtin.variants"
_FUSED = {
    "RMSprop": ("cpu", "cuda"),
    "Adagrad": ("cpu",),
    "Adam": ("cpu", "cuda"),
    "AdamW": ("cpu", "cuda"),
    "SGD": ("cpu", "cuda"),
}
"""The types of device on which torch has fused optimizers; RMSprop's is Adam's."""


@hookimpl
def benchmnist_models() -> list[ModelSpec]:
    """Returns the built-in models."""
    return [
        ModelSpec(name=name, summary=summary, build=f"{_BUILTIN}.{where}", task=task)
        for task, models in (
            (
                CLASSIFICATION,
                (
                    ("logistic", "models:logistic", "one linear layer: logistic regression"),
                    ("fc", "models:fc", "one hidden layer with ReLU; the notebook's question 1"),
                    ("fc-bn", "models:fc_bn", "fc with batch normalisation after the ReLU; question 2"),
                    ("fc-bn-dropout", "models:fc_bn_dropout", "fc-bn with dropout after it; question 3"),
                    ("cnn", "models:cnn", "two convolutions and three linear layers; question 4"),
                    ("lenet5", "models:lenet5", "LeNet-5, with tanh and average pooling (LeCun et al. 1998)"),
                    ("2c2d", "models:two_c_two_d", "two convolutions, two linear layers; DeepOBS's 2c2d"),
                    ("deep-narrow", "models:deep_narrow", "many narrow layers without normalisation"),
                    ("badly-scaled", "models:badly_scaled", "two hidden layers, one in another unit"),
                    ("gru", "sequences:gru", "reads the rows of an image with gated recurrent units"),
                    ("lstm", "sequences:lstm", "reads the rows of an image with long short-term memory"),
                    ("vit", "transformers:vit", "small vision transformer (Dosovitskiy et al. 2021)"),
                    ("mlp-mixer", "transformers:mlp_mixer", "small MLP-mixer (Tolstikhin et al. 2021)"),
                ),
            ),
            (
                RECONSTRUCTION,
                (
                    ("deep-autoencoder", "autoencoders:deep_autoencoder", "784-1000-500-250-30 and back (2006)"),
                    ("small-autoencoder", "autoencoders:small_autoencoder", "784-128-16 and back"),
                ),
            ),
            (
                NEXT_TOKEN,
                (
                    ("pixel-gru", "sequences:pixel_gru", "predicts the next pixel with gated recurrent units"),
                    ("pixel-transformer", "sequences:pixel_transformer", "predicts the next pixel by attention"),
                ),
            ),
        )
        for name, where, summary in models
    ]


@hookimpl
def benchmnist_optimizers() -> list[OptimizerSpec]:
    """Returns every optimizer of torch.optim that trains dense parameters, and two named configurations of SGD."""
    named = [
        OptimizerSpec(
            name=class_name.lower(),
            summary=f"torch.optim.{class_name}",
            build=f"{_OPTIMIZERS}:{class_name.lower()}",
            elementwise=class_name != "Adafactor",  # which keeps sums over rows and columns
            capturable=class_name not in ("Adafactor", "Adagrad"),  # torch's own have no `capturable`
            fused=_FUSED.get(class_name, ()),
        )
        for class_name in (
            "Adadelta",
            "Adafactor",
            "Adagrad",
            "Adam",
            "Adamax",
            "AdamW",
            "ASGD",
            "NAdam",
            "RAdam",
            "RMSprop",
            "Rprop",
            "SGD",
        )
    ]
    momenta = [
        OptimizerSpec(
            name=name,
            summary=f"torch.optim.SGD with {summary}",
            build=f"{_OPTIMIZERS}:sgd",
            defaults=defaults,
            elementwise=True,
            capturable=True,
            fused=_FUSED["SGD"],
        )
        for name, summary, defaults in (
            ("momentum", "momentum 0.9", {"momentum": 0.9}),
            ("nesterov", "Nesterov momentum 0.9", {"momentum": 0.9, "nesterov": True}),
        )
    ]
    return [
        *named,
        *momenta,
        OptimizerSpec(
            name="lbfgs",
            summary="torch.optim.LBFGS, on each batch by itself",
            build=f"{_OPTIMIZERS}:lbfgs",
            # With torch's 1 it ends in NaN on batches of MNIST by chance: 7 of 12 seeds and thread counts.
            defaults={"lr": 0.1},
            needs_closure=True,
            passes=None,
            groups=False,
        ),
        OptimizerSpec(
            name="muon",
            summary="torch.optim.Muon on the hidden matrices, AdamW on the rest",
            build=f"{_OPTIMIZERS}:muon",
        ),
    ]


@hookimpl
def benchmnist_schedules() -> list[ScheduleSpec]:
    """Returns the usual learning-rate schedules, from torch.optim.lr_scheduler."""
    return [
        ScheduleSpec(name=name, summary=summary, build=f"{_SCHEDULES}:{name.replace('-', '_')}")
        for name, summary in (
            ("constant", "as it is"),
            ("cosine", "along half a cosine, down to nothing"),
            ("linear-warmup-cosine", "up in a straight line, then along half a cosine"),
            ("onecycle", "up and down again in one cycle (Smith, Topin 2018)"),
            ("step", "a tenth after each third of the training"),
        )
    ]


@hookimpl
def benchmnist_augmentations() -> list[AugmentationSpec]:
    """Returns changes of the training images, configured from one function, and any transform of torchvision."""
    ours = [
        AugmentationSpec(
            name=name,
            summary=summary,
            build=f"{_AUGMENTATIONS}:mixed",
            defaults=defaults,
            draws=13,
            pure=True,
        )
        for name, summary, defaults in (
            ("none", "the images as they are; with parameters, any of the changes below together", {}),
            ("crop", "cut out of the image with a border of black", {"padding": 4}),
            ("flip", "left and right exchanged in half of the images", {"flip": 0.5}),
            ("crop-flip", "crop and flip, the usual of CIFAR", {"padding": 4, "flip": 0.5}),
            ("rotation", "rotated by up to 15 degrees", {"degrees": 15}),
            ("affine", "rotated by up to 10 degrees, scaled by up to 10 %", {"degrees": 10, "scale": 0.1}),
            ("jitter", "other brightness and contrast", {"brightness": 0.2, "contrast": 0.2}),
            ("erasing", "a random rectangle black in half of the images", {"erase": 0.5}),
        )
    ]
    theirs = AugmentationSpec(
        name="torchvision",
        summary="a `transform` of torchvision.transforms.v2, image by image; slow",
        build=f"{_AUGMENTATIONS}:of_torchvision",
    )
    return [*ours, theirs]


@hookimpl
def benchmnist_datasets() -> list[DatasetSpec]:
    """Returns MNIST, which the package includes, its variants, and datasets that torchvision provides."""
    published = [
        DatasetSpec(name=name, summary=summary, build=f"{_DATASETS}:{name.replace('-', '_')}")
        for name, summary in (
            ("mnist", "60,000 and 10,000 handwritten digits, 28x28; comes with BenchMNIST"),
            ("fashion-mnist", "60,000 and 10,000 articles of clothing, 28x28"),
            ("kmnist", "60,000 and 10,000 cursive Japanese characters, 28x28"),
            ("qmnist", "60,000 and 60,000 digits: MNIST with its lost test images"),
            ("emnist", "112,800 and 18,800 letters and digits, 47 balanced classes, 28x28"),
            ("cifar10", "50,000 and 10,000 photographs of 10 kinds of things, 32x32, in colour"),
            ("cifar100", "50,000 and 10,000 photographs of 100 kinds of things, 32x32, in colour"),
            ("svhn", "73,257 and 26,032 digits of house numbers, 32x32, in colour"),
        )
    ] + [
        DatasetSpec(
            name="noise",
            summary="no data: random numbers for the steps of the task function",
            build=f"{_BUILTIN}.noise:noise",
            task=FUNCTION,
        )
    ]
    variants = [
        DatasetSpec(name=f"mnist-{name}", summary=summary, build=f"{_VARIANTS}:{name.replace('-', '_')}")
        for name, summary in (
            ("noisy-labels", "MNIST with the share `noise` of its training labels wrong"),
            ("imbalanced", "MNIST with ever fewer training images per class, down to one in `ratio`"),
            ("rotated", "MNIST with each image rotated by a random angle of up to `degrees`"),
            ("permuted", "MNIST with the pixels of every image in one other order"),
        )
    ]
    return [*published, *variants]


@hookimpl
def benchmnist_tasks() -> list[TaskSpec]:
    """Returns the built-in tasks: classes, pixels, and the pixel after those before."""
    return [
        TaskSpec(
            name=CLASSIFICATION,
            summary="the class of each image; cross-entropy, judged by accuracy",
            build="benchmnist.tasks:Classification",
            metrics=OF_CLASSIFICATION,
            pure=True,
        ),
        TaskSpec(
            name=RECONSTRUCTION,
            summary="the pixels of each image; cross-entropy of an image, judged by that of the test set",
            build="benchmnist.tasks:Reconstruction",
            metrics=(
                RANKING_TEST_LOSS,
                Metric("test_error", "squared test error of an image", "", "lower", heading="error"),
            ),
            pure=True,
        ),
        TaskSpec(
            name=NEXT_TOKEN,
            summary="the level of the next pixel; cross-entropy of a pixel, judged by that of the test set",
            build="benchmnist.tasks:NextToken",
            metrics=(
                RANKING_TEST_LOSS,
                Metric(
                    "token_accuracy", "test accuracy of the next pixel", "%", "higher", heading="token accuracy"
                ),
            ),
            pure=True,
        ),
        TaskSpec(
            name=FUNCTION,
            summary="a function of the parameters of the model; judged by the value less its minimum",
            build="benchmnist.tasks:Function",
            metrics=(replace(RANKING_TEST_LOSS, unit="", form="figures"),),
            pure=True,
        ),
    ]


@hookimpl
def benchmnist_metrics() -> list[MetricSpec]:
    """The share of examples whose class is among the k highest logits."""
    return [
        MetricSpec(
            name="top-k",
            summary="share of images whose class is among the k highest logits; k = 5",
            build="benchmnist.builtin.metrics:top_k",
            title="top-k test accuracy",
            unit="%",
            better="higher",
        )
    ]


@hookimpl
def benchmnist_executors() -> list[ExecutorSpec]:
    """Returns the executors that train in this process and in worker processes."""
    return [
        ExecutorSpec(
            name="inline",
            summary="trains in the same process",
            build="benchmnist.executors.inline:InlineExecutor",
        ),
        ExecutorSpec(
            name="local",
            summary="trains in long-lived worker processes on this machine; the default",
            build="benchmnist.executors.local:LocalExecutor",
            isolated=True,
        ),
    ]


@hookimpl
def benchmnist_problems() -> list[ProblemSpec]:
    """Returns the built-in problems."""
    return [*PROBLEMS]
