"""Is all there that runs need? A line for each thing, with what mends it."""

import collections
import contextlib
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

SECONDS = 60  # that a backend may take to start
_FEW_BYTES = 2**30  # of disk
_CGROUP = Path("/sys/fs/cgroup/memory.max")
_EXTRAS = {
    "bench": "the benchmarks against other libraries",
    "dev": "the tests",
    "notebooks": "the notebooks",
    "tensorboard": "log.tensorboard",
    "trackio": "log.trackio",
    "wandb": "log.wandb",
}
# Run in a process of its own: a driver that hangs or aborts takes that one.
_PROBE = """
import json, jax
devices = jax.devices()
stats = [device.memory_stats() or {} for device in jax.local_devices()]
limits = [each.get("bytes_limit") for each in stats]
kinds = [device.device_kind for device in devices]
print(json.dumps({"backend": jax.default_backend(), "kinds": kinds, "limits": limits}))
"""


class Finding(NamedTuple):
    """What is known of one thing; "!!" is broken, "--" missing or worth a look."""

    mark: Literal["ok", "--", "!!"]
    about: str
    text: str

    def __str__(self) -> str:
        """Return the line to print."""
        return f"{self.mark}  {self.about:<12} {self.text}"


def examine(*, seconds: float = SECONDS) -> Iterator[Finding]:
    """Yield a finding for each thing, as soon as it is known.

    Args:
      seconds: that the backend may take to start.
    """
    yield from packages()
    yield from backend(seconds=seconds)
    yield flags()
    yield from memory()
    yield from caches()
    yield from datasets()
    yield from extras()
    yield disk()
    yield code()


def packages() -> Iterator[Finding]:
    """Compare Python and the packages with the floors of the installed conv_jax."""
    try:
        about = metadata.metadata("conv_jax")
    except metadata.PackageNotFoundError:
        yield Finding(
            "!!", "packages", "conv_jax is not installed: pip install -c constraints.txt -e ."
        )
        return
    floor, here = about["Requires-Python"], platform.python_version()
    sound = here in SpecifierSet(floor)
    advice = "" if sound else ": make PYTHON=python3.12"
    yield Finding("ok" if sound else "!!", "python", f"{here} (needs {floor}){advice}")
    needed = [r for r in _requirements() if r.marker is None]
    sound, installed = True, []
    for requirement in needed:
        version = _version(requirement.name)
        installed.append(f"{requirement.name} {version}")
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            sound = False
            mend = f"pip install -c constraints.txt '{requirement}'"
            yield Finding("!!", "packages", f"{requirement} needed, got {version}: {mend}")
    if sound:
        yield Finding("ok", "packages", ", ".join(installed))


def backend(*, seconds: float) -> Iterator[Finding]:
    """Start JAX's backend in another process, and tell its devices."""
    without = "JAX_PLATFORMS=cpu does without it"
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=seconds,
            env=environment,
            check=True,
        )
        found = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        yield Finding("!!", "backend", f"did not start in {seconds:g} s; {without}")
        return
    except subprocess.CalledProcessError as error:
        last = next(reversed(error.stderr.splitlines()), f"ended with {error.returncode}")
        yield Finding("!!", "backend", f"{last}; {without}")
        return
    except (ValueError, IndexError):
        yield Finding("!!", "backend", f"said nothing of its devices; {without}")
        return
    counted = collections.Counter(found["kinds"])
    kinds = ", ".join(f"{count} x {kind}" for kind, count in counted.items())
    yield Finding("ok", "backend", f"{found['backend']}: {kinds}")
    limits = [_size(limit) for limit in found["limits"] if limit]
    if limits:
        yield Finding("ok", "memory", f"of the devices, as JAX would share it: {', '.join(limits)}")
    if "Falling back to cpu" in done.stderr:
        mend = "pip install -c constraints.txt -e '.[cuda13]' (or cuda12, tpu)"
        yield Finding("--", "backend", f"an accelerator is here that JAX does not use: {mend}")


def flags() -> Finding:
    """Tell the variables by which JAX and XLA are told something."""
    given = {k: v for k, v in sorted(os.environ.items()) if k.startswith(("JAX_", "XLA_"))}
    words = ", ".join(f"{key}={value}" for key, value in given.items())
    return Finding("--" if given else "ok", "flags", words or "no JAX_ or XLA_ variable is set")


def memory() -> Iterator[Finding]:
    """Tell the memory of the machine, and what its control group allows."""
    with contextlib.suppress(OSError, ValueError, IndexError):  # another system than Linux
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        known = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines}
        total, free = _size(known["MemTotal"]), _size(known["MemAvailable"])
        yield Finding("ok", "memory", f"{free} of {total} available")
    with contextlib.suppress(OSError, ValueError):  # no control group, or no limit
        limit = int(_CGROUP.read_text(encoding="ascii"))
        yield Finding("--", "memory", f"the control group allows {_size(limit)}")


def caches() -> Iterator[Finding]:
    """Tell where compiled programs are kept; others must not write there."""
    from experiments.running import compilation_cache

    given = os.environ.get(compilation_cache.VARIABLE)
    if given == "":
        yield Finding("--", "cache", f"none: {compilation_cache.VARIABLE} is empty")
        return
    folder = Path(given) if given else compilation_cache.own_folder()
    if not folder.is_dir():
        yield Finding("ok", "cache", f"{folder}, made by the first run")
        return
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    mode = stat.S_IMODE(folder.stat().st_mode)
    text = f"{folder}, {_size(size)}, mode {mode:04o}"
    if mode & 0o022:
        mend = f"others may write programs there: chmod 700 {folder}"
        yield Finding("!!", "cache", f"{text}: {mend}")
    else:
        yield Finding("ok", "cache", text)


def datasets() -> Iterator[Finding]:
    """Tell where each data set would be read from."""
    try:
        from conv_jax.data import NAMES, fetch, idx

        folders = [fetch.cache_folder()]
    except ImportError as error:
        yield Finding("!!", "data", f"the library cannot be imported: {error}")
        return
    named = os.environ.get("CONV_JAX_DATA")
    if named and not Path(named).expanduser().is_dir():
        yield Finding("!!", "data", f"CONV_JAX_DATA: no such folder: {named}")
    embedded = [name for name in NAMES if name.startswith("digits")]
    yield Finding("ok", "data", f"{', '.join(embedded)}: embedded")
    if named:
        folders.insert(0, Path(named).expanduser())
    for name in sorted(fetch.SOURCES):
        whole = [path / name for path in folders if not idx.missing_files(path / name)]
        if whole:
            yield Finding("ok", "data", f"{name}: {whole[0]}")
        else:
            yield Finding("--", "data", f"{name}: would be fetched into {folders[-1] / name}")


def extras() -> Iterator[Finding]:
    """Tell which extras are not installed, and what for they would be."""
    lacking: dict[str, list[str]] = collections.defaultdict(list)
    for requirement in _requirements():
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}):
            continue
        for extra in _EXTRAS:
            if marker.evaluate({"extra": extra}):
                lacking[extra] += [] if _version(requirement.name) else [requirement.name]
    for extra, names in lacking.items():
        if names:
            what = f"{extra}, for {_EXTRAS[extra]}, lacks {', '.join(names)}"
            yield Finding("--", "extras", f"{what}: pip install -c constraints.txt -e '.[{extra}]'")
    if whole := [extra for extra, names in lacking.items() if not names]:
        yield Finding("ok", "extras", ", ".join(whole))


def disk() -> Finding:
    """Tell the space for runs."""
    free, here = shutil.disk_usage(".").free, Path.cwd()
    few = free < _FEW_BYTES
    return Finding("--" if few else "ok", "disk", f"{_size(free)} free at {here}")


def code() -> Finding:
    """Tell the commit of the code."""
    from experiments.running.environment import git

    commit = git("rev-parse", "--short", "HEAD")
    if commit is None:
        return Finding("--", "code", "no git here: the record of a run will name no commit")
    changed = ", with changes that are not committed" if git("status", "--porcelain") else ""
    return Finding("--" if changed else "ok", "code", f"commit {commit}{changed}")


def _requirements() -> list[Requirement]:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return list(map(Requirement, metadata.requires("conv_jax") or ()))
    return []


def _version(package: str) -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


def _size(num_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} GiB"
