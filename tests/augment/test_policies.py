import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.augment import compose, random_rotate, trivial_augment
from jaxcnn.augment.batch import example_keys
from jaxcnn.augment.policies import (
    OPERATIONS,
    RAND_AUGMENT,
    TRIVIAL_AUGMENT_WIDE,
    colored,
    moving,
    strengths,
)
from jaxcnn.augment.warps import Geometric


def index(name):
    return jnp.array([OPERATIONS.index(name)])


def strength(space, name, level):
    return strengths(space, index(name), jnp.array([level]), 20, 40)[0].item()


def test_strengths_by_hand():
    # Level 9 of 30 is three tenths of the most.
    assert np.isclose(strength(RAND_AUGMENT, "rotate", 9), 9.0)
    assert np.isclose(strength(RAND_AUGMENT, "shear_x", 30), 0.3)
    assert np.isclose(strength(RAND_AUGMENT, "contrast", 10), 0.3)
    # Whole pixels of 150 / 331 of the side: 18.1 and 9.06 at most.
    assert strength(RAND_AUGMENT, "translate_x", 30) == 18
    assert strength(RAND_AUGMENT, "translate_y", 30) == 9
    assert strength(TRIVIAL_AUGMENT_WIDE, "translate_y", 15) == 16
    # From 8 bits to 4, and to 2.
    assert [strength(RAND_AUGMENT, "posterize", k) for k in (0, 15, 30)] == [8, 6, 4]
    assert strength(TRIVIAL_AUGMENT_WIDE, "posterize", 30) == 2
    assert np.isclose(strength(RAND_AUGMENT, "solarize", 9), 0.7)


@pytest.mark.thorough
def test_an_operation_is_done_alone():
    image = jnp.linspace(0.1, 0.9, 36).reshape(1, 4, 3, 3)
    for name in OPERATIONS[:6]:
        same = colored(image, index(name), jnp.array([0.3]))
        np.testing.assert_array_equal(same, image)
    for name in OPERATIONS[6:]:
        matrix = moving(index(name), jnp.array([0.3]), 4, 3)
        np.testing.assert_array_equal(matrix[0], np.eye(3))
    bright = colored(image, index("brightness"), jnp.array([-0.5]))
    np.testing.assert_allclose(bright, image / 2, rtol=1e-6)


def test_shear_is_about_the_corner():
    # The first row's upper edge stays; the last row's lower edge moves left by all.
    matrix = moving(index("shear_x"), jnp.array([0.5]), 10, 6)[0]
    top, bottom = jnp.array([0.0, -5.0, 1.0]), jnp.array([0.0, 5.0, 1.0])
    np.testing.assert_allclose(matrix @ top, top, atol=1e-6)
    np.testing.assert_allclose(matrix @ bottom, [-5, 5, 1], atol=1e-6)


@pytest.mark.thorough
def test_every_operation_is_drawn_about_as_often():
    policy = trivial_augment()
    (_, _), (_, geometry) = policy.steps
    assert isinstance(geometry, Geometric)
    keys = example_keys(jax.random.key(0), {"image": jnp.zeros((1400, 8, 8, 3))})
    matrices = np.asarray(geometry.draw(keys, 200, 200).matrices)
    moves = (np.abs(matrices - np.eye(3)) > 1e-6).any(axis=(1, 2)).mean()
    # Five of fourteen, but for strengths of 0: one of 31.
    assert abs(moves - 5 / 14 * 30 / 31) < 0.04


def test_its_geometry_fuses_with_what_follows():
    policy = compose(trivial_augment(), random_rotate())
    kinds = [isinstance(step, Geometric) for _, step in policy.steps]
    assert kinds == [False, True, True]
    # Colours and geometry get the same key, so that one operation is drawn.
    assert policy.steps[0][0] == policy.steps[1][0] == (0,)
