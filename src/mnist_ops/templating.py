"""Renders the templates of pages and of plain text such as C code."""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def fill(template: str, *, escape: bool, **content: Any) -> str:
    """The rendered template at that path within the package; escape: as HTML, else not at all."""
    return _engine(escape).get_template(template).render(content)


@cache
def _engine(escape: bool) -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(loader=PackageLoader("mnist_ops", "."), autoescape=escape, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=not escape)
