"""Import of torchvision, repaired."""

from __future__ import annotations

from benchmnist.extensions.torchvision_repair import repair_torchvision


def import_torchvision() -> None:
    """Imports torchvision, even if its compiled operators do not fit the installed torch.

    Raises:
        ImportError, RuntimeError: if it fails in any other way.
    """
    repair_torchvision()
    import torchvision  # noqa: F401
