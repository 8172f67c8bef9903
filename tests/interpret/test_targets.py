import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcnn.interpret import Target, output_at
from jaxcnn.registry import create_model

# Two images, two rows, three columns, two channels.
MAPS = np.arange(24.0).reshape(2, 2, 3, 2)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("stage1/conv", Target("stage1/conv")),
        ("stage1:3", Target("stage1", 3)),
        ("stage1:3@4,5", Target("stage1", 3, (4, 5))),
        ("stage1:3@centre", Target("stage1", 3, "centre")),
        (":7", Target("", 7)),
        (":encode", Target(":encode")),
    ],
)
def test_texts(text, target):
    assert Target.parse(text) == target


@pytest.mark.parametrize(
    ("target", "scores"),
    [
        (Target("x", 1), [6.0, 18.0]),  # means of 1, 3, ..., 11 and of 13, ..., 23
        (Target("x", (0, 1)), [5.0, 18.0]),
        (Target("x", 0, (1, 2)), [10.0, 22.0]),
        (Target("x", 1, "centre"), [9.0, 21.0]),  # row 1, column 1
        (Target("x"), [np.mean(MAPS[0] ** 2), np.mean(MAPS[1] ** 2)]),
    ],
)
def test_scores(target, scores):
    np.testing.assert_allclose(target.score(jnp.array(MAPS)), scores, rtol=1e-6)


def test_score_of_a_class():
    logits = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    assert Target("", 1).score(logits).tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Target("x", -1), r"channel must be .* at least 0, got -1"),
        (lambda: Target("x", position=(1, 1)), r"position=\(1, 1\) needs a channel"),
        (lambda: Target("x", 1, "corner"), r"\(row, column\) or 'centre', got 'corner"),
        (lambda: Target.parse("x:1@2;3"), r"PATH:CHANNEL@ROW,COLUMN"),
        (lambda: Target("x", 2).score(MAPS), r"channel 2 of 'x' is none of its 2"),
        (lambda: Target("x", 1, (2, 0)).score(MAPS), r"\(2, 0\) lies outside .* 2x3"),
        (lambda: Target("x", 1, (2,)).score(MAPS), r"\(2,\) lies outside"),
        (lambda: Target("x", (0, 1, 1)).score(MAPS), r"3 entries for 2 images"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.thorough
def test_images_may_have_a_size_that_later_dense_layers_do_not_take(key):
    model = create_model("lenet")
    variables = model.init(key, jnp.zeros((1, 28, 28, 1)))
    larger = jnp.ones((1, 36, 36, 1))
    usual = output_at(model, variables, jnp.ones((1, 28, 28, 1)), "conv1")
    np.testing.assert_allclose(
        output_at(model, variables, larger, "conv1")[:, :24, :24], usual, atol=1e-6
    )


class Dictionary(nn.Module):
    @nn.compact
    def __call__(self, x):
        nn.Dense(2, name="dense")(x)
        return {"logits": x[:, 0, 0], "aux": []}


class Pair(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x, x


@pytest.mark.thorough
def test_logits_are_taken_out_of_a_dictionary():
    images = jnp.arange(3.0).reshape(1, 1, 1, 3)
    variables = Dictionary().init(jax.random.key(0), images)
    logits = output_at(Dictionary(), variables, images, "")
    assert logits.tolist() == [[0.0, 1.0, 2.0]]


def test_what_is_no_array_and_no_path_is_an_error():
    images = jnp.zeros((1, 1, 1, 3))
    with pytest.raises(ValueError, match="returns tuple, not one array"):
        output_at(Pair(), {}, images, "")
    variables = Dictionary().init(jax.random.key(0), images)
    with pytest.raises(ValueError, match=r"no submodule 'dens'.*'dense'"):
        output_at(Dictionary(), variables, images, "dens")
