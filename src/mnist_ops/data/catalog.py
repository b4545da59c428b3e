"""The datasets known by name: their files, mirrors, checksums, classes, licences. Reads and downloads nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
ARRAYS = "arrays"  # name of a dataset that was given in Python


@dataclass(frozen=True)
class KnownFile:
    """One file of a dataset as its makers published it."""

    name: str  # without .gz
    bytes: int  # uncompressed
    md5: str | None  # of the uncompressed content; None if only the .gz has a published checksum
    gz_md5: str | None  # of the published .gz; None for a file that is not downloaded
    shape: tuple[int, ...]  # of the array inside


@dataclass(frozen=True)
class DatasetInfo:
    """One dataset: its name, folder, mirrors, files and credits."""

    name: str  # as in --data
    title: str
    folder: str  # below a data folder, in torchvision's layout; empty for the dataset inside the package
    bases: tuple[str, ...]  # mirrors in the order they are tried, each ending in /
    files: tuple[KnownFile, ...]  # training images and labels, test images and labels; empty for the embedded set
    classes: tuple[str, ...]
    licence: str
    credit: str
    transposed: bool = False  # rows and columns of each image are exchanged in the files
    first_label: int = 0  # the label of the first class in the files

    @property
    def is_published(self) -> bool:
        """Whether its files have published checksums, by which a download can be checked."""
        return any(file.gz_md5 is not None for file in self.files)


def _four_files(md5: tuple[str | None, ...], gz_md5: tuple[str, ...]) -> tuple[KnownFile, ...]:
    """The four files of MNIST and its successors, which have the same names, sizes and shapes."""
    names = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)
    sizes = (47_040_016, 60_008, 7_840_016, 10_008)  # 16 or 8 bytes of header, then a byte per pixel or label
    shapes: tuple[tuple[int, ...], ...] = ((60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,))
    return tuple(map(KnownFile, names, sizes, md5, gz_md5, shapes))


DIGIT_CLASSES = tuple("0123456789")


def are_digits(classes: Sequence[str], channels: int) -> bool:
    """Whether images of these classes and channels are taken for digits: numbers may name the classes of anything."""
    return tuple(classes) == DIGIT_CLASSES and channels == 1


_MNIST = DatasetInfo(
    name="mnist",
    title="MNIST",
    folder="MNIST/raw",
    bases=("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    files=_four_files(
        md5=(
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
        gz_md5=(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ),
    classes=DIGIT_CLASSES,
    licence="CC BY-SA 3.0",
    credit="Yann LeCun, Corinna Cortes, Christopher J.C. Burges",
)

_FASHION_MNIST = DatasetInfo(
    name="fashion-mnist",
    title="Fashion-MNIST",
    folder="FashionMNIST/raw",
    bases=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    files=_four_files(
        md5=(
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
        gz_md5=(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
    classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    licence="MIT",
    credit="Zalando SE",
)

_KMNIST = DatasetInfo(
    name="kmnist",
    title="KMNIST",
    folder="KMNIST/raw",
    bases=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    files=_four_files(
        md5=(None, None, None, None),
        gz_md5=(
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        ),
    ),
    classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    licence="CC BY-SA 4.0",
    credit="KMNIST Dataset, Center for Open Data in the Humanities (CODH)",
)

_DIGITS = DatasetInfo(
    name="digits",
    title="Optical Recognition of Handwritten Digits (1,797 images, inside the package)",
    folder="",
    bases=(),
    files=(),
    classes=DIGIT_CLASSES,
    licence="CC BY 4.0",
    credit="E. Alpaydin, C. Kaynak; UCI Machine Learning Repository; DOI 10.24432/C50P49",
)

LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def _emnist(part: str, classes: tuple[str, ...], train: int, test: int, *, first_label: int = 0) -> DatasetInfo:
    """One of EMNIST's datasets, of so many images. Its files have no published checksums."""
    files = tuple(file for name, count in (("train", train), ("test", test)) for file in (
        KnownFile(f"emnist-{part}-{name}-images-idx3-ubyte", 16 + 784 * count, None, None, (count, 28, 28)),
        KnownFile(f"emnist-{part}-{name}-labels-idx1-ubyte", 8 + count, None, None, (count,))))
    return DatasetInfo(f"emnist-{part}", f"EMNIST {part.capitalize()}", "EMNIST/raw", (), files, classes,
                       "not stated", "Gregory Cohen, Saeed Afshar, Jonathan Tapson, André van Schaik; NIST",
                       transposed=True, first_label=first_label)


_EMNIST = (
    _emnist("letters", LETTERS, 124_800, 20_800, first_label=1),
    _emnist("balanced", (*DIGIT_CLASSES, *LETTERS, *"abdefghnqrt"), 112_800, 18_800),
    _emnist("digits", DIGIT_CLASSES, 240_000, 40_000),
)

CATALOG: dict[str, DatasetInfo] = {info.name: info for info in (_MNIST, _FASHION_MNIST, _KMNIST, *_EMNIST, _DIGITS)}
