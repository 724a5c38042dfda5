"""The executor `slurm`, for BenchMNIST: trials as jobs of SLURM, by submitit."""

from __future__ import annotations

from benchmnist import ExecutorOption, ExecutorSpec, hookimpl

BENCHMNIST_API = 1


@hookimpl
def benchmnist_executors() -> list[ExecutorSpec]:
    """Returns the executor for SLURM."""
    return [
        ExecutorSpec(
            name="slurm",
            summary="trains in jobs of SLURM; the run folder has to be one that every node sees",
            build="benchmnist_slurm.executor:SlurmExecutor",
            isolated=True,
            remote=True,
            options=(
                ExecutorOption(name="partition", summary="As sbatch's.  [default: SLURM's own]"),
                ExecutorOption(name="account", summary="As sbatch's."),
                ExecutorOption(
                    name="time", type=int, default=60, summary="Minutes that a job, a trial, may take."
                ),
                ExecutorOption(
                    name="cpus",
                    type=int,
                    default=1,
                    summary="Reserved for a trial, unless its case says num_cpus.",
                ),
                ExecutorOption(
                    name="gpus",
                    type=int,
                    summary="Reserved for a trial, unless its case says num_gpus. By default 1 with --device "
                    "cuda, else 0.",
                ),
                ExecutorOption(
                    name="array", type=int, default=32, summary="How many jobs are queued or running at most."
                ),
                ExecutorOption(
                    name="sbatch",
                    summary="More of sbatch's options: constraint=a100;nice=100.",
                ),
                ExecutorOption(
                    name="retries",
                    type=int,
                    default=2,
                    summary="How often a trial is begun anew whose job was killed or whose node failed.",
                ),
                ExecutorOption(
                    name="cluster",
                    default="slurm",
                    summary="slurm; or local: processes on this machine, to try a suite before it is sent off.",
                ),
            ),
        )
    ]
