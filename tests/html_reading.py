"""A page taken apart with Python's own parser. For tests of pages."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

from mnist_ops.templating import hash_source

VOID = {"meta", "img", "br", "link", "input", "hr"}


@dataclass
class Element:
    """An element with its attributes, the text inside it, and what it lies in."""

    tag: str
    attributes: dict[str, str]
    path: tuple[str, ...]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """Every element in order. `unclosed` holds what was not closed where it should have been."""

    source: str
    elements: list[Element] = field(default_factory=list)
    unclosed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.open: list[Element] = []
        self.feed(self.source)
        self.unclosed += [element.tag for element in self.open]

    def handle_starttag(self, tag, attrs):
        found = Element(tag, {name: value or "" for name, value in attrs}, tuple(one.tag for one in self.open))
        self.elements.append(found)
        if tag not in VOID:
            self.open.append(found)

    def handle_endtag(self, tag):
        if self.open and self.open[-1].tag == tag:
            self.open.pop()
        else:
            self.unclosed.append(tag)

    def handle_data(self, data):
        for element in self.open:
            element.text += data

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]

    def by_id(self, name: str) -> Element:
        (found,) = [element for element in self.elements if element.attributes.get("id") == name]
        return found

    @property
    def ids(self) -> list[str]:
        return [element.attributes["id"] for element in self.elements if "id" in element.attributes]

    def table(self, caption: str) -> list[list[str]]:
        """The rows, heading first, of the table whose caption begins so."""
        place = next(number for number, element in enumerate(self.elements)
                     if element.tag == "figcaption" and element.text.strip().startswith(caption))
        rows: list[list[str]] = []
        for element in self.elements[place + 1:]:
            if element.tag == "figcaption":
                break
            if element.tag == "tr":
                rows.append([])
            if element.tag in ("th", "td"):
                rows[-1].append(element.text.strip())
        return rows

    def words(self, name: str) -> str:
        """The text of the element with that id, its white space made single."""
        return " ".join(self.by_id(name).text.split())


def check_self_contained(page: Page) -> None:
    """No script, nothing fetched: every address is inside the page, or one of the two tables beside it."""
    assert page.all("script", "link", "iframe", "object", "embed", "video", "audio", "source", "base", "form") == []
    addresses = [(element.tag, name, element.attributes[name]) for element in page.elements
                 for name in ("src", "href", "srcset", "poster", "action", "background") if name in element.attributes]
    outside = [one for one in addresses if not one[2].startswith(("#", "data:image/png;base64,"))
               and one[2] not in ("mistakes-test.csv", "mistakes-train.csv")]
    assert outside == []
    assert [name for element in page.elements for name in element.attributes if name.startswith("on")] == []
    (style,) = page.all("style")
    assert "url(" not in style.text
    assert "@import" not in style.text
    policy = [one.attributes["content"] for one in page.all("meta") if one.attributes.get("http-equiv")]
    assert policy == [f"default-src 'none'; style-src {hash_source(style.text)}; img-src data:; base-uri 'none'; "
                      "form-action 'none'"]
    assert [one.tag for one in page.elements if "style" in one.attributes] == []


def check_structure(page: Page) -> None:
    """Elements closed, ids unique, links that lead somewhere, headings in order, every picture with its words."""
    assert page.unclosed == []
    assert len(page.ids) == len(set(page.ids))
    inside = [one.attributes["href"][1:] for one in page.all("a") if one.attributes["href"].startswith("#")]
    assert set(inside) <= set(page.ids)
    labels = [one.attributes["aria-labelledby"] for one in page.elements if "aria-labelledby" in one.attributes]
    assert set(labels) <= set(page.ids)
    levels = [int(one.tag[1]) for one in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert [one.attributes for one in page.all("img") if len(one.attributes.get("alt", "").split()) < 5] == []
