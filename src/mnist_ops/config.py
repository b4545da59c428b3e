"""All settings of a run, as frozen records, and the named recipes. Imports no torch."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.layers import Layer
from mnist_ops.arch.zoo import INPUT, OTHER_NAMES
from mnist_ops.errors import ConfigError, UsageError, hint

Device: TypeAlias = Literal["cpu", "cuda", "mps"]
Fill: TypeAlias = Literal["auto", "black", "mean", "edge"]
MOST_SIDE = 128  # pixels of an image


def number(default: Any, low: float, high: float) -> Any:
    """A field whose number must be in [low, high]; strings such as "auto" are allowed by its type."""
    return field(default=default, metadata={"low": low, "high": high})


class Usual(int):
    """A number of a recipe that nobody gave: few pictures get another, see `optim.length`."""


class UsualShare(float):
    """The same for a share."""


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random changes of a training image, in the order in which they are applied; 0 switches one off."""

    brightness: float = number(0.0, 0, 1)  # values times a factor from [1 - brightness, 1 + brightness]
    contrast: float = number(0.0, 0, 1)  # distance from the image's mean times a factor, likewise
    saturation: float = number(0.0, 0, 1)  # in colour: distance from the pixel's grey value times a factor, likewise
    hue: float = number(0.0, 0, 0.5)  # in colour: turn of the colour circle, drawn from [-hue, hue]
    # Each corner moves inwards by up to this share of half the side; from two thirds on the shape could be concave.
    perspective: float = number(0.0, 0, 0.6)
    perspective_share: float = number(0.5, 0, 1)  # probability of applying perspective
    degrees: float = number(0.0, 0, 180)  # rotation drawn from [-degrees, degrees]
    zoom: float = number(0.0, 0, 0.9)  # scale drawn from [1 - zoom, 1 + zoom]
    shear: float = number(0.0, 0, 1)  # horizontal pixels per vertical pixel, drawn from [-shear, shear]
    shift: float = number(0.0, 0, 28)  # pixels per axis, drawn from [-shift, shift]
    crop: int = number(0, 0, 28)  # whole pixels per axis, drawn from -crop to crop: as padding by so many and cropping
    flip: float = number(0.0, 0, 1)  # probability of swapping left and right
    # outside the original image: that colour, or the nearest pixel's; auto: black if the images' edges are, else edge.
    fill: Fill = "mean"
    plain_epochs: int = number(0, 0, 100_000)  # final epochs without augmentation


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """The optimiser and its loss."""

    name: Literal["sgd", "adamw", "muon"] = "sgd"
    momentum: float = number(0.9, 0, 0.999)  # Nesterov momentum of sgd and muon; beta1 of adamw
    weight_decay: float = number(2e-4, 0, 1)  # of convolution weights only; not used by muon
    orthogonal: float = number(0.1, 1e-6, 1e6)  # muon: rate of the convolutions, relative to the learning rate
    label_smoothing: float = number(0.0, 0, 0.5)  # share of the probability spread evenly over all classes
    # balanced: an image counts in the loss inversely to the number of training images of its class.
    class_weights: Literal["none", "balanced"] = "none"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The course of the learning rate; shares are of all steps of the run."""

    name: Literal["one-cycle", "step", "cosine", "plateau", "constant"] = "one-cycle"
    warmup: float = number(0.2, 0, 0.9)  # one-cycle and cosine: share of the steps before the peak
    start: float = number(0.04, 0, 1)  # one-cycle and cosine: first rate, relative to the peak
    end: float = number(1e-4, 0, 1)  # one-cycle and cosine: last rate, relative to the peak
    factor: float = number(0.1, 0, 1)  # step and plateau: the rate is multiplied by this
    every: int = number(6, 1, 10_000)  # step: multiply every N epochs
    patience: int = number(2, 0, 10_000)  # plateau: epochs to wait for a lower validation loss


@dataclass(frozen=True, kw_only=True)
class Hard:
    """Epochs on the training images that are hardest."""

    # Of the images: those of the largest loss, compared within their batch; 1: all. Below 30,000 images 1 unless set.
    share: float = number(1.0, 0, 1)
    every: int = number(4, 2, 100_000)  # one epoch in so many, beginning with the first, takes all and tells the loss

    def count(self, images: int) -> int:
        """Of so many training images, those that an epoch on the hardest takes."""
        return max(2, round(self.share * images))

    def passes(self, epochs: int) -> float:
        """How many epochs on all images are as much work as so many of these."""
        whole = -(-epochs // self.every)
        return whole + (epochs - whole) * self.share


@dataclass(frozen=True, kw_only=True)
class Tune:
    """The learning-rate range test, and the suggestion that sets the peak rate."""

    lowest: float = number(1e-3, 1e-12, 1e6)  # first rate of a sweep
    highest: float = number(10.0, 1e-12, 1e6)  # last rate of a sweep
    steps: int = number(200, 10, 5000)  # steps of a sweep, equally spaced in the logarithm of the rate
    sweeps: int = number(3, 1, 100)  # sweeps to average, from the same weights on other images
    smoothing: float = number(0.05, 0.001, 1)  # width of the smoothing kernel, as a share of the sweep
    diverged: float = number(4.0, 1, 1e6)  # stop if the smoothed loss is this many times its lowest value
    suggestion: Literal["steepest", "valley", "minimum/10"] = "steepest"
    scale: float = number(4.0, 1e-3, 1e3)  # peak rate = scale x suggested rate
    most: float = number(1.0, 1e-12, 1e6)  # largest peak rate that is taken; in proportion below batches of 128


@dataclass(frozen=True, kw_only=True)
class Code:
    """Names of code of your own that Python gave a run, which fills them in; nothing imports it."""

    network: str = ""  # makes the network
    augment: str = ""  # changes each batch after its augmentation
    optimizer: str = ""  # makes the optimiser


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a run. A run's config.json gives the same run again."""

    recipe: str = "default"
    model: str = "early-pool"  # a network's name, or a .toml file, whose layers the run puts below
    layers: tuple[Layer, ...] = ()  # of a network of your own, see docs/networks.md; empty: those that model names
    # Of "pictures" or blocks: the channels that give at most so many parameters; 0: as the name says.
    parameters: int = number(0, 0, 10_000_000)
    data: str = "auto"
    # How a picture becomes the input: as MNIST was made, or stretched; auto: mnist for mnist and digits, else resize.
    prepare: Literal["auto", "mnist", "resize"] = "auto"
    # Side of the input in pixels, and whether it is in colour; auto: by a folder's pictures, else 28 and grey.
    size: int | Literal["auto"] = number("auto", 8, MOST_SIDE)
    colour: bool | Literal["auto"] = "auto"
    # Batch normalisation over each process's images or, synchronised, over the whole batch; none: no such layers.
    norm: Literal["batch", "synchronised", "none"] = "batch"
    skip_damaged: bool = False  # leave out pictures that cannot be read, and say which
    start: str = ""  # initial weights: a run folder, a weights file or default; empty: random
    start_sha256: str = ""  # of that file, filled in by the run
    validation: int = number(0, 0, 10_000_000)  # images at the end of the training set to use as the validation set
    # Below 30,000 training images a run has enough steps unless these two are set.
    epochs: int = number(12, 1, 100_000)
    batch_size: int = number(128, 1, 10_000_000)  # images per step; smaller for few images, see epochs
    lr: float | Literal["auto"] = number("auto", 0, 1e30)  # peak learning rate
    seed: int = number(0, 0, 2**63 - 1)
    device: Literal["auto", Device] = "auto"
    threads: int = number(0, 0, 1024)  # CPU threads, shared by all processes here; 0: $OMP_NUM_THREADS, or all
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    # Training step on a CPU: compiled for this network, or PyTorch's; auto: compiled if that is faster.
    engine: Literal["auto", "compiled", "pytorch"] = "auto"
    deterministic: bool = False  # on a GPU, give the same bits each time; warn if PyTorch cannot
    test_every: int = number(1, 0, 100_000)  # evaluate on the test set every N epochs; 0: once, at the end
    target: float | Literal["auto"] = number("auto", 0, 100)  # percent; auto: 99.4 on MNIST, else 0: none
    augment: Augment = Augment()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    hard: Hard = Hard()
    tune: Tune = Tune()
    code: Code = Code()

    @property
    def input_shape(self) -> Shape:
        """Channels, height and width of the network's input; of a settled config, else MNIST's where it is "auto"."""
        side = INPUT[1] if self.size == "auto" else self.size
        return (3 if self.colour is True else 1, side, side)

    def __post_init__(self) -> None:
        if self.schedule.name == "plateau" and self.validation == 0:
            raise ConfigError("schedule: plateau needs a validation set, but validation is 0; "
                              "set it, e.g. --validation 5000")
        if self.tune.lowest >= self.tune.highest:
            raise ConfigError(f"tune: lowest {self.tune.lowest} is not below highest {self.tune.highest}")


DEFAULT = Config(model="early-pool-wide", epochs=Usual(11), batch_size=Usual(128),
                 augment=Augment(degrees=12.0, shift=2.0, zoom=0.12, shear=0.1, fill="auto", plain_epochs=2))

# A rate search would cost more than one of its epochs.
QUICK = replace(DEFAULT, recipe="quick", model="separable", epochs=Usual(3), batch_size=Usual(256), lr=0.3,
                test_every=0, augment=replace(DEFAULT.augment, plain_epochs=1),
                optimizer=Optimizer(name="muon", momentum=0.8, orthogonal=0.17))

# Small networks learn in small batches. Large maps are worth more to them than channels.
TINY = replace(DEFAULT, recipe="tiny", model="blocks:6-12p2d-16d-16dr-24d-24d", epochs=Usual(18), batch_size=Usual(64),
               augment=replace(DEFAULT.augment, plain_epochs=6))

RECIPES: dict[str, Config] = {
    "default": DEFAULT,
    "seed": replace(DEFAULT, recipe="seed", model="seed", prepare="resize", epochs=Usual(12), batch_size=Usual(64),
                    augment=Augment(perspective=0.2, degrees=15.0)),
    "best": replace(DEFAULT, recipe="best", model="separable", epochs=Usual(18), batch_size=Usual(64),
                    augment=replace(DEFAULT.augment, plain_epochs=3)),
    "quick": QUICK,
    # Full blocks are faster than separable ones: they read less memory for a multiply-add.
    "sprint": replace(QUICK, recipe="sprint", model="early-pool-wide", epochs=Usual(4), batch_size=Usual(128),
                      hard=Hard(share=UsualShare(0.25)), augment=replace(QUICK.augment, plain_epochs=2)),
    "strided": replace(DEFAULT, recipe="strided", model="separable-strided", epochs=Usual(5), batch_size=Usual(256),
                       lr=0.3, test_every=0, schedule=Schedule(warmup=0.3),
                       augment=replace(DEFAULT.augment, degrees=10.0, shift=1.6, zoom=0.1, plain_epochs=1),
                       optimizer=Optimizer(name="muon", orthogonal=0.17)),
    "tiny": TINY,
    "chip": replace(TINY, recipe="chip", model="blocks:6p2-12d-16d-24d-32d"),
    # Too small for the default augmentation.
    "micro": replace(DEFAULT, recipe="micro", model="blocks:8p2a-8d-8d-12d-14d", epochs=Usual(38), batch_size=Usual(64),
                     hard=Hard(share=UsualShare(0.33)),
                     augment=replace(DEFAULT.augment, degrees=8.0, shift=1.2, zoom=0.08, shear=0.08, plain_epochs=13)),
    "robust": replace(DEFAULT, recipe="robust", augment=replace(DEFAULT.augment, brightness=0.5, contrast=1.0)),
    # Clothes have a right way up; their mirror images are clothes too. Texture wants the first maps large for longer.
    "fashion": replace(DEFAULT, recipe="fashion", data="fashion-mnist", model="blocks:16-32p2d-48d-48d-64d",
                       epochs=Usual(18), batch_size=Usual(64), lr=0.3,
                       optimizer=Optimizer(name="muon", orthogonal=0.1, label_smoothing=0.05),
                       augment=Augment(degrees=3.0, shift=1.5, zoom=0.08, shear=0.04, flip=0.5, fill="auto",
                                       plain_epochs=9)),
    # A network of a size that follows the images', for any kind of picture, so without mirroring.
    "pictures": replace(DEFAULT, recipe="pictures", model="pictures", epochs=Usual(20)),
    "photos": replace(DEFAULT, recipe="photos", model="pictures", epochs=Usual(30), batch_size=Usual(256), lr=0.3,
                      test_every=0, optimizer=Optimizer(name="muon", orthogonal=0.17, label_smoothing=0.1),
                      augment=Augment(degrees=10.0, zoom=0.15, crop=4, flip=0.5, fill="auto", plain_epochs=3)),
    "seed-tuned": replace(DEFAULT, recipe="seed-tuned", model="seed-plain", epochs=Usual(16), batch_size=Usual(64),
                          augment=replace(DEFAULT.augment, plain_epochs=3)),
}


PURPOSES: dict[str, str] = {
    "default": "the usual choice; its weights ship in the package",
    "seed": "the reference's network and training; `reference` names it too",
    "best": "the highest accuracy under 10,000 parameters",
    "quick": "the most accurate after three epochs of MNIST",
    "sprint": "the fewest seconds to 99.4 % on MNIST",
    "strided": "the most images a second",
    "tiny": "under 2,560 parameters as exported",
    "chip": "under a million instructions for an image on a Cortex-M0",
    "micro": "under 1,000 parameters as exported",
    "robust": "images in any light: fog, faint ink, grey grounds",
    "fashion": "Fashion-MNIST, under 10,000 parameters",
    "pictures": "pictures of other sizes and in colour",
    "photos": "the same, whose mirror images mean the same",
    "seed-tuned": "the reference's network with this project's training",
}


def recipe(name: str) -> Config:
    """The named recipe. Raises UsageError, listing the known names, for any other."""
    name = OTHER_NAMES.get(name, name)
    if name in RECIPES:
        return RECIPES[name]
    if trained_by := [one for one, config in RECIPES.items() if config.model == name]:
        raise UsageError(f"recipe {name!r} is a network; use a recipe that trains it: "
                         f"{' or '.join(trained_by)}")
    raise UsageError(f"unknown recipe {name!r:.80}; {hint(name, RECIPES)}")
