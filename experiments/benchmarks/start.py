"""Time a run from the shell to its first step, without and with what a run before it compiled.

    python -m experiments.benchmarks.start configs/lenet5_mnist_fast.toml

Two processes find an empty compilation cache each, three more what the second left. Each is
stopped after its first step. Fetch MNIST before, or name its folder in CONV_JAX_DATA.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from experiments.benchmarks import lenet5_file
from experiments.running import compilation_cache


def first_step(config: Path, cache: Path) -> float:
    """Start a run, wait for its first step, and stop it.

    Args:
      config: of lenet5, which prints a line for each logged step.
      cache: folder of compiled programs.

    Returns:
      Seconds from the start of the process to that line.

    Raises:
      RuntimeError: if the run ended before.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-u", "-m", "experiments", "run", str(config)]
        command += ["--out", f"{folder}/run", "train.log_every=1", "seeds=1"]
        environment = os.environ | {
            compilation_cache.VARIABLE: str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
        }
        start = time.perf_counter()
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        ) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if " step " in line:
                    seconds = time.perf_counter() - start
                    process.kill()
                    return seconds
    raise RuntimeError(f"{config} took no step: " + "".join(lines[-3:]))


def main() -> None:
    """Print the median seconds of processes without the cache and with it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="TOML of lenet5")
    config: Path = parser.parse_args().config
    lenet5_file.load(parser, config)
    cold, warm = [], []
    for num_warm in (0, 3):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(first_step(config, Path(cache)))
            warm += [first_step(config, Path(cache)) for _ in range(num_warm)]
    before, after = statistics.median(cold), statistics.median(warm)
    print(f"from the shell to the first step: {before:.1f} s, with the cache {after:.1f} s")
    print(f"{before / after:.1f} times shorter")


if __name__ == "__main__":
    main()
