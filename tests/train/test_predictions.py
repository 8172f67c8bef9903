import jax
import numpy as np
import optax
import pytest

from jaxcnn.data import EvalData, Source, from_arrays
from jaxcnn.train import (
    collect,
    init_state,
    make_collect_step,
    make_mesh,
    make_predict_step,
    parallelize,
)
from tests.train import nets


@pytest.fixture(scope="module")
def trained():
    """Returns a predict function, a state and 21 examples with what it says of them."""
    model = nets.ConvNet()
    state = init_state(model, optax.sgd(0.1), jax.random.key(0), nets.EXAMPLE)
    batch = nets.batch_of(0, 21)
    names = ("dark", "middle", "bright")
    source = Source("squares", batch["image"], batch["label"], names)
    predict = make_predict_step(model)
    variables = {"params": state.params, **state.model_state}
    return predict, state, source, np.asarray(predict(variables, batch["image"]))


@pytest.mark.parametrize("how", ["jit", "mesh", "pmap"])
@pytest.mark.parametrize("size", [8, 16, 24])
def test_every_example_once_in_order_on_any_devices(trained, how, size):
    predict, state, source, expected = trained
    step = make_collect_step(predict, axis_name="batch" if how == "pmap" else None)
    step = parallelize(step, make_mesh() if how == "mesh" else how)
    found = collect(step, state, EvalData(source, size))
    assert len(found) == 21
    np.testing.assert_allclose(found.outputs, expected, atol=1e-6)
    np.testing.assert_array_equal(found.labels, source.labels)
    np.testing.assert_array_equal(found.positions, np.arange(21))


def test_masked_examples_are_left_out(trained):
    predict, state, source, expected = trained
    batches = [dict(b) for b in EvalData(source, 8)]
    batches[1]["mask"] = np.float32([1, 0, 1, 1, 0, 1, 1, 1])
    found = collect(jax.jit(make_collect_step(predict)), state, batches)
    kept = np.setdiff1d(np.arange(21), [9, 12])
    np.testing.assert_array_equal(found.positions, kept)
    np.testing.assert_allclose(found.outputs, expected[kept], atol=1e-6)
    np.testing.assert_array_equal(found.labels, source.labels[kept])


def test_trees_without_labels_or_mask(trained):
    _, state, source, _ = trained
    step = jax.jit(make_collect_step(lambda v, x: {"a": x.sum((1, 2, 3)), "b": x}))
    found = collect(step, state, [{"image": source.images}])
    assert found.labels is None
    assert {k: v.shape for k, v in found.outputs.items()} == {
        "a": (21,),
        "b": (21, 6, 6, 1),
    }


def test_nothing_to_predict(trained):
    predict, state, _, _ = trained
    step = jax.jit(make_collect_step(predict))
    with pytest.raises(ValueError, match="nothing to predict: no batches"):
        collect(step, state, [])
    source = from_arrays(nets.batch_of(0, 2)["image"], [0, 1])
    (batch,) = EvalData(source, 2)
    with pytest.raises(ValueError, match="nothing to predict: every mask is 0"):
        collect(step, state, [{**batch, "mask": np.zeros(2, np.float32)}])
