import re
import xml.etree.ElementTree as ElementTree

import pytest
from written_runs import picture

from conv_jax import plots
from experiments import record
from experiments.running.vector_figures import svg


@pytest.fixture(scope="module")
def drawing():
    return svg(picture("a name"), name="first")


def test_it_is_one_element_without_a_document_around_it(drawing):
    assert drawing.startswith("<svg ")
    assert ElementTree.fromstring(drawing).tag.endswith("svg")
    assert not re.search(r"<style|<metadata|<!--|<\?xml|DOCTYPE", drawing)


def test_text_stays_text(drawing):
    assert "a name" in "".join(ElementTree.fromstring(drawing).itertext())


def test_a_picture_keeps_its_pixels(drawing):
    image = ElementTree.fromstring(drawing).find(".//{*}image")
    assert (image.get("width"), image.get("height")) == ("3", "2")
    assert "pixelated" in image.get("style")


def test_black_strokes_take_the_ink_of_the_page(drawing):
    assert "stroke: currentColor" in drawing
    assert "stroke: #000000" not in drawing


def test_text_on_a_picture_keeps_its_grey(drawing):
    texts = ElementTree.fromstring(drawing).findall(".//{*}text")
    (own,) = [text for text in texts if text.text == "on the picture"]
    assert "fill: #1a1a1a" in own.get("style")


def test_the_same_figure_gives_the_same_bytes(drawing):
    assert svg(picture("a name"), name="first") == drawing


def test_figures_of_other_names_share_no_ids(drawing):
    other = svg(picture("a name"), name="second")
    ids = [set(re.findall(r' id="(.*?)"', text)) for text in (drawing, other)]
    assert ids[0]
    assert not ids[0] & ids[1]


@pytest.fixture
def kept(tmp_path):
    return record.Record(tmp_path / "run", {})


def names(kept):
    return sorted(path.name for path in kept.figures.iterdir())


def test_a_record_keeps_both_kinds(kept):
    kept.save_figure("small", picture("small"))
    assert names(kept) == ["small.png", "small.svg"]


def test_a_record_keeps_no_large_svg(kept, monkeypatch):
    monkeypatch.setattr(record, "_LARGE", 100)
    kept.save_figure("large", picture("large"))
    assert names(kept) == ["large.png"]


def test_a_record_keeps_no_svg_of_photographs(kept):
    kept.save_figure("photograph", picture("a name"), palette=plots.kernel_palette())
    assert names(kept) == ["photograph.png"]
