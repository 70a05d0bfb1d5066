"""predict: what the network of a run says of pictures."""

import argparse
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.commands import MISTAKE, CommandError

_POLARITIES = ("auto", "light-on-dark", "dark-on-light")


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    predictor = commands.add_parser("predict", help="classify pictures with a run's network")
    predictor.add_argument("run", type=Path, metavar="RUN", help="the folder of a run of lenet5")
    predictor.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="PNG, JPEG or a folder of them"
    )
    predictor.add_argument("--seed", type=int, metavar="N", help="which network; default the first")
    predictor.add_argument(
        "--polarity", choices=_POLARITIES, default="auto", help="of the pictures; default auto"
    )
    predictor.add_argument(
        "--out", type=Path, metavar="DIR", help="of the figures; default RUN/predictions"
    )
    predictor.set_defaults(command=predict)


def predict(options: argparse.Namespace) -> int:
    """Print what the network says of every picture, and draw its feature maps of it.

    A picture that cannot be read is a line, and leaves the others alone.
    """
    from experiments.after import weights
    from experiments.after.pictures import PictureError, read
    from experiments.after.prediction import Predictor, draw, in_words
    from experiments.printed_table import plain

    try:
        predictor = Predictor(weights.of_run(options.run, seed=options.seed))
    except weights.WeightsError as error:
        raise CommandError(error) from None
    folder: Path = options.out or options.run / "predictions"
    named = "--out: " if options.out else ""
    _refuse_unwritable(folder, named=named)
    paths, num_mistakes = _expanded(options.images)
    num_drawn = 0
    for path, name in zip(paths, _figure_names(paths), strict=True):
        try:
            prediction = predictor(read(path), polarity=options.polarity)
        except PictureError as error:
            num_mistakes += 1
            print(plain(f"{path}: {error}"), file=sys.stderr)
            continue
        print(f"{plain(path)}: {in_words(prediction)}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            draw(prediction, title=path.name).savefig(folder / f"{name}.png", dpi=120)
        except OSError as error:
            raise CommandError(f"{named}{folder} cannot be written: {error.strerror}") from None
        num_drawn += 1
    if num_drawn:
        print(f"feature maps: {plain(folder)}")
    return MISTAKE if num_mistakes else 0


def _refuse_unwritable(folder: Path, *, named: str) -> None:
    """Check, before any work, that a folder can be written or made."""
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise CommandError(f"{named}{folder} cannot be written: {existing} is no folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise CommandError(f"{named}{folder} cannot be written: Permission denied")


def _expanded(images: Sequence[Path]) -> tuple[list[Path], int]:
    """Return the pictures of files and folders, and how many folders gave none."""
    from experiments.after.pictures import SUFFIXES, PictureError, find
    from experiments.printed_table import plain

    found: list[Path] = []
    num_mistakes = 0
    for path in images:
        try:
            pictures, num_others = find(path)
        except PictureError as error:
            num_mistakes += 1
            print(plain(f"{path}: {error}"), file=sys.stderr)
            continue
        found += pictures
        if num_others:
            kinds = f"(folders, or not {', '.join(SUFFIXES)})"
            print(plain(f"{path}: {num_others} others left out {kinds}"), file=sys.stderr)
    return found, num_mistakes


def _figure_names(paths: Sequence[Path]) -> list[str]:
    """Return the pictures' names without their suffixes, with a number where one comes again.

    They are cut to the 60 letters that leave room for both where a name has at most 255 bytes.
    """
    names: list[str] = []
    for path in paths:
        stem = path.stem[:60]
        numbered = (f"{stem}-{number}" for number in itertools.count(2))
        candidates = itertools.chain([stem], numbered)
        names.append(next(name for name in candidates if name not in names))
    return names
