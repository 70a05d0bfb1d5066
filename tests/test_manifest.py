import shutil
import subprocess

import pytest

from conv_jax import manifest

FILES = {"about.json": b"{}\n", "state/d/0a1b": bytes(range(200)), "state/empty": b""}


@pytest.fixture
def sealed(tmp_path):
    folder = tmp_path / "sealed"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    manifest.seal(folder)
    return folder


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_a_sealed_folder_is_sound(sealed):
    assert manifest.damage(sealed) is None


def test_a_flipped_bit_of_any_byte_of_the_manifest_is_noticed(sealed):
    path = sealed / manifest.NAME
    whole = path.read_bytes()
    unnoticed = []
    for bit in range(0, 8 * len(whole), 9):  # one in each byte
        flip(path, bit)
        if manifest.damage(sealed) is None:
            unnoticed.append(bit)
        path.write_bytes(whole)
    assert len(whole) > 200
    assert unnoticed == []


@pytest.mark.parametrize("bit", [0, 7, 801, 1599])
def test_a_flipped_bit_of_a_file_is_noticed_and_the_file_named(sealed, bit):
    flip(sealed / "state/d/0a1b", bit)
    assert manifest.damage(sealed) == "state/d/0a1b has changed: its SHA-256 differs"


@pytest.mark.parametrize("name", ["about.json", "state/d/0a1b", manifest.NAME])
@pytest.mark.parametrize("missing", [1, 2, 0], ids=["last_byte", "last_two", "all"])
def test_a_truncated_file_is_noticed(sealed, name, missing):
    content = (sealed / name).read_bytes()
    (sealed / name).write_bytes(content[:-missing] if missing else b"")
    assert manifest.damage(sealed) is not None


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_noticed_and_named(sealed, name):
    (sealed / name).unlink()
    assert manifest.damage(sealed) == f"{name} is missing"


def test_an_added_file_is_noticed_and_named(sealed):
    (sealed / "state/more").write_bytes(b"")
    assert manifest.damage(sealed) == f"state/more is not in {manifest.NAME}"


def test_a_folder_without_a_manifest_is_not_sound(sealed):
    (sealed / manifest.NAME).unlink()
    message = f"{manifest.NAME} cannot be read: No such file or directory"
    assert manifest.damage(sealed) == message


def test_a_sealed_folder_may_be_copied_and_renamed(sealed, tmp_path):
    shutil.copytree(sealed, tmp_path / "copy")
    assert manifest.damage((tmp_path / "copy").rename(tmp_path / "other")) is None


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum here")
def test_the_manifest_is_what_sha256sum_checks(sealed):
    command = ["sha256sum", "--strict", "--check", manifest.NAME]
    done = subprocess.run(command, cwd=sealed, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.count(": OK\n") == len(FILES)
