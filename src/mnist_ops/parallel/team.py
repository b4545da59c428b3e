"""The processes that train a network together, and their slices of a batch. Knows no process group.

One process is the trivial case, `ALONE`; several are joined in `torchrun`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mnist_ops.errors import UsageError

if TYPE_CHECKING:  # the command line uses this before it loads PyTorch
    from torch import Tensor

OWN = ("threads", "processor", "system", "gpu")  # what may differ between the machines of a team
LEAST = 2  # images of a non-empty slice: it may be normalised by its own statistics


@dataclass(frozen=True)
class Slice:
    """Images `first` to `last` - 1 of a batch of `count`."""

    first: int
    last: int
    count: int

    @property
    def share(self) -> float:
        """Of the batch, in [0, 1]: the weight of the slice's mean loss in that of the batch."""
        return (self.last - self.first) / self.count

    def of(self, whole: "Tensor") -> "Tensor":
        """The slice's rows of a tensor with one row per image of the batch, without copying."""
        return whole[self.first:self.last]


def whole(count: int) -> Slice:
    """A batch of `count` images as one slice."""
    return Slice(0, count, count)


def _keep(_: "Tensor") -> None:
    """The sum over one process."""


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, eq=False)
class Team:
    """All processes of a run, and this one's place among them."""

    rank: int = 0  # from 0; only the process of rank 0, the leader, searches the rate, writes and prints
    size: int = 1
    add: "Callable[[Tensor], None]" = _keep  # replaces a tensor, in every process, by the sum over all of them
    tell: Callable[[Any], Any] = _same  # in every process the leader's value: plain data and tensors

    @property
    def leads(self) -> bool:
        """Whether this process is the leader."""
        return self.rank == 0

    def slice(self, count: int) -> Slice:
        """This process's slice of a batch of `count` images: as even as possible, with at least LEAST images or none.

        The slices of all ranks cover the batch once, in the order of the ranks; a batch of one image is rank 0's."""
        takers = max(1, min(self.size, count // LEAST))
        rank = min(self.rank, takers)
        return Slice(count * rank // takers, count * min(self.rank + 1, takers) // takers, count)

    def check_batch(self, size: int) -> None:
        """Raises UsageError if a batch of `size` images has fewer than LEAST per process."""
        if self.size > 1 and size < LEAST * self.size:
            raise UsageError(f"batch_size: {size} images for {self.size} processes, expected at least "
                             f"{LEAST * self.size}, {LEAST} each; start fewer, or use a larger --batch-size")

    def check_same(self, leader: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        """Raises UsageError if this process has another program, data or config than the leader, except OWN."""
        differing = [name for name in leader if leader[name] != own.get(name) and name not in OWN]
        if differing:
            raise UsageError(f"process {self.rank} of this job has another {', '.join(differing)} than process 0; "
                             "start all with the same command, program and data")


ALONE = Team()
