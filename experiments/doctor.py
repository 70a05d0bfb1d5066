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
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from experiments.running.accelerator_errors import ACCELERATORS

SECONDS = 60  # that a backend may take to start
_FEW_BYTES = 2**30  # of disk
_CGROUP = Path("/sys/fs/cgroup/memory.max")
_EXTRAS = {
    "bench": "the benchmarks against other libraries",
    "cuda12": "NVIDIA GPUs by CUDA 12",
    "cuda13": "NVIDIA GPUs by CUDA 13",
    "dev": "the tests",
    "docs": "the documentation as a site",
    "notebooks": "the notebooks",
    "tensorboard": "log.tensorboard",
    "tpu": "TPUs",
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
    needed = [r for r in _requirements("conv_jax") if r.marker is None]
    sound, installed = True, []
    for requirement in needed:
        version = _version(requirement.name)
        installed.append(f"{requirement.name} {version}")
        if not _is_met(requirement):
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
        asked = os.environ.get("JAX_PLATFORMS")
        if asked and last.endswith("Error"):  # as of a platform without its plugin
            last = f"{last} with JAX_PLATFORMS={asked}: {ACCELERATORS}"
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
        unused = f"an accelerator is here that JAX does not use: {ACCELERATORS}"
        yield Finding("--", "backend", unused)


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
    """Tell where compiled programs are kept; others must not own it or write there."""
    try:
        from experiments.running import compilation_cache
    except ImportError as error:
        yield Finding("!!", "cache", f"cannot be told: {error}")
        return
    given = os.environ.get(compilation_cache.VARIABLE)
    if given == "":
        yield Finding("--", "cache", f"none: {compilation_cache.VARIABLE} is empty")
        return
    folder = Path(given) if given else compilation_cache.own_folder()
    if not folder.is_dir():
        if _can_be_written(folder):
            yield Finding("ok", "cache", f"{folder}, made by the first run")
        else:
            mend = f"name one of your own in {compilation_cache.VARIABLE}"
            yield Finding("--", "cache", f"{folder} cannot be made, so none is kept: {mend}")
        return
    about = folder.stat()
    mode = stat.S_IMODE(about.st_mode)
    text = f"{folder}, {_size(_bytes_in(folder))}, mode {mode:04o}"
    if hasattr(os, "getuid") and about.st_uid != os.getuid():
        mend = f"name one of your own in {compilation_cache.VARIABLE}"
        yield Finding(
            "!!", "cache", f"{text}, another user's, who may write programs there: {mend}"
        )
    elif mode & 0o022:
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
        mend = f"mkdir -p {named}, or unset it"
        yield Finding("!!", "data", f"CONV_JAX_DATA: no such folder: {named}: {mend}")
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
    lacking = {extra: list(_lacking("conv_jax", extra)) for extra in _extras()}
    for extra, names in lacking.items():
        if names:
            what = f"{extra}, for {_EXTRAS.get(extra, extra)}, lacks {', '.join(names)}"
            yield Finding("--", "extras", f"{what}: pip install -c constraints.txt -e '.[{extra}]'")
    if whole := [extra for extra, names in lacking.items() if not names]:
        yield Finding("ok", "extras", ", ".join(whole))


def disk() -> Finding:
    """Tell the space for runs."""
    free, here = shutil.disk_usage(".").free, Path.cwd()
    runs = here / "runs"
    if not _can_be_written(runs):
        return Finding("--", "disk", f"{runs} cannot be written to: give runs a folder with --out")
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


def _extras() -> list[str]:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.metadata("conv_jax").get_all("Provides-Extra") or []
    return []


def _requirements(package: str) -> list[Requirement]:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return list(map(Requirement, metadata.requires(package) or ()))
    return []


def _lacking(package: str, extra: str) -> Iterator[str]:
    """Yield what an extra of a package asks for and is not there, or in another version."""
    for requirement in _requirements(package):
        marker = requirement.marker
        if (
            marker is None
            or marker.evaluate({"extra": ""})
            or not marker.evaluate({"extra": extra})
        ):
            continue
        if not _is_met(requirement):
            yield requirement.name
            continue
        for inner in requirement.extras:
            yield from _lacking(requirement.name, inner)


def _is_met(requirement: Requirement) -> bool:
    version = _version(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _version(package: str) -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


def _can_be_written(folder: Path) -> bool:
    """Tell whether files can be written into a folder, which may have to be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError:
        return False
    return True


def _bytes_in(folder: Path) -> int:
    """Return the size of the files in a folder, but for those that another process takes away."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(where, name).stat().st_size
    return total


def _size(num_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} GiB"
