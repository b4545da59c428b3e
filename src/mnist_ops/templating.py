"""Renders the templates of pages and of plain text such as C code; the policy of a page."""

import base64
import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

from mnist_ops.errors import legible

if TYPE_CHECKING:
    from jinja2 import Environment


def policy(style: str, images: str, script: str = "") -> str:
    """The content security policy of a page: the one style, the one script if any, those images, no network access."""
    scripts = f"script-src {hash_source(script)}; " if script else ""
    return (f"default-src 'none'; {scripts}style-src {hash_source(style)}; img-src {images}; base-uri 'none'; "
            "form-action 'none'")


def hash_source(text: str) -> str:
    """The hash of a script or style in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def fill(template: str, *, escape: bool, **content: Any) -> str:
    """The rendered template at that path within the package; escape: as HTML, else not at all.

    In a page no text can hide, turn or break what stands around it, see `legible`; markup is as it is."""
    return _engine(escape).get_template(template).render(content)


@cache
def _engine(escape: bool) -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(loader=PackageLoader("mnist_ops", "."), autoescape=escape, undefined=StrictUndefined,
                       finalize=_shown if escape else None,
                       trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=not escape)


def _shown(value: Any) -> Any:
    """A text as it is shown in a page; what is markup, or no text, is unchanged."""
    return legible(value, lines=True) if type(value) is str else value
