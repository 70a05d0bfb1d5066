"""Pages of runs in a real browser: both widths, both colour schemes, on screen and on paper."""

import itertools
import re
import shutil

import pytest
import written_runs
from browser import chromium

from experiments.__main__ import main

BINARY = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BINARY and DRIVER), reason="needs Chromium and its driver (chromium, chromium-driver)"
)

WIDTHS, SCHEMES = (1280, 390), ("light", "dark")
VIEWS = list(itertools.product(WIDTHS, SCHEMES))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(BINARY, DRIVER, tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of a run with long words and wide tables, and one that compares three such runs."""
    folder = tmp_path_factory.mktemp("runs")
    runs = []
    for name in ("first", "second" * 12, "third"):
        accuracies = [0.9, 0.95, 0.97]
        results = written_runs.result(
            accuracies,
            **{"long_" * 30: "word" * 60},
            table=[{f"column {index}": index * 1e5 for index in range(30)}],
        )
        written_runs.write(
            folder / name,
            lines=written_runs.rows(accuracies),
            results=results,
            pictures=["kernels", "mistakes"],
        )
        (folder / name / "figures" / "mistakes.svg").unlink()
        runs.append(str(folder / name))
    assert main(["report", runs[0]]) == 0
    assert main(["report", *runs, "--out", str(folder / "comparison.html")]) == 0
    return {"run": folder / "first" / "report.html", "comparison": folder / "comparison.html"}


def luminance(colour):
    """Return the relative luminance of "rgb(r, g, b)", as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def colour_of(browser, selector, *, name="color"):
    return browser.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{name}")


@pytest.mark.parametrize("which", ["run", "comparison"])
@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_the_page_is_as_wide_as_the_window_and_quiet(browser, pages, which, width, scheme):
    browser.open(pages[which], width=width, scheme=scheme)
    assert browser.evaluate("document.scrollingElement.scrollWidth") <= width
    assert browser.evaluate("innerWidth") == width
    assert browser.requests() == [pages[which].as_uri()]
    assert browser.logged("browser") == []


@pytest.mark.parametrize("width", WIDTHS)
def test_wide_tables_scroll_in_boxes_with_an_edge(browser, pages, width):
    browser.open(pages["run"], width=width, scheme="light")
    wide = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
    assert browser.evaluate(f"{wide}.length") > 0
    assert browser.evaluate(f"getComputedStyle({wide}[0]).borderRightWidth") == "1px"


def test_captions_wrap_within_a_narrow_window(browser, pages):
    browser.open(pages["comparison"], width=390, scheme="light")
    edges = "[...document.querySelectorAll('.caption')].map(e => e.getBoundingClientRect().right)"
    assert 0 < browser.evaluate(f"Math.max(...{edges})") <= 390


def test_a_word_that_fits_in_half_a_narrow_window_is_not_broken(browser, pages):
    browser.open(pages["comparison"], width=390, scheme="light")
    cell = "document.querySelector('td')"
    lines = "correlation_vs_convolution", "a b"
    heights = [
        browser.evaluate(f"(({cell}.textContent = '{text}'), {cell}.clientHeight)")
        for text in lines
    ]
    assert heights[0] == heights[1]


def test_the_dark_page_is_dark_and_the_light_one_light(browser, pages):
    grounds = {}
    for scheme in SCHEMES:
        browser.open(pages["run"], width=1280, scheme=scheme)
        grounds[scheme] = luminance(colour_of(browser, "body", name="backgroundColor"))
    assert grounds["dark"] < 0.02
    assert grounds["light"] > 0.9


@pytest.mark.parametrize(
    "selector",
    ["body", ".headline", ".headline span", "a", ".caption", "thead th", "figcaption", ".kind"],
)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_has_the_contrast_of_wcag_aa(browser, pages, scheme, selector):
    browser.open(pages["run"], width=1280, scheme=scheme)
    ground = luminance(colour_of(browser, "body", name="backgroundColor"))
    low, high = sorted([ground, luminance(colour_of(browser, selector))])
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_words_of_curves_take_the_ink_of_the_page(browser, pages):
    inks = []
    for scheme in SCHEMES:
        browser.open(pages["run"], width=1280, scheme=scheme)
        inks.append(colour_of(browser, ".panels svg text", name="fill"))
        assert inks[-1] == colour_of(browser, "body")
    assert inks[0] != inks[1]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_paper_is_white_and_cuts_no_table(browser, pages, scheme):
    browser.open(pages["run"], width=700, scheme=scheme, media="print")
    assert colour_of(browser, "body", name="backgroundColor") == "rgb(255, 255, 255)"
    assert colour_of(browser, "figure", name="breakInside") == "avoid"
    assert colour_of(browser, ".scroll", name="overflowX") == "visible"
