"""The executor `ray`, for BenchMNIST: trials as tasks of a Ray cluster."""

from __future__ import annotations

from benchmnist import ExecutorOption, ExecutorSpec, hookimpl

BENCHMNIST_API = 1


@hookimpl
def benchmnist_executors() -> list[ExecutorSpec]:
    """Returns the executor for Ray, on this machine or on a cluster."""
    return [
        ExecutorSpec(
            name="ray",
            summary="trains on a Ray cluster; on one of its own, on this machine, where there is none",
            build="benchmnist_ray.executor:RayExecutor",
            isolated=True,
            remote=True,
            options=(
                ExecutorOption(
                    name="address",
                    summary="The cluster, HOST:PORT; else the one that runs on this machine, or a new one.",
                ),
                ExecutorOption(
                    name="num_cpus", type=float, default=1.0, summary="Reserved for a trial, unless its case says."
                ),
                ExecutorOption(
                    name="num_gpus",
                    type=float,
                    summary="Reserved for a trial, unless its case says; 0.5 has two share one. By default 1 with "
                    "--device cuda, else 0.",
                ),
                ExecutorOption(
                    name="retries",
                    type=int,
                    default=2,
                    summary="How often a trial is begun anew whose Ray worker or node went away.",
                ),
                ExecutorOption(
                    name="wait",
                    type=float,
                    default=0.0,
                    summary="Seconds to wait for a node that has what a trial asks for, as of an autoscaler.",
                ),
            ),
        )
    ]
