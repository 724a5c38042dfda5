"""Times the parts of a step of fc with Adam: torch's kernels called by hand, and JAX's step with parts left out.

Not part of the tests: `python tests/benchmarks/parts_of_a_step.py CORE`. One thread, pinned to the core; medians
(10 % quantiles) in microseconds, of the clock for torch, of the processor's time for JAX, if it is installed. The
images are as sparse as those of MNIST, but random.
"""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import torch

from benchmnist.training.torch_internals import onednn_product

if TYPE_CHECKING:
    from collections.abc import Callable

    Seconds = dict[str, list[float]]

SIZE, PIXELS, HIDDEN, CLASSES, BATCH = 60_000, 784, 500, 10, 100
STEPS, ROUNDS = 60, 30
ATEN: Any = torch.ops.aten


def by_hand(seconds: Seconds) -> None:
    """Makes steps by kernels alone, without autograd, modules and an optimizer, and times each part."""
    images = torch.rand(SIZE, PIXELS)
    images[images < 0.8] = 0
    labels = torch.randint(CLASSES, (SIZE,))
    layers = torch.nn.Linear(PIXELS, HIDDEN), torch.nn.Linear(HIDDEN, CLASSES)
    weights = [each.detach() for layer in layers for each in (layer.weight, layer.bias)]
    first, bias, second, offset = weights
    means, squares = ([torch.zeros_like(each) for each in weights] for _ in range(2))
    counts, one = [torch.zeros(()) for _ in weights], torch.ones(())
    options = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0, "eps": 1e-8, "amsgrad": False}

    def step(chosen: torch.Tensor) -> None:
        times = [perf_counter()]

        def done(part: str) -> None:
            times.append(perf_counter())
            seconds.setdefault(part, []).append(times[-1] - times[-2])

        x, y = images.index_select(0, chosen), labels.index_select(0, chosen)
        done("fetching the batch")
        hidden = onednn_product(x, first, bias).relu_()
        done("first layer, ReLU")
        logits = ATEN.addmm.default(offset, hidden, second.t())
        done("second layer")
        logs = ATEN._log_softmax.default(logits, 1, False)
        _, total = ATEN.nll_loss_forward.default(logs, y, None, 1, -100)
        gradient = ATEN.nll_loss_backward.default(one, logs, y, None, 1, -100, total)
        gradient = ATEN._log_softmax_backward_data.default(gradient, logs, 1, torch.float32)
        done("loss and its gradient")
        of_second, of_offset = gradient.t().mm(hidden), gradient.sum(0)
        before = ATEN.threshold_backward.default(gradient.mm(second), hidden, 0)
        of_bias = before.sum(0)
        done("small gradients")
        of_first = onednn_product(before.t(), x.t(), None)
        done("gradient of the first weights")
        ATEN._foreach_add_.Scalar(counts, 1)
        gradients = [of_first, of_bias, of_second, of_offset]
        ATEN._fused_adam_.default(weights, gradients, means, squares, [], counts, **options, maximize=False)
        done("Adam")
        seconds.setdefault("all", []).append(times[-1] - times[0])

    with torch.no_grad():
        for chosen in torch.randperm(SIZE)[: ROUNDS * STEPS * BATCH].split(BATCH):
            step(chosen)


def by_jax(seconds: Seconds) -> None:  # noqa: C901 - its parts share what they are made of
    """Makes steps by JAX in compiled scans of 60, in turn: whole, and without some parts."""
    import jax
    import jax.numpy as jnp

    keys = iter(jax.random.split(jax.random.key(0), 99))
    images = jax.random.uniform(next(keys), (12_000, PIXELS))
    images = jnp.where(images < 0.8, 0, images)
    labels = jax.random.randint(next(keys), (12_000,), 0, CLASSES)

    def loss(weights: Any, x: Any, y: Any) -> Any:
        (first, bias), (last, offset) = weights
        logits = jax.nn.relu(x @ first + bias) @ last + offset
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

    def adam(state: Any, gradient: Any) -> Any:
        weights, mean, square, steps = state
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, gradient)
        square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, square, gradient)

        def updated(w: Any, m: Any, s: Any) -> Any:
            return w - 1e-3 * (m / (1 - 0.9**steps)) / (jnp.sqrt(s / (1 - 0.999**steps)) + 1e-8)

        return jax.tree.map(updated, weights, mean, square), mean, square, steps + 1

    def sgd(state: Any, gradient: Any) -> Any:
        return jax.tree.map(lambda w, g: w - 1e-3 * g, state[0], gradient), *state[1:]

    def training(update: Any) -> Any:
        def step(state: Any, chosen: Any) -> Any:
            value, gradient = jax.value_and_grad(loss)(state[0], images[chosen], labels[chosen])
            return update(state, gradient), value

        return step

    def forward(state: Any, chosen: Any) -> Any:
        value = loss(state[0], images[chosen], labels[chosen])
        return (*state[:3], state[3] + value), value

    def update_alone(state: Any, _: Any) -> Any:
        return adam(state, state[0]), state[3]

    def product(state: Any, _: Any) -> Any:
        made = (images[:BATCH] + state[3]) @ state[0][0][0]
        return (*state[:3], state[3] + 1e-9 * made[0, 0]), made[0, 0]

    def product_of_gradient(state: Any, _: Any) -> Any:
        made = (images[:BATCH] + state[3]).T @ state[0][0][0][:BATCH]
        return (*state[:3], state[3] + 1e-9 * made[0, 0]), made[0, 0]

    def normal(*shape: int) -> Any:
        return 0.03 * jax.random.normal(next(keys), shape)

    def timed(step: Any) -> Callable[[], float]:
        scan = jax.jit(lambda state, order: jax.lax.scan(step, state, order), donate_argnums=0)
        weights = [(normal(PIXELS, HIDDEN), jnp.zeros(HIDDEN)), (normal(HIDDEN, CLASSES), jnp.zeros(CLASSES))]
        zeros = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
        state: Any = (weights, *zeros, jnp.float32(1))

        def run() -> float:
            nonlocal state
            order = jnp.asarray(torch.randperm(12_000)[: STEPS * BATCH].view(STEPS, BATCH).numpy())
            start = process_time()
            state, values = scan(state, order)
            values.block_until_ready()
            return (process_time() - start) / STEPS

        run()  # which compiles
        return run

    steps = {"step": training(adam), "step with SGD": training(sgd), "forward": forward, "Adam": update_alone}
    steps |= {"product": product, "product of gradient": product_of_gradient}
    ways = {name: timed(step) for name, step in steps.items()}
    for _ in range(ROUNDS):
        for name in random.sample([*ways], len(ways)):
            seconds.setdefault(f"JAX, {name}", []).append(ways[name]())


def main() -> None:
    """Prints the times of the parts."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    torch.set_num_threads(1)
    seconds: Seconds = {}
    by_hand(seconds)
    if importlib.util.find_spec("jax"):
        by_jax(seconds)
    for part, found in seconds.items():
        found.sort()
        low, median = (1e6 * found[int(len(found) * share)] for share in (0.1, 0.5))
        sys.stdout.write(f"{part:30} {median:7.0f} ({low:.0f})\n")


if __name__ == "__main__":
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"  # JAX, which reads it, is imported later
    main()
