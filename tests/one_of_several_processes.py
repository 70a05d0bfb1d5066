"""What `test_several_processes.py` starts several times: python FILE ID COUNT PORT RESULT."""

import sys

import jax
import numpy as np


def main(process_id, num_processes, port, result):
    jax.distributed.initialize(
        f"127.0.0.1:{port}",
        num_processes=num_processes,
        process_id=process_id,
        heartbeat_timeout_seconds=10,
    )
    import test_many_networks as networks

    shape, names = (jax.device_count(),), ("devices",)
    mesh = jax.make_mesh(shape, names, axis_types=(jax.sharding.AxisType.Auto,))
    _, together = networks.train(networks.together(networks.RATES[:2]), mesh=mesh)
    one = networks.start(jax.random.key(1), np.float32(networks.RATES[1]))
    _, alone = networks.train(one, mesh=mesh)
    if process_id == 0:
        np.savez(result, together=together["loss"], alone=alone["loss"])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), sys.argv[4])
