"""torchrun's process group as a `Team`: gloo on CPUs, NCCL between GPUs. One process is the trivial case."""

import contextlib
import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mnist_ops.errors import MnistOpsError, RunError, UsageError, brief
from mnist_ops.parallel.team import ALONE, Team

if TYPE_CHECKING:  # PyTorch is imported late: a single process does not need it here
    from torch import Tensor
    from torch._C._distributed_c10d import Store

ANSWER, VARIABLE = 20.0, "MNIST_OPS_ANSWER"  # seconds in which every process must reach the same step, else the job
# ends; the environment variable for another number
MEETING = timedelta(minutes=10)  # in which all must have started
ROLL_CALL = 3.0  # seconds in which all that have met an error say so
PLACE = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # set by torchrun


class SilentError(MnistOpsError):
    """This process fails because another has, which reports it: an error without a text."""


@contextlib.contextmanager
def joined() -> Iterator[Team]:
    """The team in which torchrun started this process; ALONE without torchrun, or with a single process.

    An error within the block ends all processes: the first that fails raises its own, the others SilentError. So does
    a process that is not heard of for ANSWER seconds, or those of the environment variable."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or not all(name in os.environ for name in PLACE):
        yield ALONE
        return
    import torch
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    answer = _answer()
    try:
        store, rank, size = next(rendezvous("env://", timeout=MEETING))
        # Separate from the keys of an earlier attempt.
        store = dist.PrefixStore(f"attempt {_attempt()}", store)  # type: ignore[attr-defined]
        store.set(f"who {rank}", f"{socket.gethostname()}, process id {os.getpid()}")
        store.wait([f"who {one}" for one in range(size)], MEETING)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timedelta(seconds=answer))
    except RuntimeError as error:
        raise RunError(f"the {os.environ['WORLD_SIZE']} processes of this job have not found each other at "
                       f"{os.environ['MASTER_ADDR']} ({_brief(error)}); check torchrun's addresses") from error
    store.set_timeout(timedelta(seconds=answer))
    group = _Group(store, rank, size, answer)
    try:
        with group.present():
            yield Team(rank, size, group.add, group.tell)
    except MnistOpsError as error:
        if _is_first(store):
            raise
        silent = SilentError()
        silent.exit_code = error.exit_code
        raise silent from error
    finally:
        dist.destroy_process_group()


def _answer() -> float:
    """The seconds to wait for another process. Raises UsageError if the environment has no such number."""
    text = os.environ.get(VARIABLE) or str(ANSWER)
    with contextlib.suppress(ValueError):
        if 1 <= (seconds := float(text)) <= 86_400:
            return seconds
    raise UsageError(f"${VARIABLE}: found {brief(text)}, expected seconds from 1 to 86,400 in which every process of "
                     "this job must answer")


def restarted() -> bool:
    """Whether torchrun has restarted this job after a process failed."""
    return _attempt() > 0


def _attempt() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@dataclass(eq=False)
class _Group:
    """What the processes of a job tell each other, through sums and the store of torchrun's agent."""

    store: "Store"
    rank: int
    size: int
    answer: float  # seconds
    told: int = 0

    @contextlib.contextmanager
    def present(self) -> Iterator[None]:
        """Within the block the others can learn of the first process that it still runs."""
        ended = threading.Event()

        def beat() -> None:
            with contextlib.suppress(RuntimeError):  # the store has ended, and so has the job
                while not ended.wait(self.answer / 8):
                    self.store.add("beats", 1)

        if self.rank == 0:
            threading.Thread(target=beat, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def add(self, values: "Tensor") -> None:
        """Replace the tensor by the sum over all processes; the same bits in each."""
        import torch.distributed as dist

        try:
            dist.all_reduce(values)
        except RuntimeError as error:
            raise self._silence(self._silent(), _brief(error)) from error

    def tell(self, value: Any) -> Any:
        """In every process the leader's value: plain data and tensors, read back without running any code."""
        import torch

        key, self.told = f"told {self.told}", self.told + 1
        try:
            if self.rank == 0:
                content = io.BytesIO()
                torch.save(value, content)
                self.store.set(key, content.getvalue())  # type: ignore[arg-type]  # which takes bytes too
                return value
            self._await(key)
            return torch.load(io.BytesIO(self.store.get(key)), map_location="cpu", weights_only=True)
        except RuntimeError as error:
            raise RunError(f"the first process of this job has ended ({_brief(error)}); see its output or torchrun's") \
                from error

    def _await(self, key: str) -> None:
        """Wait for the leader to set it, as long as that takes: a download, the rate search.

        Pauses are counted, not the clock, as all processes may have been stopped together. Raises RunError if the
        leader does not beat any more."""
        beats, waited, pause = -1, 0.0, 0.01
        while not self.store.check([key]):
            if (heard := self.store.add("beats", 0)) != beats:
                beats, waited = heard, 0.0
            if waited > self.answer:
                raise self._silence([0], "it was waited for")
            time.sleep(pause)
            waited, pause = waited + pause, min(2 * pause, 0.25)

    def _silent(self) -> list[int]:
        """The processes that do not say within ROLL_CALL that they have met an error too; none if nobody can tell."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        try:
            self.store.set(f"met {self.rank}", "")
            for _ in range(int(ROLL_CALL / 0.1)):
                if not (others := [rank for rank in others if not self.store.check([f"met {rank}"])]):
                    break
                time.sleep(0.1)
        except RuntimeError:
            return []
        return others

    def _silence(self, ranks: list[int], why: str) -> RunError:
        """The error that names the processes, with their places, which are not heard of."""
        names = []
        for rank in ranks:
            known = self.store.check([f"who {rank}"])
            names.append(f"{rank} ({self.store.get(f'who {rank}').decode()})" if known else str(rank))
        many = f"processes {', '.join(names)} of this job have" if len(names) > 1 else (
            f"process {names[0]} of this job has" if names else "another process of this job has")
        return RunError(f"{many} ended, or not answered for {self.answer:g} seconds ({why}); see the output of each or "
                        "torchrun's. Finished epochs are kept: continue with --resume. If a step takes longer, set "
                        f"${VARIABLE} to more seconds.")


def _is_first(store: "Store") -> bool:
    """Whether this process is the first to fail; also true if the store's process has ended."""
    try:
        return int(store.add("failed", 1)) == 1
    except RuntimeError:
        return True


def _brief(error: RuntimeError) -> str:
    """The first sentence of PyTorch's message, which is the cause, without the place in PyTorch's source."""
    return str(error).strip().partition("\n")[0].partition(". ")[0].rpartition("] ")[2][:200]
