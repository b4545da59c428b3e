"""Images one at a time, as torchvision's dataset and transforms give them: what the two baselines train on.

Each function does for one image what the torchvision class of the same purpose does for a PIL image: the same draws
from PyTorch's global generator, the same calls of Pillow and PyTorch, nothing besides. Parameters are the baselines'.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mnist_ops.data.dataset import ImageSet

Transform: TypeAlias = Callable[[Image.Image], Tensor]
Corners: TypeAlias = list[tuple[int, int]]
Loader: TypeAlias = DataLoader[Any]  # of pairs of tensors: (N, 1, 28, 28), (N,)


class PerImage(Dataset[Any]):
    """A part of a dataset as pairs of (transformed image, label), made when they are asked for."""

    def __init__(self, part: ImageSet, transform: Transform) -> None:
        self.images = torch.from_numpy(part.images)
        self.labels = torch.from_numpy(part.labels)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.images[index].numpy())
        return self.transform(picture), int(self.labels[index])


def random_perspective(picture: Image.Image, share: float, chance: float, fill: int) -> Image.Image:
    """With that chance move each corner inwards by up to `share` of half the side; bilinear."""
    if torch.rand(1) >= chance:
        return picture
    width, height = picture.size
    across, down = int(share * (width // 2)), int(share * (height // 2))
    right, bottom = width - 1, height - 1
    start = [(0, 0), (right, 0), (right, bottom), (0, bottom)]
    end = [(_whole(0, across), _whole(0, down)), (_whole(right - across, right), _whole(0, down)),
           (_whole(right - across, right), _whole(bottom - down, bottom)), (_whole(0, across),
                                                                            _whole(bottom - down, bottom))]
    return picture.transform(picture.size, Image.Transform.PERSPECTIVE, perspective_coefficients(start, end),
                             Image.Resampling.BILINEAR, fillcolor=fill)


def perspective_coefficients(start: Corners, end: Corners) -> list[float]:
    """Pillow's eight numbers of the map from `end`, corners of the result, to `start`: by least squares, in float64."""
    equations = torch.zeros(2 * len(start), 8, dtype=torch.float64)
    for number, ((u, v), (x, y)) in enumerate(zip(start, end, strict=True)):
        equations[2 * number] = torch.tensor([x, y, 1, 0, 0, 0, -u * x, -u * y])
        equations[2 * number + 1] = torch.tensor([0, 0, 0, x, y, 1, -v * x, -v * y])
    wanted = torch.tensor(start, dtype=torch.float64).view(8)
    solved = torch.linalg.lstsq(equations, wanted, driver="gels").solution
    return [float(value) for value in solved.to(torch.float32).tolist()]


def random_rotation(picture: Image.Image, degrees: float, fill: int) -> Image.Image:
    """Turn about the centre by an angle from [-degrees, degrees]; nearest neighbour, torchvision's default."""
    angle = float(torch.empty(1).uniform_(-degrees, degrees).item())
    return picture.rotate(angle, Image.Resampling.NEAREST, expand=False, fillcolor=fill)


def to_tensor(picture: Image.Image) -> Tensor:
    """(1, H, W) float32 in [0, 1]."""
    grey = torch.from_numpy(np.array(picture, np.uint8, copy=True))
    return grey.view(picture.height, picture.width, 1).permute(2, 0, 1).contiguous().to(torch.float32).div(255)


def normalise(image: Tensor, mean: float, sd: float) -> Tensor:
    """Mean 0, SD 1 over the training part."""
    means, sds = torch.as_tensor((mean,), dtype=image.dtype), torch.as_tensor((sd,), dtype=image.dtype)
    if (sds == 0).any():
        raise ValueError("the standard deviation is 0")
    return image.clone().sub_(means.view(-1, 1, 1)).div_(sds.view(-1, 1, 1))


def _whole(low: int, high: int) -> int:
    """A whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, size=(1,)).item())
