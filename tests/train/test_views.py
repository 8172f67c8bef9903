import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxcnn.train import (
    classification,
    evaluate,
    init_state,
    make_eval_step,
    make_predict_step,
    make_tta_predict,
    with_views,
)


class Linear(nn.Module):
    """Logits that tell left from right, or with `mean` only how bright it is."""

    mean: bool = False

    @nn.compact
    def __call__(self, x, *, train=False):
        x = x.mean(axis=(1, 2)) if self.mean else x.reshape(len(x), -1)
        return nn.Dense(3, name="head", kernel_init=nn.initializers.normal(1.0))(x)


@pytest.fixture
def images(key):
    return jax.random.uniform(key, (5, 4, 4, 1))


def variables_of(model, images):
    return model.init(jax.random.key(1), images)


def halve(images):
    return images / 2


@pytest.mark.thorough
@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_equals_the_average_by_hand(images, average):
    model = Linear()
    variables = variables_of(model, images)
    plain = make_predict_step(model, preprocess=halve)
    predict = make_tta_predict(model, "flip", preprocess=halve, average=average)
    both = jnp.stack([plain(variables, x) for x in (images, images[:, :, ::-1])])
    if average == "logits":
        expected = both.mean(axis=0)
        np.testing.assert_allclose(predict(variables, images), expected, atol=1e-6)
    expected = jax.nn.softmax(both).mean(axis=0)
    if average == "logits":
        expected = jax.nn.softmax(both.mean(axis=0))
    found = jax.nn.softmax(predict(variables, images))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.allclose(found, jax.nn.softmax(plain(variables, images)), atol=1e-2)


def test_views_that_a_model_does_not_tell_apart_change_nothing(images):
    model = Linear(mean=True)
    variables = variables_of(model, images)
    found = make_tta_predict(model, "flip")(variables, images)
    plain = make_predict_step(model)(variables, images)
    np.testing.assert_allclose(jax.nn.softmax(found), jax.nn.softmax(plain), atol=1e-6)


def test_uint8_images_are_viewed_as_floats():
    model = Linear()
    images = np.full((2, 4, 4, 1), 255, np.uint8)
    variables = variables_of(model, jnp.ones((1, 4, 4, 1)))
    views = [lambda x: x, lambda x: x - 1.0]
    found = make_tta_predict(model, views, average="logits")(variables, images)
    ones = jnp.ones((2, 4, 4, 1))
    expected = model.apply(variables, ones) / 2 + model.apply(variables, 0 * ones) / 2
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_evaluation_over_views_is_that_of_the_averaged_prediction(images):
    model = Linear()
    state = init_state(model, optax.sgd(0.1), jax.random.key(1), images)
    labels, mask = jnp.array([0, 1, 2, 0, 1]), jnp.array([1.0, 1, 1, 1, 0])
    batch = {"image": images, "label": labels, "mask": mask}
    task, preprocess = with_views(classification(), "flip", preprocess=halve)
    step = jax.jit(make_eval_step(model, task, preprocess=preprocess))
    logits = make_tta_predict(model, "flip", preprocess=halve)(state.variables, images)
    right = (logits.argmax(axis=1) == labels)[:4]
    nats = -jax.nn.log_softmax(logits)[jnp.arange(5), labels][:4]
    found = evaluate(step, state, [batch])
    assert found["accuracy"] == pytest.approx(float(right.mean()))
    assert found["loss"] == pytest.approx(float(nats.mean()), rel=1e-5)


def test_what_cannot_be_averaged(images):
    class Image(nn.Module):
        def __call__(self, x, *, train=False):
            return x

    with pytest.raises(ValueError, match=r"averages logits \[batch, classes\]"):
        make_tta_predict(Image(), "flip")({}, images)
    with pytest.raises(ValueError, match="average='logit' is unknown"):
        make_tta_predict(Image(), "flip", average="logit")
