import hashlib
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from conv_jax.data import fetch

CONTENT = bytes(range(256)) * 512  # 128 KiB, two chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Mirror(BaseHTTPRequestHandler):
    """Serve CONTENT whole under /good, cut off under /short, and other bytes under /wrong."""

    def do_GET(self):
        bodies = {"/good/": CONTENT, "/short/": CONTENT[:1000], "/wrong/": CONTENT[::-1]}
        body = bodies.get(self.path.removesuffix("file.gz"))
        self.server.paths.append(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", "0" if body is None else str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args):
        """Keep the test's output clean."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        server.paths = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def address(server):
    return f"http://127.0.0.1:{server.server_address[1]}/{{}}/file.gz".format


@pytest.fixture
def dead_address():
    """Return an address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        port = closed_soon.getsockname()[1]
    return f"http://127.0.0.1:{port}/file.gz"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "file.gz"


def test_fetch_file_writes_the_whole_file(address, target):
    fetch.fetch_file([address("good")], target, sha256=SHA256)
    assert target.read_bytes() == CONTENT


def test_fetch_file_leaves_nothing_else_behind(address, target):
    fetch.fetch_file([address("good")], target, sha256=SHA256)
    assert list(target.parent.iterdir()) == [target]


def test_fetch_file_stops_at_the_first_address_that_works(server, address, target):
    fetch.fetch_file([address("good"), address("wrong")], target, sha256=SHA256)
    assert server.paths == ["/good/file.gz"]


@pytest.mark.parametrize("kind", ["wrong", "short", "absent"])
def test_fetch_file_leaves_no_bad_file(address, target, kind):
    with pytest.raises(OSError, match=r"cannot fetch file\.gz"):
        fetch.fetch_file([address(kind)], target, sha256=SHA256)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["wrong", "short", "absent"])
def test_fetch_file_takes_the_next_address_after_a_bad_one(address, target, kind):
    fetch.fetch_file([address(kind), address("good")], target, sha256=SHA256)
    assert target.read_bytes() == CONTENT


def test_fetch_file_takes_the_next_address_after_a_dead_one(address, dead_address, target):
    fetch.fetch_file([dead_address, address("good")], target, sha256=SHA256)
    assert target.read_bytes() == CONTENT


def test_fetch_file_keeps_an_old_file_when_all_addresses_fail(address, target):
    target.write_bytes(b"old")
    with pytest.raises(OSError, match="cannot fetch"):
        fetch.fetch_file([address("wrong")], target, sha256=SHA256)
    assert target.read_bytes() == b"old"


def test_fetch_file_says_in_one_line_why_each_address_failed(address, dead_address, target):
    urls = [dead_address, address("absent"), address("wrong")]
    with pytest.raises(OSError, match="CONV_JAX_DATA") as error:
        fetch.fetch_file(urls, target, sha256=SHA256)
    error.match(f"{dead_address}: .*refused.*{urls[1]}: 404 .*{urls[2]}: expected SHA-256 {SHA256}")
    assert "\n" not in str(error.value)


def test_fetch_file_twice_at_once_gives_one_whole_file(address, target):
    def fetch_once(_):
        fetch.fetch_file([address("good")], target, sha256=SHA256)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fetch_once, range(4)))
    assert target.read_bytes() == CONTENT


def test_fetch_file_shows_progress_on_the_error_stream(address, target, capsys):
    fetch.fetch_file([address("good")], target, sha256=SHA256, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "file.gz" in err
    assert "131.1/131.1 kB" in err


def test_fetch_file_is_silent_without_progress(address, target, capfd):
    fetch.fetch_file([address("good")], target, sha256=SHA256)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("source", fetch.SOURCES.values(), ids=fetch.SOURCES)
def test_every_source_has_a_sha256_for_each_file(source):
    assert [len(bytes.fromhex(sha256)) for sha256 in source.hashes] == [32] * 4


def test_cache_folder_says_that_pooch_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"needs pooch.*CONV_JAX_DATA"):
        fetch.cache_folder()
