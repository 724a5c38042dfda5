"""Objects that are kept from the garbage collector, and those that it looks at again afterwards."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from benchmnist.garbage import not_collecting, quick_imports, spared

def counted():
    global counts
    counts += 1
    return count()

counts, count, gc.get_freeze_count = 0, gc.get_freeze_count, counted
gc.collect()
held = [[] for _ in range(1000)]
with not_collecting():
    assert not gc.isenabled()
    with not_collecting():
        pass
    assert not gc.isenabled()
assert gc.isenabled() and count() == 0
assert any(each is held for each in gc.get_objects(generation=2))  # the next small collection passes it by
with spared():
    assert count() > 1000
    with not_collecting():
        pass
assert count() == 0
more = [[] for _ in range(1000)]
with quick_imports():
    pass
assert count() == 0
assert any(each is more for each in gc.get_objects(generation=2))
with quick_imports(ours=True):
    pass
frozen = count()
assert frozen > 2000
counts = 0
for _ in range(100):
    with not_collecting(), spared(), quick_imports():
        later = [[] for _ in range(10)]
assert count() >= frozen  # what somebody froze stays so
assert counts <= 1  # each time, all frozen objects are looked at
"""


def test_what_is_frozen_stays_so_and_is_counted_once() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
