"""What the machine is and what it can do: name, cores, matrix products and copies a second, memory of a process."""

import datetime
import platform
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch

from mnist_ops.device import available_cores, computes_bfloat16
from mnist_ops.run.provenance import commit, processor

SIDE = 1024  # of the square matrices


def describe(device: str, threads: int) -> dict[str, Any]:
    """For the record of a measurement."""
    found: dict[str, Any] = {
        "processor": processor(), "architecture": platform.machine(), "cores": available_cores(),
        "memory_bytes": memory_bytes(), "device": device, "threads": threads,
        "native_bfloat16": computes_bfloat16(device),
        "torch": str(torch.__version__), "python": platform.python_version(), "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    if device == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    return found


def memory_bytes() -> int | None:
    """Of the machine, where the system tells it."""
    try:
        listed = Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return None
    total = re.search(r"^MemTotal:\s*(\d+) kB", listed, re.MULTILINE)
    return int(total[1]) * 1024 if total else None


def peak_bytes() -> int:
    """The most memory that this process has had at once.

    Linux counts what getrusage tells from before the process was this program, so there its own record is read."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        high = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    except OSError:
        high = None
    if high:
        return int(high[1]) * 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def matrix_rates(device: str, threads: int, seconds: float) -> dict[str, float]:
    """Floating-point operations a second in products of two 1024x1024 matrices; by precision, where it is native."""
    torch.set_num_threads(threads)
    kinds = {"float32": torch.float32} | ({"bfloat16": torch.bfloat16} if computes_bfloat16(device) else {})
    rates = {}
    for name, kind in kinds.items():
        one, other, result = (torch.rand(SIDE, SIDE, device=device).to(kind) for _ in range(3))

        def product(one: torch.Tensor = one, other: torch.Tensor = other, result: torch.Tensor = result) -> None:
            torch.mm(one, other, out=result)

        rates[name] = 2 * SIDE**3 * calls_per_second(product, device, seconds)
    return rates


def memory_rate(device: str, threads: int, seconds: float, numbers: int) -> float:
    """Bytes a second that a copy of many numbers reads and writes together."""
    torch.set_num_threads(threads)
    source = torch.ones(numbers, device=device)
    target = torch.zeros(numbers, device=device)
    return 2 * source.numel() * source.element_size() * calls_per_second(lambda: target.copy_(source), device, seconds)


def calls_per_second(call: Any, device: str, seconds: float) -> float:
    """The rate of the fastest fifth of the calls: of what the machine can do while nobody disturbs it."""
    call()
    synchronise(device)
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < until:
        before = time.perf_counter()
        call()
        synchronise(device)
        times.append(time.perf_counter() - before)
    fastest = sorted(times)[:max(1, len(times) // 5)]
    return len(fastest) / sum(fastest)


def synchronise(device: str) -> None:
    """Wait until the device has done all that it was given: before every look at a clock."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
