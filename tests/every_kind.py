"""A network of every kind of layer. Imports no torch."""

from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, Conv, Dropout, Layer, MaxPool, Norm, ReLU, Residual

# Whatever is hard for one of the exports: a map that no convolution can take in, means of uneven windows, sums in sums.
EVERYTHING: tuple[Layer, ...] = (
    Norm(), Conv(6, padding=1, bias=True), MaxPool(2), Norm(), ReLU(), MaxPool(3, stride=2, padding=1), ReLU(),
    Residual((Conv(6, padding=1), Norm(), ReLU(), Residual((Conv(6, kernel=1, groups=0, bias=True), Norm())), Norm())),
    ReLU(), Dropout(0.5), Norm(), Conv(8, stride=2, padding=2, dilation=2, groups=2), MaxPool(2, dilation=1), Norm(),
    AvgPool(2, stride=1, padding=1), Norm(), AdaptiveAvgPool(2), Residual((Norm(), Conv(8, kernel=1), ReLU())),
    AdaptiveAvgPool(1), Conv(4, kernel=1, bias=True),
)
