"""Progress of a run: a live bar on a terminal, one plain line an interval elsewhere."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Report = Callable[[int, str], None]  # (steps done, how it stands in a few words)


@contextlib.contextmanager
def progress(console: Console, *, label: str, num_steps: int) -> Iterator[Report]:
    """Show a bar of `num_steps` steps, or print lines where the output is no terminal."""
    if not console.is_terminal:
        width = len(str(num_steps))
        yield lambda step, text: console.print(f"{label}  step {step:>{width}}/{num_steps}  {text}")
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(label, total=num_steps, text="compiling")
        yield lambda step, text: bar.update(task, completed=step, text=text)
