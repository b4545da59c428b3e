"""Templates of plain text, such as C code, filled: nothing that they are filled with is escaped."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def fill(template: str, content: Mapping[str, Any]) -> str:
    """The text of the template at that path within this package."""
    return _engine().get_template(template).render(content)


@cache
def _engine() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(loader=PackageLoader("mnist_ops.export", "."), trim_blocks=True, lstrip_blocks=True,
                       keep_trailing_newline=True, undefined=StrictUndefined, autoescape=False)
