from __future__ import annotations

import subprocess
import sys

import pytest


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_torchvision_can_be_imported_whatever_torch_it_was_built_for() -> None:
    program = (
        "from benchmnist.training.torchvision_repair import import_torchvision as repair\n"
        "from benchmnist.extensions.registry import find_plugins\n"
        "import sys; find_plugins(); assert 'torch' not in sys.modules or 'torchvision' not in sys.modules\n"
        "import torchvision.transforms.v2, torchvision.models\n"  # as a plugin may do
        "repair(); repair()\n"
        "from torchvision import datasets, transforms\n"
        "print(datasets.MNIST.__name__)"
    )
    assert run(program) == "MNIST"


def test_only_that_one_failure_is_repaired() -> None:
    program = (
        "import sys, types\n"
        "class Broken:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torchvision': raise RuntimeError('something else')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "from benchmnist.training.torchvision_repair import import_torchvision\n"
        "try: import_torchvision()\n"
        "except RuntimeError as error: print(error)"
    )
    assert run(program) == "something else"


def test_without_the_repair_a_cpu_build_fails_or_needs_none() -> None:
    """Says whether the repair is still needed: where this skips, it may one day be taken out."""
    program = "try:\n    import torchvision\n    print('fine')\nexcept RuntimeError as error:\n    print(error)"
    said = run(program)
    if said == "fine":
        pytest.skip("this torchvision fits this torch")
    assert said == "operator torchvision::nms does not exist"
