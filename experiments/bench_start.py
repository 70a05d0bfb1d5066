"""Time a run from the shell to its first step, without and with what a run before it compiled.

    python -m experiments.bench_start configs/lenet5_mnist_fast.toml

The first process finds an empty compilation cache, the others find what it left. Each is stopped
after its first step.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from experiments import compilation_cache


def first_step(config: Path, cache: Path) -> float:
    """Start a run, wait for its first step, and stop it.

    Args:
      config: of an experiment that prints a line for each logged step.
      cache: folder that holds the user's caches.

    Returns:
      Seconds from the start of the process to that line.

    Raises:
      RuntimeError: if the run ended before.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-u", "-m", "experiments", "run", str(config)]
        command += ["--out", f"{folder}/run", "train.log_every=1", "seeds=1"]
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
        environment.pop(compilation_cache.VARIABLE, None)
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
    """Print the seconds of one process without the cache and of three with it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="TOML of an experiment")
    config: Path = parser.parse_args().config
    with tempfile.TemporaryDirectory() as cache:
        cold, *warm = (first_step(config, Path(cache)) for _ in range(4))
    print(f"from the shell to the first step: {cold:.1f} s, again {sorted(warm)[1]:.1f} s")
    print(f"{cold / sorted(warm)[1]:.1f} times shorter with the compilation cache")


if __name__ == "__main__":
    main()
