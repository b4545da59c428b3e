"""lr.json of a run, its range test, read: the file may come from a stranger."""

from pathlib import Path

from mnist_ops.errors import RunError
from mnist_ops.optim.tune import RangeTest, Suggestion
from mnist_ops.run.folder import is_number, read_json


def read_range_test(path: Path) -> RangeTest:
    """The range test in lr.json. Raises RunError, naming the file, if it is missing or damaged."""
    content = read_json(path)
    del content["format"]
    try:
        found = {name: Suggestion(**one) for name, one in content.pop("suggestions").items()}
        rates, losses, smoothed = (tuple(content.pop(name)) for name in ("rates", "losses", "smoothed"))
        test = RangeTest(rates, losses, smoothed, found, **content)
        stopped = () if test.stopped_at is None else (test.stopped_at,)
        numbers = (*rates, *losses, *smoothed, *(end for one in found.values() for end in (one.rate, one.loss)),
                   test.lr, *stopped)
        if not all(map(is_number, numbers)) or not all((*rates, *stopped)):
            raise ValueError("a rate or a loss is not a number above 0")
        if not len(rates) == len(losses) == len(smoothed) > 1 or test.used not in found:
            raise ValueError("it is inconsistent")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: damaged, not a range test ({error}); restore it, or train again") from error
    return test
