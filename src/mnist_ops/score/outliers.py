"""Pictures of no class, made of the training images alone, so that a score can learn what to refuse in any dataset.

After outlier exposure (Hendrycks et al. 2019, arXiv:1812.04606), which takes them from another dataset."""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

STROKE = 2.5  # contrast of the half that is made as sharp as drawings


def outliers(images: Tensor, generator: Generator) -> Tensor:
    """images (N, C, H, W) in [0, 1], on the CPU, in random order -> as many others, made by each of `KINDS` in turn.

    Centred where the images were, so that the place does not give them away. All randomness comes from `generator`."""
    made = images.clone()
    for number, kind in enumerate(KINDS):
        chosen = slice(number, None, len(KINDS))
        made[chosen] = kind(images[chosen], images.roll(1, 0)[chosen], generator)
    made = _centred(made, images)
    sharp = ((made - 0.5) * STROKE + 0.5).clamp(0, 1)
    return (255 * torch.where(_uniform(made, generator) < 0.5, sharp, made)).round() / 255


def _uniform(images: Tensor, generator: Generator, low: float = 0, high: float = 1) -> Tensor:
    """A number for each image, (N, 1, 1, 1)."""
    return low + (high - low) * torch.rand(len(images), 1, 1, 1, generator=generator)


def _sampled(images: Tensor, matrix: Tensor) -> Tensor:
    """Each image through its affine map (N, 2, 3), of coordinates from -1 to 1; what lies outside is 0."""
    return F.grid_sample(images, F.affine_grid(matrix, list(images.shape), align_corners=False), align_corners=False)


def _turned(images: Tensor, generator: Generator, degrees: tuple[float, float], zoom: float) -> Tensor:
    """Turned by an angle between the two, and each axis scaled by up to `zoom` or its inverse."""
    angle = torch.deg2rad(_uniform(images, generator, *degrees)).flatten()
    across, down = (torch.exp(_uniform(images, generator, -1, 1).flatten() * math.log(zoom)) for _ in range(2))
    matrix = torch.zeros(len(images), 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = angle.cos() * across, -angle.sin() * across
    matrix[:, 1, 0], matrix[:, 1, 1] = angle.sin() * down, angle.cos() * down
    return _sampled(images, matrix)


def _centred(made: Tensor, images: Tensor) -> Tensor:
    """`made` moved by whole pixels, so that its centre of mass is that of `images`."""
    matrix = torch.eye(2, 3).repeat(len(made), 1, 1)
    for row, axis in enumerate((3, 2)):
        place = torch.arange(made.shape[axis], dtype=torch.float32)
        centre = [(mass * place).sum(1) / mass.sum(1).clamp(min=1e-3)
                  for mass in (part.sum([one for one in (1, 2, 3) if one != axis]) for part in (made, images))]
        matrix[:, row, 2] = (centre[0] - centre[1]).round() * 2 / made.shape[axis]
    return _sampled(made, matrix)


def _half(images: Tensor, generator: Generator) -> Tensor:
    """True in the upper or left part of each image, (N, 1, H, W), about half of it."""
    height, width = images.shape[2:]
    bound, upright = _uniform(images, generator, 0.35, 0.65), _uniform(images, generator) < 0.5
    rows, columns = torch.arange(height)[:, None] < height * bound, torch.arange(width) < width * bound
    return torch.where(upright, rows, columns)


def _mirrored(images: Tensor, generator: Generator) -> Tensor:
    return torch.where(_uniform(images, generator) < 0.5, images.flip(2), images.flip(3))


def _warped(images: Tensor, other: Tensor, generator: Generator) -> Tensor:
    """Bent by a smooth random field."""
    coarse = torch.randn(len(images), 2, 4, 4, generator=generator) * _uniform(images, generator, 0.12, 0.4)
    field = F.interpolate(coarse, size=images.shape[2:], mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    straight = F.affine_grid(torch.eye(2, 3).repeat(len(images), 1, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, straight + field, align_corners=False)


def _quartered(images: Tensor, other: Tensor, generator: Generator) -> Tensor:
    first, second = _half(images, generator), _half(images, generator)
    return torch.where(first, torch.where(second, images, other), torch.where(second, other.flip(3), images.flip(2)))


def _beside(images: Tensor, other: Tensor, generator: Generator) -> Tensor:
    """Next to one another, touching or overlapping a little, together no larger than one; half of them with a narrow
    one, as a stroke beside a shape is most like a single shape."""
    inked = (images.amax((1, 2)) > 0.5 * images.amax((1, 2, 3), keepdim=True)[:, 0, 0]).float()
    begin, width = inked.argmax(1), inked.sum(1)
    narrow = width.argsort()[:max(1, len(images) // 5)]
    drawn = narrow[torch.randint(len(narrow), (len(images),), generator=generator)]
    pairs = torch.where(_uniform(images, generator).flatten() < 0.5, drawn, torch.arange(len(images)).roll(1))
    side, ahead = images.shape[3], _uniform(images, generator).flatten() < 0.5
    whole = width + width[pairs] - side * _uniform(images, generator, -0.03, 0.15).flatten()
    zoom = (whole / (0.72 * side)).clamp(min=1)
    parts = []
    for chosen, left in ((torch.arange(len(images)), ahead), (pairs, ~ahead)):
        matrix = torch.zeros(len(images), 2, 3)
        matrix[:, 0, 0] = matrix[:, 1, 1] = zoom
        offset = torch.where(left, width[chosen] - whole, whole - width[chosen])  # twice, in pixels of the originals
        matrix[:, 0, 2] = (2 * begin[chosen] + width[chosen] - side - offset) / side
        parts.append(_sampled(images[chosen], matrix))
    return torch.maximum(*parts)


def _texture(images: Tensor, generator: Generator) -> Tensor:
    """Noise of SD about 1: fine, coarse or smooth."""
    fine = torch.randn(images.shape, generator=generator)
    smooth = F.interpolate(fine[:, :, :7, :7], size=images.shape[2:], mode="bicubic")
    which = _uniform(images, generator)
    return torch.where(which < 1 / 3, fine, torch.where(which < 2 / 3, 4 * F.avg_pool2d(fine, 5, 1, 2), smooth))


def _part(images: Tensor, other: Tensor, generator: Generator) -> Tensor:
    return _turned(torch.where(_half(images, generator), images, 0), generator, (-180, 180), 1.4)


# (images, as many others, generator) -> images: a quarter turn, any other turn, bent, halves of two, quarters of two,
# one half mirrored, two on one another, one on itself turned, one on its mirror image, two side by side (twice, as
# these are hard to tell), a part, inverted, noise, spots
KINDS: tuple[Callable[[Tensor, Tensor, Generator], Tensor], ...] = (
    lambda images, _, generator: _turned(images, generator, (70, 110), 1.15),
    lambda images, _, generator: _turned(images, generator, (60, 300), 1.5),
    _warped,
    lambda images, other, generator: torch.where(_half(images, generator), images, other),
    _quartered,
    lambda images, _, generator: torch.where(_half(images, generator), images, _mirrored(images, generator)),
    lambda images, other, generator: torch.maximum(_turned(images, generator, (-90, 90), 1.2),
                                                   _turned(other, generator, (-180, 180), 1.2)),
    lambda images, _, generator: torch.maximum(images, _turned(images, generator, (60, 120), 1.2)),
    lambda images, _, generator: torch.maximum(images, _mirrored(images, generator)),
    _beside,
    _beside,
    _part,
    lambda images, _, generator: 1 - images,
    lambda images, _, generator: (images.mean((1, 2, 3), keepdim=True) + 0.5 * _texture(images, generator)).clamp(0, 1),
    lambda images, _, generator: ((_texture(images, generator) - _uniform(images, generator, 0, 1.2)) * 4).clamp(0, 1),
)
