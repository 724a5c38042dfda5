"""A stand-in for `torch.cuda`: code for NVIDIA's GPUs runs without one, and is held to CUDA's rules.

    with standin(devices=2) as machine:
        x = torch.ones(3, device="cuda:1")

torch has to be built without CUDA. Its own Python code in `torch.cuda` runs, on imitations of what it calls in
C++. Tensors on a card are tensors of the CPU that show another device to Python (tensors.py); every operation on
them is computed at once, on the CPU, so values are real, and the rules are kept by accounting:

- **Initialisation** (machine.py, streams.py). CUDA is initialised when it is first used, and not by asking which
  cards there are. Statistics of the allocator raise before. Contexts are logged; CUDA_VISIBLE_DEVICES, forks and
  EXCLUSIVE_PROCESS are as with CUDA. Initialising counts as a context on the current card: the strict reading.
- **Streams** (parts.py). A vector clock for each: memory that another stream wrote or reads has to be waited for,
  or the operation raises "race: …". Copies to the host that do not block arrive when they are waited for.
- **Waiting** (moves.py, plans.py). What torch checks by `set_sync_debug_mode` is checked, as far as the lists in
  plans.py go.
- **Captures** (graphs.py). Operations are recorded, not executed: results are NaN (zero for integers) until a
  replay. What a capture does not permit raises, and leaves stream, pool and generators as torch leaves them.
- **Random numbers** (generators.py). The rules are those of torch up to 2.12, where a generator has to be
  registered with a graph; `lazy_generators=True` is 2.13. The numbers are those of the CPU's generator.
- **Errors of the device** (execution.py). An index out of range is found at the next wait, and stays.
- **Memory** (machine.py, parts.py). Tensors, cuBLAS's workspaces and graphs are counted; `hazards` lists memory
  that was freed while another stream may still use it.
- **NVML** (nvml.py) and **processes** (processes.py, ../startup/sitecustomize.py).

Sources: torch 2.13's installed Python code, and copies, some of them a little older or newer, of CUDAGraph.cpp,
CUDAGeneratorImpl.cpp, CUDACachingAllocator.cpp, CUDAFunctions.cpp and Copy.cu. **No GPU has confirmed any of it.**

Not imitated: time (nothing runs asynchronously, so speed means nothing here); rounding, TF32 and cuDNN (the CPU's
kernels compute); kernels launched by hand, torch.compile, torch.profiler, peer access, IPC, MPS and MIG; reuse of
freed memory by the allocator, and its fragmentation (what is freed keeps its values); the streams of backward (it
runs on the stream that is current, not on that of forward); a host that writes to pinned memory while it is being
copied; `.data = x` from the CPU to a card; `record_stream`. Code in C++ takes the tensors to be on the CPU: a
composite operation may make a helper tensor there, which then raises "Expected all tensors to be on the same
device" wrongly (see ADOPTING in plans.py).
"""

from cuda_standin.installation import install, standin
from cuda_standin.machine import Machine, Options
from cuda_standin.tensors import CudaTensor

__all__ = ["CudaTensor", "Machine", "Options", "install", "standin"]
