"""The pages in headless Chromium: nothing fetched, nothing executed, nothing too wide, all within reach of Tab."""

import dataclasses
import re

import pytest

from mnist_ops.comparison.page import write_comparison
from mnist_ops.comparison.pairs import pairs
from mnist_ops.comparison.runs import group, read_runs
from mnist_ops.config import Augment
from mnist_ops.data.dataset import ImageDataset
from mnist_ops.report.findings import gather
from mnist_ops.report.report import SECTIONS, write_report
from tests import browser as chromium
from tests.miniature import SHORT, few_digits, train

browser = chromium.browser_fixture
# What would run, were it not shown as text; long enough to be wider than a phone.
EVIL = "<script>document.title = 'executed'</script>"
CLASSES = (EVIL, "<img src=x onerror=\"document.title = 'executed'\">", "a" * 90, "&lt;b&gt;", "'; --", "日本語の名前",
           "\N{GRINNING FACE}", "right \N{RIGHT-TO-LEFT OVERRIDE}left", "javascript:alert(1)", "{{ 7 * 7 }}")


def evil_digits() -> ImageDataset:
    return dataclasses.replace(few_digits(), classes=CLASSES)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A report with all its pictures, and a comparison; every name in them is hostile."""
    root = tmp_path_factory.mktemp("pages")
    config = dataclasses.replace(SHORT, recipe=f"short {EVIL}", epochs=1, target=99.4, augment=Augment(degrees=5.0))
    for seed in (0, 1):
        train(dataclasses.replace(config, seed=seed), root / f"s{seed}", source=evil_digits())
    write_report(gather(root / "s0", source=evil_digits()), images=8)
    recipes, warnings = group(read_runs([root])[0])
    write_comparison(root / "compare.html", recipes, pairs(recipes), [*warnings, f"a warning of {EVIL}"])
    return {"report": root / "s0" / "report.html", "compare": root / "compare.html"}


@pytest.fixture
def opened(browser, pages):
    """A function that opens one of the pages and gives it with what the browser has told and asked for."""
    contexts = []

    def load(name, **options):
        contexts.append(browser.new_context(**options))
        page, told, asked = contexts[-1].new_page(), [], []
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(pages[name].as_uri())
        return page, told, [url for url in asked if not url.startswith("data:image/png;base64,")]

    yield load
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", ["report", "compare"])
def test_nothing_is_fetched_complained_of_or_executed(opened, pages, name):
    page, told, asked = opened(name)
    assert asked == [pages[name].as_uri()]
    assert told == []
    assert page.title() != "executed"
    assert EVIL in page.title()
    assert page.locator("script").count() == 0
    assert page.get_by_text(EVIL).count() > 0
    broken = page.evaluate("[...document.images].filter(one => !one.complete || !one.naturalWidth).length")
    assert (broken, page.locator("img").count() > 1) == (0, True)


@pytest.mark.parametrize("name", ["report", "compare"])
@pytest.mark.parametrize("width", [320, 360, 700, 1280])
def test_no_width_makes_the_page_scroll_sideways(opened, name, width):
    page, _, _ = opened(name, viewport={"width": width, "height": 740})
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    outside = page.evaluate("""[...document.querySelectorAll('main *')].filter(one => !one.closest('.scroll, .frame')
        && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML)""")
    assert outside == []


def luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance of a CSS colour such as rgb(1, 2, 3)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
              for part in (int(one) / 255 for one in re.findall(r"\d+", colour)[:3])]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


TEXTS = "h1, h2, h3, p, li, a:not(.skip), td, th, dt, dd, summary, figcaption, .badge, code, .label"
CONTRASTS = """selector => [...document.querySelectorAll(selector)].map(one => {
    let ground = one
    while (ground.parentElement && getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)')
        ground = ground.parentElement
    return [getComputedStyle(one).color, getComputedStyle(ground).backgroundColor]
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "compare"])
def test_text_is_readable_in_either_theme_and_pictures_lie_on_white(opened, name, scheme):
    page, _, _ = opened(name, color_scheme=scheme)
    ground = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (ground > 0.8) == (scheme == "light")
    for ink, paper in page.evaluate(CONTRASTS, TEXTS):
        bright, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, f"{ink} on {paper}"  # WCAG 2.2, 1.4.3
    frames = page.evaluate("[...document.querySelectorAll('.frame')].map(one => getComputedStyle(one).backgroundColor)")
    assert set(frames) == {"rgb(255, 255, 255)"}


def test_tab_reaches_the_text_then_the_contents_and_shows_where_it_is(opened):
    page, _, _ = opened("report")
    reached = []
    for _ in range(2 + len(SECTIONS)):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.getAttribute('href')"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        box = page.evaluate("(({left, top}) => [left, top])(document.activeElement.getBoundingClientRect())")
        if len(reached) <= 1 + len(SECTIONS):
            assert min(box) >= 0, "where the focus is can be seen"
    assert reached[:-1] == ["#main", *(f"#{name}" for name in SECTIONS)]


def test_the_skip_link_and_the_contents_lead_to_their_places(opened):
    page, _, _ = opened("report", reduced_motion="reduce")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.locator(".toc a[href='#calibration']").click()
    assert abs(page.evaluate("document.querySelector('#calibration').getBoundingClientRect().top")) < 80


def test_a_table_opens_by_the_keyboard(opened):
    page, _, _ = opened("report")
    table = page.locator("#course table")
    assert not table.is_visible()
    page.locator("#course summary").focus()
    page.keyboard.press("Enter")
    assert table.is_visible()


def test_on_paper_the_ground_is_white_and_no_picture_is_cut_in_two(opened):
    page, _, _ = opened("report", color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert luminance(page.evaluate("getComputedStyle(document.body).color")) < 0.1
    assert not page.locator(".toc").is_visible()
    breaks = page.evaluate("""[...document.querySelectorAll('figure:not(.data)')].map(
        one => getComputedStyle(one).breakInside)""")
    assert set(breaks) == {"avoid"}
    content = page.pdf(prefer_css_page_size=True)
    assert content.startswith(b"%PDF")
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 16


def test_the_accessibility_tree_names_every_picture_and_section(opened):
    page, _, _ = opened("report")
    names = page.evaluate("[...document.images].map(one => one.alt.length)")
    assert min(names) > 40
    assert page.get_by_role("region").count() == len(SECTIONS)
    assert page.get_by_role("navigation", name="Contents").count() == 1
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("img", name=re.compile("Test accuracy .* interval")).count() == 1
