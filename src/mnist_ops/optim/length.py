"""How long a run is: epochs and batch size that give enough steps on few pictures, and a warning where they do not."""

from dataclasses import replace

from mnist_ops.config import Config, Hard, Usual, UsualShare
from mnist_ops.data.tensors import batch_count
from mnist_ops.errors import counted
from mnist_ops.optim.schedule import RunSchedule

LARGE = 30_000  # training images from which on a recipe's own numbers fit
FULL = 60_000  # those it was made for, MNIST's
STEPS = 2000  # of a run on fewer than LARGE, unless the recipe has not so many on FULL
BATCHES, SMALLEST_BATCH = 10, 16  # batches in an epoch where images are few, and the fewest images in one
FEW_STEPS = 50  # below which a run gets a warning
SAVES = 100  # of a run's epochs, at most about so many are saved: writing a file takes longer than a few batches


def fitted(config: Config, images: int) -> Config:
    """The config with epochs and batch size for so many training images; those that somebody gave stay."""
    if images < LARGE and isinstance(config.hard.share, UsualShare):
        config = _on_all(config)
    epochs, batch = config.epochs, config.batch_size
    wanted = min(STEPS, epochs * batch_count(FULL, batch))
    if 2 <= images < LARGE:  # fewer cannot be trained on, which others say
        if isinstance(batch, Usual):
            while batch > SMALLEST_BATCH and batch_count(images, batch) < BATCHES:
                batch //= 2
        if isinstance(epochs, Usual):
            epochs = max(epochs, -(-wanted // batch_count(images, batch)))
    return replace(config, epochs=int(epochs), batch_size=int(batch))


def _on_all(config: Config) -> Config:
    """The same work, every epoch on all images; epochs that somebody gave stay."""
    plain = round(config.hard.passes(config.augment.plain_epochs))
    epochs = Usual(round(config.hard.passes(config.epochs))) if isinstance(config.epochs, Usual) else config.epochs
    return replace(config, epochs=epochs, hard=Hard(), augment=replace(config.augment, plain_epochs=plain))


def last_saved(config: Config, epoch: int) -> int:
    """The last epoch up to this one whose state is saved: every one that may be the best, else one in `SAVES`."""
    every = 1 if config.validation else -(-config.epochs // SAVES)
    return epoch if epoch == config.epochs else epoch // every * every


def run_schedule(config: Config, images: int, peak: float) -> RunSchedule:
    """The schedule of a run on so many training images."""
    whole, hard = (batch_count(count, config.batch_size) for count in (images, config.hard.count(images)))
    return RunSchedule(config.schedule, peak, config.epochs, whole, hard, config.hard.every)


def steps_of(config: Config, images: int) -> int:
    """All steps of a run."""
    return run_schedule(config, images, 0.0).first_step(config.epochs)


def too_short(config: Config, images: int) -> tuple[str, ...]:
    """A warning if the run has too few steps to learn from new weights."""
    steps = steps_of(config, images)
    if steps >= FEW_STEPS or config.start:
        return ()
    return (f"only {counted(steps, 'training step')} in total (--epochs {config.epochs}, {images:,} images, batch size "
            f"{config.batch_size}), too few to learn much: leave out --epochs and --batch-size, or use more epochs or "
            "smaller batches",)
