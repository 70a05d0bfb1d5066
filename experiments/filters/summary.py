"""What learning designed kernels came to, in tables and sentences."""

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.filters.studies import Descended, Flip, Study, by_target, descent_row, row, shown
from experiments.printed_table import printed_table

ENOUGH = 16  # samples an element, from which on the errors follow a power of their number


def show(
    console: Console,
    studies: Sequence[Study],
    descents: Sequence[Descended],
    flips: Sequence[Flip],
    *,
    left_out: Sequence[tuple[str, str]],
) -> None:
    """Print the tables, and below each what it comes to; `left_out` are (kernel, image)."""
    console.print(_study_table(studies))
    for kernel, image in left_out:
        console.print(f"Left out: {kernel} does not fit into the image {shown(image)}.")
    for line in study_lines(studies):
        console.print(line)
    console.print()
    console.print(_descent_table(descents))
    for line in (*descent_lines(descents), *flip_lines(flips)):
        console.print(line)


def study_lines(studies: Sequence[Study]) -> list[str]:
    """Say what the fits show; each number is computed from them."""
    known = [study for study in studies if study.identifiable]
    others = [study for study in studies if not study.identifiable]
    told = [f"{len(known)} of {len(studies)} pairs are identifiable: rank = number of elements."]
    if known:
        worst = max(study.rms[-1, 0] for study in known)
        told.append(f"Without noise, those are learned to {worst:.0e} of the kernel's norm.")
    if others:
        least = min(study.rms[-1, 0] for study in others)
        told.append(
            f"Not identifiable: {len(others)}, off by {least:.2g} or more even without noise."
        )
    if known:
        ratios = np.array([study.rms[-1, 1:] / study.expected[-1, 1:] for study in known])
        told.append(
            f"Error over predicted standard error: {ratios.mean():.2f} in the mean of "
            f"{ratios.size}, {ratios.min():.2f} to {ratios.max():.2f}."
        )
    return [*told, *_slope_lines(known), *_price_lines(known)]


def descent_lines(descents: Sequence[Descended]) -> list[str]:
    """Say how near gradient descent is to its closed form, and where it ends."""
    table = [descent_row(descended) for descended in descents]
    told = [
        "At every step, gradient descent is where the eigenvalues predict to "
        f"{max(some['largest_gap'] for some in table):.0e}."
    ]
    singular = [some for some in table if some["rank"] < some["elements"]]
    if singular:
        arrived = sum(some["steps"] is not None for some in singular)
        told.append(
            "Where many kernels fit, it reaches the one of least norm: "
            f"{arrived} of {len(singular)} images."
        )
    return told


def flip_lines(flips: Sequence[Flip]) -> list[str]:
    """Say whether strict convolution learned the flipped kernels."""
    if not flips:
        return []
    equal = sum(flip.equal_bits for flip in flips)
    largest = max(flip.largest_difference for flip in flips)
    told = (
        "Strict convolution from the flipped start is at the flipped kernel, bit for bit, "
        f"after each of {flips[0].steps} steps: {equal} of {len(flips)} kernels"
    )
    return [f"{told}." if equal == len(flips) else f"{told}, the others within {largest:.0e}."]


def _slope_lines(known: Sequence[Study]) -> list[str]:
    """Say by which powers of the noise and of the number of samples the errors go."""
    told = []
    by_noise = [
        _slope(study.noises[1:], study.rms[-1, 1:]) for study in known if len(study.noises) > 2
    ]
    if by_noise:
        told.append(f"Errors grow as noise^{np.mean(by_noise):.2f}.")
    by_count = [
        _slope(study.counts[enough], study.rms[enough, study.chosen])
        for study in known
        if np.sum(enough := study.counts >= ENOUGH * study.kernel.size) > 1
    ]
    if by_count:
        power = f"samples^{np.mean(by_count):.2f}"
        told.append(f"Errors fall as {power} from {ENOUGH} samples an element on.")
    return told


def _price_lines(known: Sequence[Study]) -> list[str]:
    """Say how many samples of a photograph tell as much as one of white noise."""
    variance = {(s.target, s.image): s.expected[-1, s.chosen] ** 2 for s in known}
    prices = [
        f"{target} {value / variance[target, 'white_noise']:.0f}"
        for (target, image), value in variance.items()
        if image == "photograph" and (target, "white_noise") in variance
    ]
    if not prices:
        return []
    return [
        "So many samples of the photograph tell as much as one of white noise:",
        f"{', '.join(prices)}.",
    ]


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _study_table(studies: Sequence[Study]) -> Table:
    first = studies[0]
    table = printed_table(
        f"Least squares from {first.counts[-1]:,} samples: error / norm of the kernel",
        ("kernel, image", "rank", "condition", "no noise", f"noise {first.noise:g}", "predicted"),
        caption=f"mean ± standard deviation over {first.num_seeds} seeds; "
        "predicted: root mean square",
    )
    for kernel, some in by_target(studies).items():
        table.add_row(kernel)
        for study in some:
            noisy, exact = row(study, -1, study.chosen), row(study, -1, 0)
            table.add_row(
                f"  {shown(study.image)}",
                f"{noisy['rank']}/{noisy['elements']}",
                f"{noisy['condition']:.3g}",
                f"{exact['error_mean']:.2g}",
                f"{noisy['error_mean']:.3g} ± {noisy['error_std']:.1g}",
                f"{noisy['expected_rms']:.3g}",
            )
        table.add_section()
    return table


def _descent_table(descents: Sequence[Descended]) -> Table:
    table = printed_table(
        f"Gradient descent from 0 to the least-squares {descents[0].target}",
        ("image", "rank", "condition", "factor", "steps to 1e-6", "predicted", "left"),
        caption="factor: of the slowest part, a step; predicted: by the eigenvalues",
    )
    for cells in map(descent_row, descents):
        table.add_row(
            shown(cells["image"]),
            f"{cells['rank']}/{cells['elements']}",
            f"{cells['condition']:.3g}",
            f"{cells['factor']:.5f}",
            "-" if cells["steps"] is None else f"{cells['steps']:,}",
            f"{cells['expected_steps']:,}",
            f"{cells['last_distance']:.1g}",
        )
    return table
