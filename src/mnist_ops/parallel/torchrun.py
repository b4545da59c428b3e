"""torchrun's process group as a `Team`: gloo on processors, NCCL between GPUs. One process is the trivial case."""

import contextlib
import io
import itertools
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mnist_ops.errors import MnistOpsError, RunError
from mnist_ops.parallel.team import ALONE, Team

if TYPE_CHECKING:  # PyTorch is imported late: one process needs none of it here
    from torch import Tensor
    from torch._C._distributed_c10d import Store

ANSWER = timedelta(seconds=20)  # in which every process must come to the same step; then the job ends
MEETING = timedelta(minutes=10)  # in which all must have started
TELLING = timedelta(days=7)  # what the leader does alone may take its time: a download, the search of the rate
PLACE = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun tells each process


class SilentError(MnistOpsError):
    """This process fails because another has, which has said so: an error without a text."""


@contextlib.contextmanager
def joined() -> Iterator[Team]:
    """The team that torchrun has started this process in; ALONE without torchrun, or where it has started but one.

    An error within the block ends all processes: the first that fails raises its own, the others SilentError."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or not all(name in os.environ for name in PLACE):
        yield ALONE
        return
    import torch
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    try:
        store, rank, size = next(rendezvous("env://", timeout=MEETING))
        # Apart from what an earlier attempt has left there.
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
    """Whether torchrun has started this job anew after one of its processes had failed."""
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
                       f"{ANSWER.seconds} seconds ({_brief(error)}); see what it or torchrun says. Finished epochs are "
                       "kept: go on with --resume") from error


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
        raise RunError(f"the first process of this job has ended ({_brief(error)}); see what it or torchrun says") \
            from error


def _is_first(store: "Store") -> bool:
    """Whether no process has failed before this one; true too where the store has gone with who kept it."""
    try:
        return int(store.add("failed", 1)) == 1
    except RuntimeError:
        return True


def _brief(error: RuntimeError) -> str:
    """The first sentence of what PyTorch says, which is the cause, without its place in PyTorch's source."""
    return str(error).strip().partition("\n")[0].partition(". ")[0].rpartition("] ")[2][:200]
