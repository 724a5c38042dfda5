"""Trains an epoch of fc with Adam for each way that is named on stdin, and writes its seconds.

A process of one thread, started by bench_training.py, pinned to the core that is its argument.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmnist.training.fast_paths import find_fast_path
from benchmnist.training.speed import RECORDED
from benchmnist.training.torchvision_repair import import_torchvision

sys.path.insert(0, str(Path(__file__).parents[1]))
from training_support import component, make_case, setting_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Epoch = Callable[[], object]

DIGITS, BATCH, HIDDEN, RATE = 12_000, 100, 500, 1e-3


def notebook() -> Epoch:
    """The loop of the notebook: torchvision's conversion of every image in every epoch, eager Adam."""
    import_torchvision()
    from torchvision.transforms import ToPILImage, ToTensor

    data = setting_of(make_case(train_size=DIGITS)).dataset
    to_image, to_tensor = ToPILImage(), ToTensor()

    class Digits(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return DIGITS

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return to_tensor(to_image(data.train_images[index])), int(data.train_labels[index])

    loader = DataLoader(Digits(), batch_size=BATCH, shuffle=True)
    model = nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    criterion = nn.CrossEntropyLoss()

    def epoch() -> None:
        for images, labels in loader:
            loss = criterion(model(images.reshape(-1, 784)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def ours(engine: str = "auto", *, recorded: bool = True, **options: Any) -> Epoch:
    """This project, with the changes for speed that it adopts for `epochs` epochs."""
    case = make_case(
        optimizer=component("adam", lr=RATE), engine=engine, batch_size=BATCH, train_size=DIGITS, **options
    )
    setting = setting_of(case)
    if not recorded:
        os.environ[RECORDED] = "0"
    way = find_fast_path(setting)
    os.environ.pop(RECORDED, None)
    sys.stderr.write("; ".join((way.name, *way.remarks)) + "\n")
    trial, number = way.trial(setting, (0,)), 0

    def epoch() -> None:
        nonlocal number
        number += 1
        trial.begin(number)
        way.engine.train_epoch(trial, trial.order(DIGITS, number))

    return epoch


def jax() -> Epoch:
    """JAX, the whole epoch in one compiled scan."""
    import jax
    import jax.numpy as jnp

    setting = setting_of(make_case(train_size=DIGITS))
    data = setting.session.data(setting.dataset)
    images, labels = jnp.asarray(data.train[0].flatten(1).numpy()), jnp.asarray(data.train[1].numpy())
    layers = (nn.Linear(784, HIDDEN), nn.Linear(HIDDEN, 10))
    weights = [(jnp.asarray(e.weight.detach().t().numpy()), jnp.asarray(e.bias.detach().numpy())) for e in layers]

    def loss(weights: Any, x: Any, y: Any) -> Any:
        (first, bias), (last, offset) = weights
        logits = jax.nn.relu(x @ first + bias) @ last + offset
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

    def step(state: Any, chosen: Any) -> tuple[Any, Any]:
        weights, mean, square, steps = state
        value, gradient = jax.value_and_grad(loss)(weights, images[chosen], labels[chosen])
        steps += 1
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, gradient)
        square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, square, gradient)

        def updated(w: Any, m: Any, s: Any) -> Any:
            return w - RATE * (m / (1 - 0.9**steps)) / (jnp.sqrt(s / (1 - 0.999**steps)) + 1e-8)

        return (jax.tree.map(updated, weights, mean, square), mean, square, steps), value

    train = jax.jit(lambda state, order: jax.lax.scan(step, state, order), donate_argnums=0)
    zeros = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
    state: Any = (weights, *zeros, jnp.float32(0))

    def epoch() -> None:
        nonlocal state
        state, losses = train(state, jnp.asarray(torch.randperm(DIGITS).view(-1, BATCH).numpy()))
        losses.block_until_ready()

    return epoch


WAYS: dict[str, Callable[[], Epoch]] = {
    "notebook": notebook,
    "ours, dataloader": lambda: ours("dataloader"),
    "ours, without a change": lambda: ours(epochs=1),  # 120 steps are not worth a measurement
    "ours, not recorded": lambda: ours(recorded=False, epochs=10),
    "ours": lambda: ours(epochs=10),  # 1,200 steps are worth recording
    "ours, bf16": lambda: ours(epochs=10, precision="bf16"),
    **({"jax": jax} if importlib.util.find_spec("jax") else {}),
}


def reply(*words: object) -> None:
    sys.stdout.write("\t".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Writes the names of the ways; for each one on stdin, the seconds by the clock, and of the processor."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(sys.argv[1])})
    torch.manual_seed(0)
    epochs = {name: build() for name, build in WAYS.items()}
    for epoch in epochs.values():
        epoch()  # the first compiles
    reply(*WAYS)
    for line in sys.stdin:
        start, busy = perf_counter(), process_time()
        epochs[line.strip()]()
        reply(perf_counter() - start, process_time() - busy)


if __name__ == "__main__":
    main()
