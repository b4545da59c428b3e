"""The pages in headless Chromium: nothing fetched, nothing executed, nothing too wide, all within reach of Tab.

Of the page that reads drawings only what several characters add; the rest is in test_page."""

import dataclasses
import re

import numpy as np
import pytest
from PIL import Image

import mnist_ops
from mnist_ops.comparison.page import write_comparison
from mnist_ops.comparison.pairs import pairs
from mnist_ops.comparison.runs import group, read_runs
from mnist_ops.config import Augment
from mnist_ops.data.dataset import ImageDataset
from mnist_ops.export.fold_norms import fold_trained
from mnist_ops.export.page import page_html
from mnist_ops.report.findings import gather
from mnist_ops.report.report import SECTIONS, write_report
from mnist_ops.run.named import find_run
from mnist_ops.run.trained import load_trained
from tests import browser as chromium
from tests.miniature import SHORT, few_digits, train
from tests.test_several import STROKES, written

browser, tab = chromium.browser_fixture, chromium.tab_fixture
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


# --- Several characters on the page that reads drawings ---------------------------------------------------------------

HOUSE = [[(0.45, 0.8), (0.45, 0.45), (0.5, 0.2), (0.55, 0.45), (0.55, 0.8), (0.45, 0.8)], [(0.45, 0.45), (0.55, 0.45)]]


def strokes(digits, *, aspect, left=0.2, step=0.4):
    """Digits half as high as the drawing area, which is `aspect` heights wide, as one draws with a mouse."""
    return [[((left + step * place + x / 200) / aspect, 0.25 + y / 200) for x, y in STROKES[digit]]
            for place, digit in enumerate(digits)]


@pytest.fixture
def reader(tab, tmp_path):
    """The page of the weights that ship in the package, opened."""
    trained = load_trained(find_run("default"))
    file = tmp_path / "reader.html"
    file.write_text(page_html(trained, fold_trained(trained)), encoding="utf-8")
    return tab.open(file)


def told(reader, words):
    reader.page.wait_for_function(
        "words => document.getElementById('status').textContent.includes(words)", arg=words)


def row(reader):
    """The classes of the characters that are shown."""
    return "".join(reader.page.locator("#characters b").all_inner_texts())


def has_boxes(reader):
    """Whether the drawing holds something blue or orange."""
    return reader.run("""() => { const {width, height} = document.getElementById('ink');
        const {data} = document.getElementById('ink').getContext('2d').getImageData(0, 0, width, height);
        return data.some((value, place) => place % 4 === 0 && data[place + 3] === 255
            && Math.abs(value - data[place + 2]) > 60); }""")


def test_a_drawn_number_is_shown_as_text_and_character_by_character(reader):
    reader.page.get_by_text("Several", exact=True).click()
    told(reader, "Draw a number.")
    reader.draw(strokes("7021", aspect=2))
    told(reader, "Read as 7021: 4 characters")
    assert (reader.text("#class"), row(reader)) == ("7021", "7021")
    shares = reader.page.locator("#characters span").all_inner_texts()
    assert all(re.fullmatch(r"(> )?\d+\.\d %", one) for one in shares)
    assert has_boxes(reader)
    assert not reader.page.locator("#bars").is_visible()
    reader.page.keyboard.press("Control+z")
    told(reader, "Read as 702: 3 characters")
    reader.page.keyboard.press("Delete")
    told(reader, "Draw a number.")
    assert (row(reader), has_boxes(reader)) == ("", False)


def test_a_picture_of_a_number_is_read_as_python_reads_the_file(reader, tmp_path):
    file = tmp_path / "number.png"
    Image.fromarray(written("7021", "12")).save(file)
    expected = mnist_ops.load("default").read_several(file)
    reader.page.get_by_text("Several", exact=True).click()
    reader.page.set_input_files("#file", file)
    told(reader, f"Read as {expected.text.replace(chr(10), ' / ')}: 6 characters")
    assert reader.text("#class") == expected.text
    seen = reader.run("""() => [...document.querySelectorAll('#characters canvas')].map((canvas) =>
        Array.from(canvas.getContext('2d').getImageData(0, 0, 28, 28).data))""")
    for one, pixels in zip(expected.characters, seen, strict=True):
        np.testing.assert_array_equal(np.reshape(pixels, (28, 28, 4))[..., 0], one.seen)


def test_a_mark_that_is_left_out_and_what_is_not_a_character_are_said(reader, tmp_path):
    reader.page.get_by_text("Several", exact=True).click()
    dashed = written("70", step=220)
    dashed[86:94, 160:200] = 20
    Image.fromarray(dashed).save(tmp_path / "dashed.png")
    reader.page.set_input_files("#file", tmp_path / "dashed.png")
    told(reader, "Read as 70: 2 characters.\nLeft out: 1 mark such as a dash")
    reader.page.keyboard.press("Delete")
    reader.draw(HOUSE)
    told(reader, "This is not a character")
    assert reader.page.locator("#characters .doubtful em").all_inner_texts() == ["not a character"]


@pytest.mark.parametrize("way", ["drawn", "dropped"])
def test_one_of_several_says_so_and_a_button_reads_them_all(reader, tmp_path, way):
    every = reader.page.locator("#all")
    reader.draw(strokes("7", aspect=1))
    told(reader, "Read as 7, ")
    assert not every.is_visible()
    if way == "drawn":
        reader.draw(strokes("2", aspect=1, left=0.6))
    else:
        Image.fromarray(written("72")).save(tmp_path / "two.png")
        reader.page.set_input_files("#file", tmp_path / "two.png")
    told(reader, "It shows at least 1 more character, and is read as one")
    assert "Read as" in reader.text("#status")
    every.click()
    told(reader, "Read as 72: 2 characters")
    assert not every.is_visible()
    assert reader.run("() => document.activeElement.id") == "several"
    reader.page.keyboard.press("ArrowLeft")  # as between all radio buttons
    told(reader, "and is read as one")
    assert reader.page.locator("#bars").is_visible()


def test_a_wide_drawing_that_is_read_as_one_is_seen_whole(reader):
    reader.page.get_by_text("Several", exact=True).click()
    reader.draw(strokes("7021", aspect=2))
    told(reader, "Read as 7021")
    reader.page.get_by_text("One character", exact=True).click()
    told(reader, "more characters, and is read as one")
    edges = reader.run("""() => { const {width, height} = document.getElementById('ink');
        const {data} = document.getElementById('ink').getContext('2d').getImageData(0, 0, width, height);
        return data.some((value, place) => value && place % 4 === 3 && ((place >> 2) + 1) % width < 2); }""")
    assert not edges
    reader.page.get_by_text("Several", exact=True).click()
    told(reader, "Read as 7021")


@pytest.mark.parametrize("width", [320, 390, 700, 1000, 1280])
def test_a_number_makes_no_width_scroll_sideways(reader, width):
    reader.page.set_viewport_size({"width": width, "height": 800})
    reader.page.get_by_text("Several", exact=True).click()
    reader.draw(strokes("70217", aspect=2, left=0.1, step=0.36))
    told(reader, "Read as 70217")
    assert reader.run("() => document.documentElement.scrollWidth") == width


def test_a_network_of_stretched_pictures_has_no_choice(tab, tmp_path):
    trained = dataclasses.replace(load_trained(find_run("default")), prepare="resize")
    file = tmp_path / "stretched.html"
    file.write_text(page_html(trained, fold_trained(trained)), encoding="utf-8")
    tab.open(file).draw(strokes("7", aspect=1))
    tab.page.wait_for_function("() => document.getElementById('class').textContent")
    assert not tab.page.locator("#mode").is_visible()
