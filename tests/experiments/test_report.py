import base64
import datetime
import html
import os
import re
from html.parser import HTMLParser

import pytest
import written_runs

from experiments.__main__ import main
from experiments.running import run_folder

ACCURACIES = [0.98, 0.99, 1.0]
NASTY = "<script>alert('&\"')</script>"


class Page(HTMLParser):
    """What tests ask of a page: its tags, and the words between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(folder):
    """Write the page of a run by the command, and read it."""
    assert main(["report", str(folder)]) == 0
    return Page((folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run of three seeds with figures."""
    folder = tmp_path_factory.mktemp("report") / "a run"
    results = written_runs.result(ACCURACIES, figure_seconds=1.5, input_seconds=0.5)
    lines = written_runs.rows(ACCURACIES)
    overrides = ["seeds=3", "optimizer.learning_rate=0.02"]
    pictures = ("kernels", "confusion")
    written_runs.write(folder, lines=lines, results=results, pictures=pictures, overrides=overrides)
    (folder / "figures" / "operators.png").write_bytes(
        (folder / "figures" / "kernels.png").read_bytes()
    )
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return page_of(folder)


@pytest.mark.parametrize(
    "expected",
    [
        "99.00 ± 1.00 %",
        "95 % interval of the mean: 96.52 to 101.48 %",  # 4.303 std / sqrt(3) around it
        "test accuracy (%) 3 99.00 1.00 96.52 to 101.48",
        "optimizer.learning_rate 0.02",
        "commit 0123456789abcdef",
        "compilation, and all else before the first step 2.00 s 20 %",
        "training, all networks 3.00 s 30 %",
        "evaluation, its compilation too 1.50 s 15 %",
        "figures 1.50 s 15 %",
        "all else, checkpoints among it 2.00 s 20 %",
        "conv2 14\N{MULTIPLICATION SIGN}14 2 0 to 13",
        "the mean over 3 seeds, and the band reaches from the least of them to the greatest",
        "Not in the folder: feature maps, mistakes.",
    ],
)
def test_the_page_says(page, expected):
    assert expected in page.text


def test_the_command_says_where_the_page_is(folder, capsys):
    main(["report", str(folder)])
    assert capsys.readouterr().out == f"report: {folder / 'report.html'}\n"


def test_the_page_repeats_byte_for_byte(folder, page):
    before = (folder / "report.html").read_bytes()
    page_of(folder)
    assert (folder / "report.html").read_bytes() == before


def test_nothing_else_in_the_folder_changes(tmp_path):
    folder = written_runs.write(tmp_path / "run", results=written_runs.result(ACCURACIES))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    page_of(folder)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after.keys() - before.keys() == {folder / "report.html"}
    assert {path: after[path] for path in before} == before


def test_the_page_has_a_language_a_title_and_headings_in_order(page):
    assert page.all("html") == [{"lang": "en"}]
    assert "a run" in page.text
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert set(levels[1:]) == {2}


def test_every_picture_and_heading_of_a_table_is_named(page):
    assert all(image["alt"] for image in page.all("img"))
    assert all(each["scope"] in ("row", "col") for each in page.all("th"))
    drawings = [each for each in page.all("div") if each.get("role") == "img"]
    assert [each["aria-label"].partition(" against")[0] for each in drawings] == [
        "training loss",
        "error (%)",
    ]


def test_an_id_stands_once(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_figures_stand_in_the_page_as_svg_where_there_is_one(page):
    kinds = [image["src"].partition(";")[0] for image in page.all("img")]
    assert kinds == ["data:image/svg+xml", "data:image/svg+xml", "data:image/png"]


def test_figures_link_to_their_files(folder, page):
    links = [each["href"] for each in page.all("a") if each["href"].startswith("figures/")]
    assert len(links) == 3
    assert all((folder / link).is_file() for link in links)


def test_an_svg_is_told_of_dark_pages(page):
    source = page.all("img")[0]["src"].partition(",")[2]
    assert b"prefers-color-scheme:dark" in base64.b64decode(source)


def test_links_hold_where_the_page_lies_elsewhere(folder, tmp_path):
    out = tmp_path / "page.html"
    assert main(["report", str(folder), "--out", str(out)]) == 0
    links = [each["href"] for each in Page(out.read_text(encoding="utf-8")).all("a")]
    assert all((tmp_path / link.replace("%20", " ")).is_file() for link in links)


def test_pictures_beyond_2_mb_are_linked(tmp_path):
    folder = written_runs.write(tmp_path / "run")
    noise = b"\x89PNG" + os.urandom(700_000) + b"IEND\xae\x42\x60\x82"
    for name in ("a", "b", "c"):
        (folder / "figures" / f"{name}.png").write_bytes(noise)
    page = page_of(folder)
    assert len(page.all("img")) == 1
    assert page.text.count("Too large for this page, or not whole: see the file") == 2
    assert (folder / "report.html").stat().st_size < 2_000_000


def test_curves_take_the_room_of_pictures(tmp_path):
    lines = [
        {"kind": kind, "seed": seed, "setting": {"rate": rate}, "epoch": epoch}
        | {"accuracy": (7 * epoch + 3 * rate + seed) % 97 / 100, "loss": epoch % (rate + 2) + 1}
        for kind in ("train", "evaluate")
        for rate in range(12)
        for seed in (0, 1)
        for epoch in range(1, 301)
    ]
    folder = written_runs.write(tmp_path / "run", lines=lines)
    noise = b"\x89PNG" + os.urandom(1_270_000) + b"IEND\xae\x42\x60\x82"
    (folder / "figures" / "a.png").write_bytes(noise)
    page_of(folder)
    assert (folder / "report.html").stat().st_size < 2_000_000


def test_long_words_are_cut(tmp_path):
    table = {"experiment": "lenet5", "data": {"name": "x" * 300_000}}
    folder = written_runs.write(tmp_path / "run", table=table, results={"error": "y " * 300_000})
    page_of(folder)
    assert (folder / "report.html").stat().st_size < 100_000


def test_html_in_names_and_values_is_text(tmp_path):
    table = {"experiment": "lenet5", NASTY: NASTY, "data": {"name": NASTY}}
    results = written_runs.result(ACCURACIES, error=NASTY, evaluated_on=NASTY, diverged=[NASTY])
    lines = written_runs.rows([0.5], setting={NASTY: NASTY}) + written_runs.rows([0.5])
    folder = tmp_path / "<b onload=x>"
    written_runs.write(folder, table=table, results={**results, NASTY: 1}, lines=lines)
    (folder / "figures" / "<i>.png").write_bytes(b"")
    page = page_of(folder)
    assert not page.all("script") + page.all("b") + page.all("i")
    assert NASTY in html.unescape(page.text)
    assert not [name for _, attributes in page.tags for name in attributes if name[:2] == "on"]


DAMAGE = {
    "no_config": ("config.toml", None, "config.toml: missing"),
    "half_a_config": ("config.toml", b"[data", "config.toml: cannot be read"),
    "newer_config": ("config.toml", b'experiment="lenet9"', "cannot read the config"),
    "no_environment": ("environment.json", None, "environment.json is missing"),
    "odd_environment": ("environment.json", b'{"packages": 3, "time": []}', "packages 3"),
    "newer_version": (
        "environment.json",
        b'{"packages": {"conv_jax": "99.0"}}',
        "written by conv_jax 99.0, newer than this",
    ),
    "no_metrics": ("metrics.jsonl", None, "metrics.jsonl is missing"),
    "torn_metrics": ("metrics.jsonl", b'{"kind": "train"}\n{"kin', "line 2 of 2 is not whole"),
    "odd_metrics": (
        "metrics.jsonl",
        b'{"kind": ["train"], "epoch": {}}\n{"kind": "train", "loss": "x", "step": null}\n'
        b'{"kind": "train", "loss": 1e308, "epoch": 1}\n{"kind": "evaluate", "accuracy": true}\n'
        b'{"kind": "train", "loss": -1, "epoch": 1e300}\n{"seed": [], "setting": 3, "kind": ""}\n',
        "has no row with an epoch",
    ),
    "no_result": ("result.json", None, "This run ended without a word"),
    "half_a_result": ("result.json", b'{"status": "fini', "result.json: cannot be read"),
    "odd_result": (
        "result.json",
        b'{"status": ["?"], "accuracy": {"a": null}, "seeds": 3, "settings": [{"setting": 1}, 2],'
        b'"diverged": 7, "wall_seconds": "x", "train_seconds": {}, "loss": [[]], "a": "\\ud800"}',
        "Results",
    ),
}


@pytest.mark.parametrize(("name", "content", "expected"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_run_has_a_page_that_says_so(tmp_path, name, content, expected):
    folder = written_runs.write(
        tmp_path / "run",
        lines=written_runs.rows([0.5]),
        results=written_runs.result([0.5]),
        pictures=["kernels"],
    )
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    assert expected in page_of(folder).text


@pytest.mark.parametrize("name", ["kernels.svg", "kernels.png"])
def test_half_a_picture_is_not_shown(tmp_path, name):
    folder = written_runs.write(tmp_path / "run", pictures=["kernels"])
    path = folder / "figures" / name
    path.write_bytes(path.read_bytes()[:-40])
    (image,) = page_of(folder).all("img")
    assert image["class"] == {"kernels.svg": "png", "kernels.png": "svg"}[name]


def test_a_run_that_goes_on_shows_what_it_has(tmp_path):
    folder = written_runs.write(tmp_path / "run", lines=written_runs.rows(ACCURACIES))
    lock = run_folder._lock(folder)
    try:
        page = page_of(folder)
    finally:
        os.close(lock)
    assert "This run goes on" in page.text
    assert "evaluated accuracy after the last epoch so far" in page.text


def test_a_failed_run_shows_its_error(tmp_path):
    results = {"status": "failed", "error": "DivergedError: loss nan"}
    page = page_of(written_runs.write(tmp_path / "run", results=results))
    assert "This run failed." in page.text
    assert "DivergedError: loss nan" in page.text


def test_a_sweep_shows_its_settings_the_best_first(tmp_path):
    accuracies = {0.1: [0.5, 0.6], 0.2: [0.8, 0.9]}
    settings = [
        {
            "setting": {"optimizer.learning_rate": rate},
            "accuracy": {"mean": sum(two) / 2, "std": 0.07, "interval": [0.1, 0.9], "n": 2},
            "diverged": 0,
        }
        for rate, two in accuracies.items()
    ]
    lines = [
        row
        for rate, two in accuracies.items()
        for row in written_runs.rows(two, setting={"optimizer.learning_rate": rate})
    ]
    results = {"status": "finished", "evaluated_on": "test", "settings": settings}
    page = page_of(written_runs.write(tmp_path / "run", lines=lines, results=results))
    first, second = "0.2 2 85.00 7.00 10.00 to 90.00 0", "0.1 2 55.00 7.00 10.00 to 90.00 0"
    assert f"{first} {second}" in page.text
    assert "optimizer.learning_rate 0.1 optimizer.learning_rate 0.2" in page.text  # the legend
    assert "±" not in page.text  # no mean over settings


def test_other_experiments_show_their_numbers(tmp_path):
    results = {
        "status": "finished",
        "kernel": [[1.0, -1.0]],
        "largest_error": 1e-5,
        "claims": [{"exercise": "1.1", "holds": True}],
        "responses": {"image": [[0.0] * 100] * 100},
    }
    table = {"experiment": "learn_kernel"}
    page = page_of(written_runs.write(tmp_path / "run", table=table, results=results))
    for expected in (
        "kernel [[1, -1]]",
        "largest error 1e-05",
        "exercise holds 1.1 yes",
        "Large entries stand in result.json alone: responses.",
    ):
        assert expected in page.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["configs"], "configs: holds no run (no config.toml)"),
        (["RUN", "--out", "x.txt"], "--out: expected a name that ends in .html, got x.txt"),
        (
            ["RUN", "--out", "nowhere/x.html"],
            "--out: nowhere/x.html cannot be written: No such file or directory",
        ),
    ],
    ids=["no_folder", "no_run", "no_html", "no_folder_for_it"],
)
def test_a_mistake_is_one_line_and_status_2(folder, capsys, arguments, message):
    words = [str(folder) if word == "RUN" else word for word in arguments]
    assert main(["report", *words]) == 2
    assert capsys.readouterr().err == f"{message}\n"


def test_a_list_of_dates_in_a_config_is_shown(tmp_path):
    table = {"experiment": "lenet5", "when": [datetime.date(2026, 1, 2)]}
    assert "2026-01-02" in page_of(written_runs.write(tmp_path / "run", table=table)).text


def test_writing_a_page_follows_no_link(tmp_path):
    folder, victim = written_runs.write(tmp_path / "run"), tmp_path / "victim"
    victim.write_text("mine")
    (folder / "report.html.partial").symlink_to(victim)
    page_of(folder)
    assert victim.read_text() == "mine"


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path, capsys):
    folder = written_runs.write(tmp_path / "run")
    (folder / "report.html").mkdir()
    assert main(["report", str(folder)]) == 2
    assert "cannot be written: Is a directory" in capsys.readouterr().err
    assert not list(folder.glob(".*.partial"))
