"""Random perspective, rotation, zoom, shear, shift, flip of a batch in one resampling, on its device; colour jitter."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mnist_ops.config import Augment
from mnist_ops.data.tensors import channel_wise
from mnist_ops.parallel.team import Slice, whole


@dataclass(frozen=True, eq=False)
class Draws:
    """The random changes of a batch, drawn for each image; None if switched off."""

    brightness: Tensor | None  # (N,) factors
    contrast: Tensor | None  # (N,) factors
    saturation: Tensor | None  # (N,) factors
    hue: Tensor | None  # (N,) turns of the colour circle
    maps: Tensor | None  # (N, 3, 3) from output to input coordinates, see `homography`

    def of(self, part: Slice) -> "Draws":
        """Those of a slice of the batch."""
        return Draws(*(None if one is None else part.of(one) for one in vars(self).values()))


def draw(counts: Sequence[int], cfg: Augment, side: int, generator: Generator) -> list[Draws]:
    """The draws of batches of so many images of `side` pixels, on the generator's device.

    Each batch in turn draws in the order of `Augment`'s fields; what follows is computed for all at once."""
    drawn = [_uniform(count, cfg, generator) for count in counts]
    whole = {name: torch.cat([one[name] for one in drawn]) for name in drawn[0]}
    spreads = {"brightness": cfg.brightness, "contrast": cfg.contrast, "saturation": cfg.saturation}
    found = (*(1 + _signed(whole[name])[:, 0] * spread if spread else None for name, spread in spreads.items()),
             _signed(whole["hue"])[:, 0] * cfg.hue if cfg.hue else None, homography(whole, cfg, side))
    parts = [None if one is None else torch.split(one, list(counts)) for one in found]
    return [Draws(*(None if part is None else part[number] for part in parts)) for number in range(len(counts))]


def fill_of(cfg: Augment, mean: tuple[float, ...]) -> tuple[float, ...] | None:
    """The value of each channel outside the frame; None: that of the nearest pixel. mean: of each channel."""
    return None if cfg.fill == "edge" else mean if cfg.fill == "mean" else (0.0,) * len(mean)


def augment(images: Tensor, cfg: Augment, fill: Sequence[float] | None, generator: Generator, *,
            part: Slice | None = None) -> Tensor:
    """Jitter and warp each image by its own draw, in the order of `Augment`'s fields.

    images (N, C, H, W), floating, values in [0, 1] -> same shape, dtype, device.
    `fill` is as `fill_of` has it. All randomness comes from `generator`, which is on the images' device. If they are
    only a `part` of a batch, draws are made for the whole batch, so that each image gets the same change.
    Raises ValueError if images is not 4-D or not floating."""
    part = part or whole(len(images))
    draws = draw([part.count], cfg, images.shape[-1], generator)[0].of(part)
    jittered = jitter(images, draws)
    if draws.maps is None:
        return jittered
    if fill is None or not any(fill):
        return resample(jittered, draws.maps, edge=fill is None)
    shifted = channel_wise(torch.sub, jittered, fill)
    return channel_wise(torch.add, resample(shifted, draws.maps), fill)


def jitter(images: Tensor, draws: Draws) -> Tensor:
    """Brightness: values times a factor; contrast: distance from the image's mean times a factor; in colour also
    saturation: distance from the pixel's grey value times a factor, and hue: see `turn_hue`. All kept in [0, 1].

    images (N, C, H, W) -> same."""
    if images.dim() != 4 or not images.is_floating_point():
        raise ValueError(f"expected floating images (N, C, H, W), found {images.dtype} {tuple(images.shape)}")
    if draws.brightness is not None:
        images = (images * draws.brightness[:, None, None, None].to(images.dtype)).clamp(0, 1)
    if draws.contrast is not None:
        mean = images.mean((1, 2, 3), keepdim=True)
        images = ((images - mean) * draws.contrast[:, None, None, None].to(images.dtype) + mean).clamp(0, 1)
    if draws.saturation is not None and images.shape[1] == 3:
        red, green, blue = torch.split(images, 1, 1)
        grey = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R 601
        images = ((images - grey) * draws.saturation[:, None, None, None].to(images.dtype) + grey).clamp(0, 1)
    if draws.hue is not None and images.shape[1] == 3:
        images = turn_hue(images, draws.hue.to(images.dtype))
    return images


def turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """The same saturation and value at another hue: images (N, 3, H, W) in [0, 1], turns (N,) of the circle -> same.

    The hexcone of Smith 1978, "Color gamut transform pairs"."""
    red, green, blue = images.unbind(1)
    high = images.amax(1)
    chroma = high - images.amin(1)
    some = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    hue = torch.where(high == red, (green - blue) / some, torch.where(high == green, (blue - red) / some + 2,
                                                                   (red - green) / some + 4))  # in sixths
    places = [(hue + 6 * turns[:, None, None] + offset) % 6 for offset in (5, 3, 1)]
    return torch.stack([high - chroma * torch.minimum(place, 4 - place).clamp(0, 1) for place in places], 1)


def homography(drawn: Mapping[str, Tensor], cfg: Augment, side: int) -> Tensor | None:
    """One map per image from output to input coordinates, (N, 3, 3) float32 on the device of the `drawn` numbers.

    Coordinates run from -1 to 1 between the outer edges of the border pixels, x first, y down. None if every
    change is off. The inverse of: perspective, then rotation, zoom, shear and shift about the centre, crop, flip."""
    parts = []
    if "perspective" in drawn:
        parts.append(_perspective(drawn["perspective"], cfg))
    if "affine" in drawn:
        parts.append(_affine(_signed(drawn["affine"]), cfg, side))
    if "crop" in drawn:
        parts.append(_moved(((2 * cfg.crop + 1) * drawn["crop"]).floor() - cfg.crop, side))
    if "flip" in drawn:
        parts.append(_flip(drawn["flip"][:, 0] < cfg.flip))
    return functools.reduce(torch.bmm, parts) if parts else None


def resample(images: Tensor, maps: Tensor, *, edge: bool = False) -> Tensor:
    """Bilinear resampling at the mapped centre of each pixel; outside 0, or with `edge` the nearest pixel.

    images (N, C, H, W), maps (N, 3, 3) from output to input coordinates -> (N, C, H, W).
    Sampling grid after Jaderberg et al. 2015, arXiv:1506.02025; Hartley and Zisserman 2004, section 2.3, for maps."""
    height, width = images.shape[-2:]
    x = (torch.arange(width, device=images.device) * 2 + 1) / width - 1
    y = (torch.arange(height, device=images.device) * 2 + 1) / height - 1
    centres = torch.stack([x.repeat(height), y.repeat_interleave(width), torch.ones_like(x).repeat(height)])
    moved = maps.to(images.device) @ centres
    places = moved[:, :2] / moved[:, 2:]
    if edge:  # not by padding_mode="border", which is not there on every device
        places = torch.stack([place.clamp(1 / size - 1, 1 - 1 / size)
                              for place, size in zip(places.unbind(1), (width, height), strict=True)], 1)
    grid = places.transpose(1, 2).reshape(-1, height, width, 2)
    return F.grid_sample(images, grid.to(images.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)


def _uniform(count: int, cfg: Augment, generator: Generator) -> dict[str, Tensor]:
    """What is drawn for `count` images by each kind of change that is on: (count, numbers), uniform in [0, 1)."""
    affine = any((cfg.degrees, cfg.zoom, cfg.shear, cfg.shift))
    kinds = {"brightness": (cfg.brightness, 1), "contrast": (cfg.contrast, 1),
             "saturation": (cfg.saturation, 1), "hue": (cfg.hue, 1),
             "perspective": (cfg.perspective, 9), "affine": (affine, 5), "crop": (cfg.crop, 2), "flip": (cfg.flip, 1)}
    return {name: torch.rand(count, numbers, generator=generator, device=generator.device)
            for name, (on, numbers) in kinds.items() if on}


def _signed(uniform: Tensor) -> Tensor:
    """[0, 1) -> [-1, 1)."""
    return uniform * 2 - 1


def _affine(draw: Tensor, cfg: Augment, side: int) -> Tensor:
    """(N, 5) in [-1, 1) -> (N, 3, 3) maps from output to input: rotation, then zoom, shear and shift."""
    angle = draw[:, 0] * math.radians(cfg.degrees)
    zoom = 1 / (1 + draw[:, 1] * cfg.zoom)
    shear = draw[:, 2] * cfg.shear
    shift = draw[:, 3:] * (2 * cfg.shift / side)
    cosine, sine = angle.cos() * zoom, angle.sin() * zoom
    maps = torch.zeros(len(draw), 3, 3, device=draw.device)
    maps[:, 0, 0], maps[:, 0, 1] = cosine, cosine * shear - sine
    maps[:, 1, 0], maps[:, 1, 1] = sine, sine * shear + cosine
    maps[:, :2, 2], maps[:, 2, 2] = -(maps[:, :2, :2] @ shift[:, :, None])[:, :, 0], 1
    return maps


def _moved(pixels: Tensor, side: int) -> Tensor:
    """(N, 2) -> (N, 3, 3) maps that move an image by so many pixels, x first."""
    maps = torch.eye(3, device=pixels.device).repeat(len(pixels), 1, 1)
    maps[:, :2, 2] = -2 * pixels / side
    return maps


def _flip(flipped: Tensor) -> Tensor:
    """(N,) bool -> (N, 3, 3) maps that swap left and right where it is true."""
    maps = torch.eye(3, device=flipped.device).repeat(len(flipped), 1, 1)
    maps[:, 0, 0] = 1 - 2 * flipped.to(maps.dtype)
    return maps


def _perspective(draw: Tensor, cfg: Augment) -> Tensor:
    """(N, 9) in [0, 1) -> (N, 3, 3) maps that move the frame's corners back, each corner by its own draw.

    A corner moves inwards by up to `perspective` of half the side along each axis, in a share of the images."""
    applied = (draw[:, :1] < cfg.perspective_share).to(draw.dtype)
    number = torch.arange(4, device=draw.device)  # arithmetic, as a list would make a GPU wait
    corners = torch.stack([(number + 1) // 2 % 2, number // 2], 1).to(draw.dtype) * 2 - 1  # clockwise from upper left
    moved = corners * (1 - cfg.perspective * (applied * draw[:, 1:]).reshape(-1, 4, 2))
    return between_quadrilaterals(moved, corners.expand(len(draw), 4, 2))


def between_quadrilaterals(source: Tensor, target: Tensor) -> Tensor:
    """The maps that take four corners to four corners: (N, 4, 2), (N, 4, 2) -> (N, 3, 3), lower right entry 1.

    Eight linear equations per image (Hartley and Zisserman 2004, section 4.1)."""
    x, y = source.unbind(-1)
    u, v = target.unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    first = torch.stack([x, y, one, zero, zero, zero, -x * u, -y * u], -1)
    second = torch.stack([zero, zero, zero, x, y, one, -x * v, -y * v], -1)
    # solve_ex, because solve would make a GPU wait to look for errors; quadrilaterals with area have none
    solved = torch.linalg.solve_ex(torch.cat([first, second], 1), torch.cat([u, v], 1))[0]
    return torch.cat([solved, one[:, :1]], 1).reshape(-1, 3, 3)
