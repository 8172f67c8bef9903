"""What a run folder holds, and whether two hold the same."""

import jax
import numpy as np

from jaxcnn.checkpoint import Checkpoints
from jaxcnn.train import read_metrics


def contents(directory):
    """Returns all arrays of the last checkpoint by name, and the records."""
    with Checkpoints(directory / "checkpoints") as checkpoints:
        restored = checkpoints.restore(step="latest")
    records = [
        {k: v for k, v in record.items() if k not in ("time", "seconds")}
        for record in read_metrics(directory / "metrics")
    ]
    values = {k: v for k, v in restored.info.items() if k != "data"}
    return restored.step, restored.state, values, records


def assert_same_tree(one, two):
    assert type(one) is type(two)
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for name in one:
            assert_same_tree(one[name], two[name])
    elif isinstance(one, jax.Array):  # the typed key
        np.testing.assert_array_equal(
            jax.random.key_data(one), jax.random.key_data(two)
        )
    else:
        np.testing.assert_array_equal(one, two)
