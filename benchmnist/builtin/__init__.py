"""The first-party plugin: registered by the entry point `builtin`, exactly as a stranger's is."""

from __future__ import annotations

from benchmnist.hookspecs import hookimpl
from benchmnist.specs import DatasetSpec, ExecutorSpec, ModelSpec, OptimizerSpec

_MODELS = "benchmnist.builtin.models"
_OPTIMIZERS = "benchmnist.builtin.optimizers"
_DATASETS = "benchmnist.builtin.datasets"


@hookimpl
def benchmnist_models() -> list[ModelSpec]:
    """The models."""
    return [
        ModelSpec(name=name, summary=summary, build=f"{_MODELS}:{attribute}")
        for name, attribute, summary in (
            ("logistic", "logistic", "one linear layer: logistic regression"),
            ("fc", "fc", "one hidden layer with ReLU; the notebook's question 1"),
            ("fc-bn", "fc_bn", "fc with batch normalisation after the ReLU; question 2"),
            ("fc-bn-dropout", "fc_bn_dropout", "fc-bn with dropout after it; question 3"),
            ("cnn", "cnn", "two convolutions and three linear layers; question 4"),
            ("lenet5", "lenet5", "LeNet-5, with tanh and average pooling (LeCun et al. 1998)"),
            ("2c2d", "two_c_two_d", "two convolutions, two linear layers; DeepOBS's 2c2d"),
        )
    ]


@hookimpl
def benchmnist_optimizers() -> list[OptimizerSpec]:
    """Every optimizer of torch.optim that trains dense parameters, and two named configurations of SGD."""
    named = [
        OptimizerSpec(name=name, summary=f"torch.optim.{class_name}", build=f"{_OPTIMIZERS}:{name}")
        for name, class_name in (
            ("adadelta", "Adadelta"),
            ("adafactor", "Adafactor"),
            ("adagrad", "Adagrad"),
            ("adam", "Adam"),
            ("adamax", "Adamax"),
            ("adamw", "AdamW"),
            ("asgd", "ASGD"),
            ("nadam", "NAdam"),
            ("radam", "RAdam"),
            ("rmsprop", "RMSprop"),
            ("rprop", "Rprop"),
            ("sgd", "SGD"),
        )
    ]
    return [
        *named,
        OptimizerSpec(
            name="momentum",
            summary="torch.optim.SGD with momentum 0.9",
            build=f"{_OPTIMIZERS}:sgd",
            defaults={"momentum": 0.9},
        ),
        OptimizerSpec(
            name="nesterov",
            summary="torch.optim.SGD with Nesterov momentum 0.9",
            build=f"{_OPTIMIZERS}:sgd",
            defaults={"momentum": 0.9, "nesterov": True},
        ),
        OptimizerSpec(
            name="lbfgs",
            summary="torch.optim.LBFGS, on each batch by itself",
            build=f"{_OPTIMIZERS}:lbfgs",
            needs_closure=True,
        ),
        OptimizerSpec(
            name="muon",
            summary="torch.optim.Muon on the hidden matrices, AdamW on the rest",
            build=f"{_OPTIMIZERS}:muon",
        ),
    ]


@hookimpl
def benchmnist_datasets() -> list[DatasetSpec]:
    """MNIST, which comes with the package, and its kin, which come through torchvision."""
    return [
        DatasetSpec(name=name, summary=summary, build=f"{_DATASETS}:{name.replace('-', '_')}")
        for name, summary in (
            ("mnist", "60,000 and 10,000 handwritten digits, 28x28; comes with BenchMNIST"),
            ("fashion-mnist", "60,000 and 10,000 articles of clothing, 28x28"),
            ("kmnist", "60,000 and 10,000 cursive Japanese characters, 28x28"),
            ("qmnist", "60,000 and 60,000 digits: MNIST with its lost test images"),
            ("emnist", "112,800 and 18,800 letters and digits, 47 balanced classes, 28x28"),
        )
    ]


@hookimpl
def benchmnist_executors() -> list[ExecutorSpec]:
    """In this process, or in a worker process."""
    return [
        ExecutorSpec(
            name="inline",
            summary="trains in the same process",
            build="benchmnist.executors.inline:InlineExecutor",
        ),
        ExecutorSpec(
            name="local",
            summary="trains in one long-lived worker process; the default",
            build="benchmnist.executors.local:LocalExecutor",
        ),
    ]
