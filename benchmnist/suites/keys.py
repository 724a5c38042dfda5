"""The key of a case: a hash of everything that decides its result, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from benchmnist.extensions.kinds import PARTS, SETS
from benchmnist.suites.cases import GROUPS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmnist.suites.cases import Case


def case_key(case: Case, data: str, platform: Mapping[str, Any], *, stored: bool = False) -> str:
    """The key of a case, of 32 characters.

    Args:
        case: What is to be trained.
        data: The digest of its dataset's contents.
        platform: What else decides what comes out: the device, the versions of torch and of BenchMNIST.
        stored: Whether the case was read from a file, and has the key of the version that wrote it: without the
            fields that were added later.
    """
    decides = case.deciding(stored=stored)
    for kind, component in case.parts.items():
        decides[kind] = component.model_dump(mode="json", exclude={"name", "variant"}, exclude_unset=stored)
    content = json.dumps({"case": decides, "data": data, "platform": dict(platform)}, sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def lasting(case: Case) -> dict[str, Any]:
    """Returns what determines a case, without its seeds, names, and the versions of what it is made of.

    A case that was stored and read again has the same.
    """
    # Not model_dump: it keeps the infinities, which a stored case has as strings.
    found: dict[str, Any] = json.loads(case.model_dump_json(exclude=case.not_deciding | {"seeds"}))
    for kind in PARTS:
        if part := found[kind.name]:
            groups = {GROUPS: part[GROUPS]} if part[GROUPS] else {}
            found[kind.name] = {"use": part["use"], "params": part["params"], **groups}
    for kind in SETS:
        found[kind.plural] = [{key: part[key] for key in ("name", "use", "params")} for part in found[kind.plural]]
    return found
