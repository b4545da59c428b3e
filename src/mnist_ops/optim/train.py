"""One epoch of training: batches, loss, gradients, updates. Knows nothing about files, screens or validation."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Generator, Tensor

from mnist_ops.config import Augment, Config
from mnist_ops.data.tensors import Dataset, batches, normalise, to_unit
from mnist_ops.data.warp import augment, fill_of
from mnist_ops.errors import UsageError, brief
from mnist_ops.model import Network
from mnist_ops.optim.compiled import Compiled, threads_restored
from mnist_ops.optim.cuda_graph import Recordings
from mnist_ops.optim.hard import HardImages
from mnist_ops.optim.loss import class_weights, loss_of, losses_of
from mnist_ops.optim.optimizers import Updates, set_rate
from mnist_ops.optim.schedule import RunSchedule, learning_rate
from mnist_ops.own_code import NONE, Change, OwnCode, name_of
from mnist_ops.parallel.team import ALONE, Slice, Team, whole
from mnist_ops.randomness import drawing, stream


@dataclass(frozen=True, eq=False)
class EpochSoFar:
    """The epoch so far. The sums stay on the device, as reading one makes a GPU wait, and keep growing."""

    batch: int  # from 1
    batches: int
    seen: int  # images
    loss_sum: Tensor  # (), sum over the images seen, nats
    correct: Tensor  # (), images
    lr: float


def train_epoch(model: Network, optimizer: Updates, data: Dataset, cfg: Config, *,
                epoch: int, plan: RunSchedule, validation_losses: Sequence[float] = (),
                team: Team = ALONE, recordings: Recordings | None = None,
                compiled: Compiled | None = None, code: OwnCode = NONE,
                hard: HardImages | None = None) -> Iterator[EpochSoFar]:
    """Train epoch number `epoch`, counted from 0, and yield after each step.

    The last `cfg.augment.plain_epochs` of the run use the original images, those before augmented ones. Loss and
    accuracy are those of these images, each seen once, before its step. Order, warp and dropout draw from streams of
    (seed, epoch). Each process of the team computes its slice of every batch; at the end all have the same weights and
    running statistics. With `recordings`, in a single process, most steps are replayed; they are kept between epochs.
    With `compiled`, likewise, it computes all steps, and `model` and `optimizer` have the results after the last.
    code: its augmentation follows the config's, except in the last epochs, and all it draws follows from the seed.
    hard: notes the losses of an epoch on all images and chooses those of the next ones by them."""
    if epoch >= cfg.epochs - cfg.augment.plain_epochs:
        cfg, code = replace(cfg, augment=Augment()), replace(code, augment=None)  # nothing is on
    device = data.train.labels.device
    noted = hard if hard and hard.are_noted(epoch) else None
    recordings = None if noted else recordings  # a replay returns no losses
    streams = partial(stream, device=device) if recordings is None else recordings.stream
    chosen = hard.chosen if hard and not noted else None
    indices = [index if chosen is None else chosen[index] for index in batches(
        len(data.train if chosen is None else chosen), cfg.batch_size, streams(cfg.seed, "order", epoch))]
    model.train()
    results = _steps(model, optimizer, data, cfg, indices=indices, epoch=epoch, streams=streams, team=team,
                     recordings=recordings, compiled=compiled, code=code, noted=noted)
    total, seen = len(indices), 0
    loss_sum, correct = torch.zeros((), device=device), torch.zeros((), device=device, dtype=torch.int64)
    with threads_restored():
        for number, index in enumerate(indices):
            set_rate(optimizer, lr := learning_rate(plan, plan.first_step(epoch) + number, validation_losses))
            loss, right = next(results)
            seen += len(index)
            loss_sum += loss * len(index)
            correct += right
            if number + 1 == total:
                if team.size > 1:
                    share_statistics(model, team)
                if compiled is not None:
                    compiled.store(model, optimizer, total)
                if noted:
                    noted.choose(indices, team)
            yield EpochSoFar(number + 1, total, seen, loss_sum, correct, lr)


def _steps(model: Network, optimizer: Updates, data: Dataset, cfg: Config, *, indices: Sequence[Tensor], epoch: int,
           streams: Callable[[int, str, int], Generator], team: Team, recordings: Recordings | None,
           compiled: Compiled | None, code: OwnCode,
           noted: HardImages | None) -> Iterator[tuple[Tensor | float, Tensor | int]]:
    """Take a step for each batch, at the rate that the optimiser has then. -> what `step` returns of each."""
    warp, dropout = (streams(cfg.seed, name, epoch) for name in ("warp", "dropout"))
    draws = own_draws(code, cfg.seed, "own", epoch)

    def advance(index: Tensor) -> tuple[Tensor, Tensor]:
        model.feed(dropout, part := team.slice(len(index)))
        with draws(index.device):
            return step(model, optimizer, training_batch(data, index, cfg, warp, part=part, change=code.augment), cfg,
                        share=part.share, team=team, weights=class_weights(data, cfg.optimizer),
                        note=partial(noted.note, part.of(index)) if noted else None)

    if recordings is not None:
        yield from map(recordings.replayed(advance, cfg.augment), indices)
    elif compiled is not None:
        compiled.load(model, optimizer)
        steps = compiled.steps(optimizer, data, cfg, indices, warp=warp, dropout=dropout)
        for index, result in zip(indices, steps, strict=True):
            if noted:
                noted.note(index, compiled.losses(len(index)))
            yield result
    else:
        yield from map(advance, indices)


def training_batch(data: Dataset, index: Tensor, cfg: Config, generator: Generator, *,
                   part: Slice | None = None, change: Change | None = None) -> tuple[Tensor, Tensor]:
    """Augmented, normalised images (N, C, H, W) and labels (N,) of this slice of a batch of training images.

    change: augments further; raises UsageError unless it keeps shape, type and device."""
    part = part or whole(len(index))
    chosen = part.of(index)
    fill = fill_of(cfg.augment, data.mean)
    images = augment(to_unit(data.train.images[chosen]), cfg.augment, fill, generator, part=part)
    if change is not None:
        images = _changed(images, change)
    return normalise(images, data.mean, data.sd), data.train.labels[chosen]


def _changed(images: Tensor, change: Change) -> Tensor:
    with torch.no_grad():
        made = change(images)
    kinds = [(tuple(one.shape), one.dtype, one.device) if isinstance(one, Tensor) else brief(one)
             for one in (images, made)]
    if kinds[0] != kinds[1]:
        raise UsageError(f"augment: {name_of(change)} made {kinds[1]} of {kinds[0]}, expected the same shape, type and "
                         "device")
    return made


def own_draws(code: OwnCode, seed: int, purpose: str,
              count: int) -> Callable[[torch.device], AbstractContextManager[None]]:
    """What surrounds each step, on its device: where code of one's own is in it, its draws follow from the seed."""
    if not code.told:
        return lambda _: nullcontext()
    return partial(drawing, stream(seed, purpose, count))


def step(model: Network, optimizer: Updates, batch: tuple[Tensor, Tensor], cfg: Config, *,
         share: float = 1.0, team: Team = ALONE, weights: Tensor | None = None,
         note: Callable[[Tensor], None] | None = None) -> tuple[Tensor, Tensor]:
    """One update of the weights by a batch, of which this process has a slice, a `share` of its images.

    weights: as `loss_of` has them; note: is given the losses of the slice, (N,).
    -> mean loss () and number of right predictions () of the whole batch before it, on the device."""
    optimizer.zero_grad()
    loss, right = slice_gradient(model, batch, cfg, share, weights=weights, note=note)
    if team.size > 1:
        loss, right = combine(model, loss, right, team)
    optimizer.step()
    return loss, right


def slice_gradient(model: Network, batch: tuple[Tensor, Tensor], cfg: Config, share: float, *,
                   weights: Tensor | None = None,
                   note: Callable[[Tensor], None] | None = None) -> tuple[Tensor, Tensor]:
    """Add to `.grad` a slice's contribution to the gradient of the batch's mean loss.

    The slice's mean loss is weighted by its share of the batch, so the sum over uneven slices is exact; a slice may be
    empty. -> its contribution () to the batch's mean loss, and its right predictions ()."""
    images, labels = batch
    with torch.autocast(images.device.type, torch.bfloat16, enabled=cfg.precision == "bfloat16"):
        logits = model(images)
    loss = logits.float().sum()
    if len(labels):
        loss = loss_of(logits, labels, cfg.optimizer.label_smoothing, weights) * share
    torch.autograd.backward(loss)
    if note:
        note(losses_of(logits.detach(), labels))
    return loss.detach(), (logits.detach().argmax(1) == labels).sum()


def combine(model: Network, loss: Tensor, right: Tensor, team: Team) -> tuple[Tensor, Tensor]:
    """Replace each gradient by the sum over the team's slices; -> the same sums of loss and right predictions.

    One message: for networks this small their number costs more than their length."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), loss[None], right[None]])
    team.add(flat)
    *pieces, loss, right = torch.split(flat, [*(gradient.numel() for gradient in gradients), 1, 1])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view(gradient.shape))
    return loss[0], right[0].long()


def share_statistics(model: Network, team: Team) -> None:
    """Replace the running statistics of normalisation by their mean over the team; training steps do not read them."""
    buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    if buffers:
        flat = torch.cat([buffer.flatten() for buffer in buffers])
        team.add(flat)
        pieces = torch.split(flat / team.size, [buffer.numel() for buffer in buffers])
        for buffer, piece in zip(buffers, pieces, strict=True):
            buffer.copy_(piece.view(buffer.shape))
