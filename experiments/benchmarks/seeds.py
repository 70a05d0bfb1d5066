"""What it saves to train seeds in one program: python -m experiments.benchmarks.seeds CONFIG.

Times whole commands, start, compilation and figures included, without a compilation cache: all
seeds in one program; in one process, one after another; and a command for each. Prints ratios.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Time the three ways in turn, as often as asked, and print the median of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, nargs="?", default=Path("configs/lenet5_digits.toml"))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    together = [f"seeds={options.seeds}"]
    alone = [[f"seed={seed}", "seeds=1"] for seed in range(options.seeds)]
    ways = {
        "one program": [together],
        "one process, one after another": [[*together, "at_once=1"]],
        "a command each": alone,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, commands in ways.items():
            start = time.perf_counter()
            for overrides in commands:
                _run(options.config, overrides)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    first = medians["one program"]
    for name, median in medians.items():
        print(f"{name:<32}{median:8.1f} s{median / first:8.2f}")


def _run(config: Path, overrides: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = ["run", str(config), *overrides, "--out", f"{folder}/run"]
        subprocess.run(
            [sys.executable, "-m", "experiments", *words],
            env={**os.environ, "JAX_COMPILATION_CACHE_DIR": ""},
            stdout=subprocess.DEVNULL,
            check=True,
        )


if __name__ == "__main__":
    main()
