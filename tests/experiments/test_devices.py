import jax
import pytest

from experiments.running import devices


@pytest.mark.parametrize(
    ("num_networks", "num_devices", "most", "sizes"),
    [
        (1, 1, 1, [1]),
        (32, 1, 32, [32]),
        (32, 1, 12, [11, 11, 10]),
        (32, 8, 4, [32]),
        (35, 8, 2, [16, 16, 2, 1]),
        (3, 8, 1, [1, 1, 1]),
        (3, 8, 3, [3]),
    ],
)
def test_groups(num_networks, num_devices, most, sizes):
    assert devices.group_sizes(num_networks, num_devices=num_devices, most=most) == sizes


@pytest.mark.parametrize("num_networks", range(1, 40))
@pytest.mark.parametrize("num_devices", [1, 3, 8])
@pytest.mark.parametrize("most", [1, 5])
def test_groups_hold_every_network_and_fit(num_networks, num_devices, most):
    sizes = devices.group_sizes(num_networks, num_devices=num_devices, most=most)
    assert sum(sizes) == num_networks
    for size in sizes:
        held_by_each = size // num_devices if size % num_devices == 0 else size
        assert 1 <= held_by_each <= most


def test_one_device_needs_no_mesh():
    assert devices.mesh_for(jax.devices()[:1], num_networks=4, batch_size=3) is None


def test_more_devices_than_there_are_is_refused():
    present = len(jax.devices())
    message = f"devices: expected at most the {present} there are, got {present + 1}"
    with pytest.raises(ValueError, match=message):
        devices.asked(present + 1, batch_size=8)


@pytest.mark.parametrize(
    ("asked", "batch_size", "message"),
    [
        (1, 8, 'devices: expected "all" with 2 processes, got 1'),
        ("all", 3, "data.batch_size: expected a multiple of the 2 devices of 2 processes, got 3"),
    ],
    ids=["some", "unlike_batches"],
)
def test_several_processes_share_all_devices_and_every_batch(
    monkeypatch, asked, batch_size, message
):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "devices", lambda: jax.local_devices()[:1] * 2)
    with pytest.raises(ValueError, match=message):
        devices.asked(asked, batch_size=batch_size)


def test_free_memory_is_a_part_of_the_machine():
    free = devices.free_bytes(jax.devices()[0])
    assert 2**26 < free < 2**45


@pytest.mark.parametrize(
    ("limit", "free"), [(2**30, 0.8 * (2**30 - 2**28 + 2**27)), ("max", None)], ids=["some", "none"]
)
def test_a_control_group_limits_memory_but_not_what_it_holds_of_files(
    monkeypatch, tmp_path, limit, free
):
    without = devices.free_bytes(jax.devices()[0])
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{2**28}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {2**27}\nactive_file 7\n")
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    expected = pytest.approx(without, rel=0.5) if free is None else int(free)
    assert devices.free_bytes(jax.devices()[0]) == expected
