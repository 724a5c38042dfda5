"""The promises of a problem."""

from __future__ import annotations

from benchmnist.testing import parameters

CHECKS = (parameters.loads_quietly,)
