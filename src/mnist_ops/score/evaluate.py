"""Model and split -> logits, loss, accuracy; always in float32, one pass, every image once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mnist_ops.data.tensors import Split, normalise, to_unit
from mnist_ops.model import Network
from mnist_ops.optim.compiled import Compiled
from mnist_ops.optim.loss import loss_of
from mnist_ops.parallel.team import ALONE, Team

BATCH = 1000  # images; fixed, as another number may change the last bits of a logit


@dataclass(frozen=True, eq=False)
class EvaluationSoFar:
    """A running evaluation. The sums stay on the device, as reading one makes a GPU wait, and keep growing."""

    batch: int  # from 1; of all processes, as far as this one knows
    batches: int
    seen: int  # images, by this process
    loss_sum: Tensor  # (), sum over the images seen, nats
    correct: Tensor  # (), images


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A network's predictions on a split."""

    logits: Tensor  # (N, classes) float32, on the CPU
    labels: Tensor  # (N,) int64, on the CPU

    @property
    def predicted(self) -> Tensor:
        """The class of the highest logit, (N,) int64."""
        return self.logits.argmax(1)

    @property
    def correct(self) -> int:
        """How many images are classed as labelled."""
        return int((self.predicted == self.labels).sum())

    @property
    def accuracy(self) -> float:
        """Percent of images classed as labelled."""
        return 100 * self.correct / len(self.labels)

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats, without label smoothing."""
        return float(F.cross_entropy(self.logits.double(), self.labels))


def evaluation(model: Network, split: Split, mean: Sequence[float], sd: Sequence[float], *,
               team: Team = ALONE, compiled: Compiled | None = None) -> Iterator[EvaluationSoFar | Evaluation]:
    """Run `model` over `split` in evaluation mode, yielding after each batch and, last, the Evaluation.

    `mean` and `sd` of each channel are those the model was trained with. Leaves the model in evaluation mode;
    draws no random number, reads nothing back from a GPU before the end. The processes of a team share the batches,
    which are the same as in one process. Progress is of this process; the Evaluation is complete in every process."""
    model.eval()
    if compiled is not None:
        compiled.load(model)
    total = -(-len(split) // BATCH)
    logits: dict[int, Tensor] = {}
    loss_sum, correct, seen = torch.zeros((), device=split.labels.device), split.labels.new_zeros(()), 0
    for number in range(team.rank, total, team.size):
        images, labels = (part[number * BATCH:(number + 1) * BATCH] for part in (split.images, split.labels))
        with torch.no_grad():
            logits[number] = model(normalise(to_unit(images), mean, sd)).float() if compiled is None else (
                compiled.logits(images, labels, mean, sd))
        seen += len(labels)
        loss_sum += loss_of(logits[number], labels) * len(labels)
        correct += (logits[number].argmax(1) == labels).sum()
        yield EvaluationSoFar(min(number + team.size, total), total, seen, loss_sum, correct)
    if team.size == 1:
        yield Evaluation(torch.cat(list(logits.values())).cpu(), split.labels.cpu())
        return
    with torch.no_grad():
        nothing = model(normalise(to_unit(split.images[:0]), mean, sd)).float()  # for the number of classes
    yield Evaluation(_gathered(logits, nothing.new_zeros(len(split), nothing.shape[1]), team).cpu(), split.labels.cpu())


def _gathered(logits: dict[int, Tensor], whole: Tensor, team: Team) -> Tensor:
    """Logits of this process's batches, by their numbers, and of all others' -> `whole` (N, classes), now zeros."""
    for number, part in logits.items():
        whole[number * BATCH:number * BATCH + len(part)] = part
    team.add(whole)  # zeros everywhere but in one process
    return whole


def evaluate(model: Network, split: Split, mean: Sequence[float], sd: Sequence[float]) -> Evaluation:
    """The same in one call."""
    *_, last = evaluation(model, split, mean, sd)
    assert isinstance(last, Evaluation)
    return last
