"""The device, threads and precision of a run: resolves "auto" in the config."""

import contextlib
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from mnist_ops.config import Config, Device
from mnist_ops.errors import TrainingError, UsageError

BEST_FIRST: tuple[Device, ...] = ("cuda", "mps", "cpu")
# PyTorch's warning that an operation has no deterministic implementation
UNDETERMINED = re.compile(r"(\w+)\b.*\bdeterministic\b.*use_deterministic_algorithms", re.DOTALL)


def resolve(config: Config) -> Config:
    """The config with device, threads and precision settled for this machine. Changes nothing.

    Compiled steps compute in float32.

    Raises UsageError if the requested device is not available."""
    device = _device(config.device)
    precision = config.precision
    if precision == "auto":
        precision = "bfloat16" if computes_bfloat16(device) and config.engine != "compiled" else "float32"
    return replace(config, device=device, threads=config.threads or usual_threads(), precision=precision)


def share_out(config: Config, jobs: int | None, most: int) -> tuple[Config, int]:
    """How runs of `config` share this machine: the config with device and threads settled, and the runs at a time.

    jobs: the requested number; None: one per core, 1 on a GPU. At most `most`. Each run gets the threads of the config
    or of $OMP_NUM_THREADS, else its share of the cores. Raises UsageError as `resolve`."""
    device = _device(config.device)
    jobs = min(jobs or (available_cores() if device == "cpu" else 1), most)
    return replace(config, device=device, threads=config.threads or usual_threads(jobs)), jobs


def usual_threads(processes: int = 1) -> int:
    """The default number of threads of a process: $OMP_NUM_THREADS, or its share of the cores."""
    limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(limit) if limit.isdecimal() and int(limit) else max(1, available_cores() // processes)


def available_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local_place() -> tuple[int, int]:
    """This process's number on this machine, from 0, and the number of the job's processes here, from torchrun."""
    return int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def activate(config: Config) -> torch.device:
    """Set PyTorch's threads and, if asked for, its deterministic mode; return the device. The config is resolved.

    The processes of a job share the threads, and each needs its own GPU. Raises UsageError if there are too few."""
    place, processes = local_place()
    threads = max(1, config.threads // processes)
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    if config.device == "cuda" and processes > 1:
        if place >= torch.cuda.device_count():
            raise UsageError(f"device: {processes} processes but {torch.cuda.device_count()} GPUs on this machine; "
                             "expected one each. Start fewer processes, or use --device cpu")
        torch.cuda.set_device(place)  # the one that "cuda" then means
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False  # it would choose the algorithm by timing
    if config.device == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # TF32 is not float32
    if torch.are_deterministic_algorithms_enabled() != config.deterministic:  # the call loads PyTorch's compiler
        torch.use_deterministic_algorithms(config.deterministic, warn_only=True)
    return torch.device(config.device)


@contextlib.contextmanager
def memory_of(config: Config, path: Path) -> Iterator[None]:
    """Raises TrainingError if the block, which trains the run in `path`, runs out of memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and "can't allocate" not in str(error):
            raise
        raise TrainingError(f"{path}: out of memory on {config.device} with batch size {config.batch_size}; "
                            "try a smaller --batch-size") from error


def computes_bfloat16(device: str) -> bool:
    """Whether the device supports bfloat16 natively; emulated, it is several times slower than float32."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def is_available(device: Device | Literal["auto"]) -> bool:
    """Whether this machine has the device."""
    match device:
        case "cuda":
            return torch.cuda.is_available()
        case "mps":
            return torch.backends.mps.is_available()
        case "cpu" | "auto":
            return True


def _device(asked: Device | Literal["auto"]) -> Device:
    there = [name for name in BEST_FIRST if is_available(name)]
    if asked == "auto":
        return there[0]
    if asked not in there:
        raise UsageError(f"device: {asked} is not available; available: {', '.join(there)}")
    return asked


@contextlib.contextmanager
def undetermined(operations: list[str]) -> Iterator[None]:
    """Within the block, collect the operations that PyTorch reports as nondeterministic.

    It does so only in the deterministic mode of `activate`. Other warnings are passed on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message=r"(?s).*use_deterministic_algorithms", category=UserWarning)
        yield
    for warning in caught:
        if found := UNDETERMINED.match(str(warning.message)):
            operations.append(found[1])
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno,
                                   source=warning.source)
