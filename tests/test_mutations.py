"""That `mutations.py` still finds what it breaks; it runs by itself, as it takes minutes."""

import pathlib

import pytest
from mutations import MUTATIONS, Mutation, occurrences, verdict


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_text_to_replace_is_there_once(mutation):
    assert occurrences(mutation) == 1


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_mutation_still_compiles(mutation):
    path = pathlib.Path(__file__).parents[1] / "conv_jax" / mutation.file

    compile(path.read_text().replace(mutation.old, mutation.new), mutation.file, "exec")


def test_a_text_that_is_gone_is_told():
    gone = Mutation("gone", "padding.py", "no such text", "", ())

    assert verdict(gone, pathlib.Path(__file__).parents[1]).startswith("PATTERN FOUND 0 TIMES")
