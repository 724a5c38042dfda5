"""A stand-in for `torch.cuda`."""

from cuda_standin.machine import Machine, Options
from cuda_standin.runtime import install, standin
from cuda_standin.tensors import CudaTensor

__all__ = ["CudaTensor", "Machine", "Options", "install", "standin"]
