"""A manifest in a folder, SHA256SUMS, that tells whether any file of the folder has changed."""

import hashlib
import os
from pathlib import Path

NAME = "SHA256SUMS"


def seal(folder: Path) -> None:
    """Write the manifest, the last file of a folder, and bring all of the folder to the disk.

    Args:
      folder: nothing in it changes any more.

    Raises:
      OSError: if a file cannot be read or the manifest cannot be written.
    """
    for path in folder.rglob("*"):
        sync(path)
    manifest = folder / NAME
    manifest.write_text(_listed(_sums(folder)), encoding="utf-8")
    sync(manifest)
    sync(folder)


def damage(folder: Path) -> str | None:
    """Tell what in a folder is not as its manifest says.

    Args:
      folder: one that was sealed.

    Returns:
      The first difference in a few words, None where all is sound: every file has the SHA-256
      that the manifest lists, none is missing and none was added.
    """
    try:
        stored = (folder / NAME).read_bytes().decode(errors="replace")
        actual = _sums(folder)
    except OSError as error:
        return f"{Path(error.filename or NAME).name} cannot be read: {error.strerror}"
    if stored == _listed(actual):
        return None
    listed = {line[66:]: line[:64] for line in stored.split("\n")[:-1]}
    for name in sorted({*listed, *actual}):
        if name not in actual:
            return f"{name} is missing"
        if name not in listed:
            return f"{name} is not in {NAME}"
        if listed[name] != actual[name]:
            return f"{name} has changed: its SHA-256 differs"
    return f"{NAME} has changed"


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if os.name == "nt":  # which opens no folder, and syncs nothing that is open for reading
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file but the manifest, by its path within the folder."""
    sums = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != NAME:
            with path.open("rb") as file:
                sums[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def _listed(sums: dict[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items())
