"""torchrun's process group as a `Team`: gloo on CPUs, NCCL between GPUs. One process is the trivial case."""

import contextlib
import io
import itertools
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mnist_ops.errors import MnistOpsError, RunError
from mnist_ops.parallel.team import ALONE, Team

if TYPE_CHECKING:  # PyTorch is imported late: a single process does not need it here
    from torch import Tensor
    from torch._C._distributed_c10d import Store

ANSWER = timedelta(seconds=20)  # in which every process must reach the same step, else the job ends
MEETING = timedelta(minutes=10)  # in which all must have started
TELLING = timedelta(days=7)  # for what the leader does alone: a download, the rate search
PLACE = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # set by torchrun


class SilentError(MnistOpsError):
    """This process fails because another has, which reports it: an error without a text."""


@contextlib.contextmanager
def joined() -> Iterator[Team]:
    """The team in which torchrun started this process; ALONE without torchrun, or with a single process.

    An error within the block ends all processes: the first that fails raises its own, the others SilentError."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or not all(name in os.environ for name in PLACE):
        yield ALONE
        return
    import torch
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    try:
        store, rank, size = next(rendezvous("env://", timeout=MEETING))
        # Separate from the keys of an earlier attempt.
        store = dist.PrefixStore(f"attempt {_attempt()}", store)  # type: ignore[attr-defined]
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=ANSWER)
    except RuntimeError as error:
        raise RunError(f"the {os.environ['WORLD_SIZE']} processes of this job have not found each other at "
                       f"{os.environ['MASTER_ADDR']} ({_brief(error)}); check torchrun's addresses") from error
    store.set_timeout(TELLING)
    messages = itertools.count()
    try:
        yield Team(rank, size, _add, lambda value: _tell(store, f"told {next(messages)}", rank, value))
    except MnistOpsError as error:
        if _is_first(store):
            raise
        silent = SilentError()
        silent.exit_code = error.exit_code
        raise silent from error
    finally:
        dist.destroy_process_group()


def restarted() -> bool:
    """Whether torchrun has restarted this job after a process failed."""
    return _attempt() > 0


def _attempt() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def _add(values: "Tensor") -> None:
    """Replace the tensor by the sum over all processes; the same bits in each."""
    import torch.distributed as dist

    try:
        dist.all_reduce(values)
    except RuntimeError as error:
        raise RunError("another process of this job has ended, or has not answered for "
                       f"{ANSWER.seconds} seconds ({_brief(error)}); see its output or torchrun's. Finished epochs are "
                       "kept: continue with --resume") from error


def _tell(store: "Store", key: str, rank: int, value: Any) -> Any:
    """In every process the leader's value: plain data and tensors, read back without running any code."""
    import torch

    try:
        if rank == 0:
            content = io.BytesIO()
            torch.save(value, content)
            store.set(key, content.getvalue())  # type: ignore[arg-type]  # which takes bytes too
            return value
        return torch.load(io.BytesIO(store.get(key)), map_location="cpu", weights_only=True)
    except RuntimeError as error:
        raise RunError(f"the first process of this job has ended ({_brief(error)}); see its output or torchrun's") \
            from error


def _is_first(store: "Store") -> bool:
    """Whether this process is the first to fail; also true if the store's process has ended."""
    try:
        return int(store.add("failed", 1)) == 1
    except RuntimeError:
        return True


def _brief(error: RuntimeError) -> str:
    """The first sentence of PyTorch's message, which is the cause, without the place in PyTorch's source."""
    return str(error).strip().partition("\n")[0].partition(". ")[0].rpartition("] ")[2][:200]
