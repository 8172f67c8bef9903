"""Weights that a run starts from."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import PreprocessConfig
from jaxcnn.transfer import put_weights
from jaxcnn.transfer.start import StartWeights, known_preprocess
from jaxcnn.tree import flatten_named


def tree(value, classes=2):
    return {
        "params": {
            "conv": {"kernel": jnp.full((3, 3, 1, 2), value)},
            "head": {"kernel": jnp.full((2, classes), value)},
        },
        "batch_stats": {"norm": {"mean": jnp.full(2, value)}},
    }


def test_the_new_head_stays_and_the_rest_is_taken():
    leaves = flatten_named(tree(7.0, classes=5))
    found = put_weights(tree(0.0), leaves, new=["head/kernel"])
    values = {name: float(x.max()) for name, x in flatten_named(found).items()}
    assert values == {
        "params/conv/kernel": 7,
        "params/head/kernel": 0,
        "batch_stats/norm/mean": 7,
    }


def test_every_difference_is_named():
    with pytest.raises(ValueError, match=r"params/head/kernel is \(2, 5\) and must be"):
        put_weights(tree(0.0), flatten_named(tree(7.0, classes=5)))
    with pytest.raises(ValueError, match="lack 1 arrays of the model: batch_stats"):
        put_weights(tree(0.0), flatten_named({"params": tree(7.0)["params"]}))


def test_preprocessing_without_its_size_and_for_gray_images():
    known = PreprocessConfig(
        (0.4, 0.5, 0.6),
        (0.1, 0.2, 0.3),
        channel_order="BGR",
        resize=256,
        crop=(224, 224),
    )
    assert known_preprocess(known, 3) == PreprocessConfig(
        known.mean, known.std, channel_order="BGR"
    )
    gray = known_preprocess(known, 1)
    np.testing.assert_allclose([*gray.mean, *gray.std], [0.5, 0.2])
    assert gray.channel_order == "RGB"
    assert known_preprocess(None, 3) is None


def test_the_fingerprint_is_of_the_values():
    variables = StartWeights("mlp", arrays(0.0), {"hidden": (4,)}).fingerprint
    again = StartWeights("mlp", arrays(0.0), {"hidden": (4,)}).fingerprint
    other = StartWeights("mlp", arrays(1.0), {"hidden": (4,)}).fingerprint
    assert variables == again != other
    assert variables.startswith("sha256:")


def arrays(value):
    shapes = {"hidden1": (784, 4), "head": (4, 10)}
    return {
        f"params/{name}/{leaf}": np.full(
            shape[-1:] if leaf == "bias" else shape, value, "f"
        )
        for name, shape in shapes.items()
        for leaf in ("kernel", "bias")
    }
