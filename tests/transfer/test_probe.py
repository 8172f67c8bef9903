"""Features as arrays, and a linear classifier on them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxcnn.data import TrainData, from_arrays, load_source
from jaxcnn.models import Cnn
from jaxcnn.optim import make_optimizer
from jaxcnn.train import classification, fit, init_state, make_train_step
from jaxcnn.transfer import extract_features, freeze_pattern, linear_probe

SHAPE = (28, 28, 1)


@pytest.fixture(scope="module")
def model():
    return Cnn(features=(3, 5), norm="batch")


@pytest.fixture(scope="module")
def variables(model):
    variables = jax.jit(model.init)(jax.random.key(1), jnp.zeros((1, *SHAPE)))
    # Statistics that are not those of a new model: they must be used, and kept.
    return {
        **variables,
        "batch_stats": jax.tree.map(lambda x: x * 1.5 + 0.01, variables["batch_stats"]),
    }


@pytest.fixture(scope="module")
def source():
    return load_source("digits", "train[:50]")


@pytest.mark.thorough
def test_features_are_those_of_the_submodule_in_order(model, variables, source):
    found = extract_features(
        model, variables, source, endpoint="stage1_conv1", batch_size=20
    )
    assert found.outputs.shape == (50, 3)
    np.testing.assert_array_equal(found.labels, source.labels)
    maps = extract_features(
        model, variables, source, endpoint="stage1_conv1", pool=False, batch_size=20
    )
    np.testing.assert_allclose(maps.outputs.mean((1, 2)), found.outputs, rtol=1e-5)


@pytest.mark.thorough
def test_a_probe_equals_training_with_all_frozen_but_the_head(model, variables, source):
    probed, trained = linear_probe(
        model, variables, source, tx=optax.adam(0.01), epochs=2, batch_size=10
    )
    pattern = freeze_pattern(probed, SHAPE, "all")
    tx = make_optimizer("adam", 0.01, freeze=pattern)
    state = init_state(
        probed, tx, jax.random.key(0), jax.ShapeDtypeStruct((1, *SHAPE), "f4")
    )
    start = linear_probe(model, variables, source, tx=optax.sgd(0.0), epochs=1)[1]
    params = jax.tree.map(jnp.array, start["params"])
    state = state.replace(
        params=params,
        model_state={"batch_stats": jax.tree.map(jnp.array, variables["batch_stats"])},
        opt_state=tx.init(params),
    )
    step = make_train_step(probed, tx, classification(), freeze=pattern)
    whole = fit(state, step, TrainData(source, 10, 0), num_steps=10)
    one, two = trained["params"], whole.params
    assert (
        np.abs(one["head"]["kernel"] - start["params"]["head"]["kernel"]).max() > 0.01
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), one, two)


def test_what_cannot_be(model, source):
    with pytest.raises(ValueError, match="no field num_classes that could be 0: give"):
        extract_features(nn.Dense(3), {}, source)
    bare = from_arrays(source.images)
    with pytest.raises(ValueError, match="no labels to train a head on"):
        linear_probe(model, {}, bare)
    with pytest.raises(ValueError, match="batch_size must be"):
        extract_features(model, {}, source, batch_size=0)
