"""Fetching of the known data sets: several addresses each, and nothing kept whose hash is wrong.

pooch and rich are imported when something is fetched, so reading a folder needs neither.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import NamedTuple

from conv_jax.data.idx import FILE_NAMES


class Source(NamedTuple):
    """Where a data set is to be had.

    Attributes:
      mirrors: addresses of folders, in the order in which to try them.
      hashes: the SHA-256 of each gzip file, in the order of `FILE_NAMES`.
    """

    mirrors: tuple[str, ...]
    hashes: tuple[str, ...]


# Addresses and hashes as torchvision lists them (datasets/mnist.py and its prototype), and one
# more address each: TensorFlow Datasets' for MNIST, the authors' own for Fashion-MNIST.
SOURCES = {
    "mnist": Source(
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "http://yann.lecun.com/exdb/mnist/",
        ),
        hashes=(
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    "fashion_mnist": Source(
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        hashes=(
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    "kmnist": Source(
        mirrors=(
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ),
        hashes=(
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
    ),
}


def cache_folder() -> Path:
    """Return the user's cache folder for this package, where the platform keeps such things."""
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "fetching needs pooch; without it, give the folder of the data by root or CONV_JAX_DATA"
        ) from error
    return Path(pooch.os_cache("conv_jax"))


def fetch_dataset(name: str, folder: Path, *, progress: bool = False) -> None:
    """Fetch what the folder lacks of the four gzip files of a known data set.

    Args:
      name: a key of `SOURCES`.
      folder: where the files go; made if it does not exist.
      progress: whether to draw a progress bar on the error stream.

    Raises:
      OSError: if a file can be had from none of its addresses.
    """
    mirrors, hashes = SOURCES[name]
    folder.mkdir(parents=True, exist_ok=True)
    for file_name, sha256 in zip(FILE_NAMES, hashes, strict=True):
        target = folder / f"{file_name}.gz"
        if not target.is_file():
            urls = [mirror + target.name for mirror in mirrors]
            fetch_file(urls, target, sha256=sha256, progress=progress)


def fetch_file(urls: Sequence[str], target: Path, *, sha256: str, progress: bool = False) -> None:
    """Fetch one file from the first address that gives it whole.

    Args:
      urls: its addresses, in the order in which to try them.
      target: its path here, where it appears only when it is complete and its hash is right.
      sha256: its SHA-256, in hexadecimal.
      progress: whether to draw a progress bar on the error stream.

    Raises:
      OSError: if it can be had from none of the addresses; says why for each.
    """
    failures = []
    for url in urls:
        try:
            return _download(url, target, sha256=sha256, progress=progress)
        except OSError as error:
            reason = str(error)
            if "Caused by" in reason:  # wrapped in layers of names: the innermost says it
                reason = reason.rpartition(": ")[2].rstrip("\"')")
            failures.append(f"{url}: {reason}")
    raise OSError(
        f"cannot fetch {target.name}; put it in {target.parent}, or in a folder given by root or "
        f"CONV_JAX_DATA. Tried {'; '.join(failures)}"
    )


def _download(url: str, target: Path, *, sha256: str, progress: bool) -> None:
    import pooch

    # A folder of its own beside the target: two processes cannot meet, and the move is atomic.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as scratch:
        part = Path(scratch) / target.name
        with closing(_ProgressBar(target.name)) if progress else nullcontext(False) as bar:
            # pooch takes any object as its bar, which its untyped default, False, does not say.
            download = pooch.HTTPDownloader(bar, chunk_size=2**16)  # pyright: ignore[reportArgumentType]
            download(url, str(part), None)
        content = part.read_bytes()
        got = hashlib.sha256(content).hexdigest()
        if got != sha256:
            raise OSError(f"expected SHA-256 {sha256}, got {got} of {len(content)} bytes")
        part.replace(target)


class _ProgressBar:
    """What pooch asks of a progress bar, drawn by rich."""

    total = 0  # bytes, set by pooch

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task(title, total=None)
        self._progress.start()

    def update(self, num_bytes: int) -> None:
        self._progress.update(self._task, total=self.total or None, advance=num_bytes)

    def reset(self) -> None:
        self._progress.reset(self._task)

    def close(self) -> None:
        self._progress.stop()
