"""Odd things to put into suites, for fuzzing.py."""

from __future__ import annotations

import datetime as dt
from typing import Any

RICH = """
[suite]
name = "rich"
title = "Everything that a suite may have"
order = "interleaved"
[defaults]
dataset = "mnist"
epochs = 2
batch_size = 32
seeds = [0, 1, 7]
clip_grad_norm = 1.0
label_smoothing = 0.1
init_seed = 3
precision = "float32"
engine = "resident"
train_size = 200
test_size = 100
target_accuracy = 90.0
margin = 0.5
spread = 0.2
reference = true
resources.num_cpus = 1
marks = ["fast"]
expect.accuracy = ">= 10.0"
baseline = "sgd"
[models.wide]
use = "fc"
hidden_size = 64
sweep.dropout = [0.0, 0.5]
[optimizers.sgd]
lr = 0.1
schedule = "cosine"
[optimizers.mine]
use = "adam"
betas = [0.9, 0.99]
clip_grad_norm = 2.0
space.lr = { low = 1e-5, high = 1e-1, log = true }
space.eps = [1e-8, 1e-6]
space.model.dropout = [0.1, 0.2]
[schedules.linear]
warmup = 0.1
[tune]
trials = 4
sampler = "tpe"
seed = 1
seeds = 2
validation_size = 100
epochs = 1
[[cases]]
models = ["fc", "wide"]
optimizers = ["sgd", "mine"]
label = "short"
[[cases]]
models = ["fc"]
optimizers = ["sgd"]
schedules = ["linear"]
engines = ["dataloader", "resident"]
[[compare]]
optimizers = ["mine"]
with = "sgd"
on = ["fc"]
"""
DIGITS = "1" * 5000
LINES = (
    *(
        f"x = {'[' * 3000}",
        f"x = {'[' * 300}1{']' * 300}",
        f"x = {'{a = ' * 500}1{'}' * 500}",
        f"seeds = {DIGITS}",
    ),
    *(
        f"epochs = 0x{DIGITS}",
        f"lr = {DIGITS}.0",
        f"lr = 1e{DIGITS}",
        "lr = 1979-05-27T07:32:00Z",
        "[a.b]",
        "[[a]]",
    ),
    *(".".join("k" * 300) + " = 1", f"[{'.'.join('k' * 300)}]", f'title = "{"long " * 5000}"', "\ufeff", "\x00"),
    *('title = "\\u0000\\u001b[31m\\n"', "seeds = 100000000000", "é = 1", "lr = '''", 'x = """', "= 1", "[", "]]"),
    f"seeds = [{', '.join(map(str, range(3000)))}]",
    "seeds = [\n" + "".join(f"  {n},\n" for n in range(6000)) + "]",
    "sweep.lr = [\n" + "".join(f"  {n}.5,\n" for n in range(6000)) + "]",
)
"""Lines that are put into a suite."""
BYTES = (
    b"\xff",
    b"\xc3",
    b"\x00",
    b"\x1b",
    b"\r",
    b"\n",
    b"\xef\xbb\xbf",
    b'"',
    b"'",
    b"[",
    b"]",
    b"{",
    b"=",
    b"#",
)
NAMES = ("", " ", "a b", "ä", "a/b", "__", "\x00", "\x1b[31m", "line\nline", "x" * 2000, "a__b", "conftest", "-x")


def nested(depth: int) -> list[Any]:
    """Returns a list in a list in a list …"""
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


VALUES: tuple[Any, ...] = (
    *(float("inf"), float("-inf"), float("nan"), -1, 0, 1, 2, 1e308, -1e308, 5e-324, 0.0, -0.0, 0.5, True, False),
    *(2**31, 2**32, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400, 10**5000, 100_000_000_000, [], {}, [[]], [{}]),
    *NAMES,
    *([], [""], ["fc", "fc"], ["fc"] * 400, [-0.5, 0.5], [0, 10**30], [float("nan")] * 3, [True], [1, "1", 1.0]),
    *({"low": 0, "high": 1e308}, {"low": 1e-320, "high": 1e308, "log": True}, {"low": -(10**400), "high": 1}),
    *({"a": {"b": {"c": 1}}}, {"low": 1, "high": float("inf")}, {"lr": [*range(2000)]}, {"x" * 2000: 1}, {"": 0}),
    *(dt.date(1979, 5, 27), dt.time(7, 32), dt.datetime(1979, 5, 27, tzinfo=dt.UTC)),
    *(
        [*range(5000)],
        [f"n{n}" for n in range(3000)],
        nested(20),
        nested(150),
        "adam",
        "sgd",
        "fc",
        ">= 1e999",
        "nan",
    ),
    {f"k{n}": [*range(100)] for n in range(8)},
    {
        "lr": [*range(1, 101)],
        "momentum": [0.1, 0.2, 0.3],
        "weight_decay": [*range(100)],
        "dampening": [*range(99)],
    },
)
"""Values that are put at every key."""
WRONG = (DIGITS, "{", "[" * 2000, '"', "nope", "1__0", "0b2", "-", "+inf", "1.")
"""What is put where a value was."""
