import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.metrics import psnr, squared_error_per_image

TARGETS = np.zeros((3, 2, 2, 1), np.float32)
# Mean squared errors 0, 0.01 and 1/4.
OUTPUTS = np.stack([np.zeros((2, 2, 1)), np.full((2, 2, 1), 0.1), np.eye(2)[..., None]])
OUTPUTS[2] *= np.sqrt(0.5)


def test_squared_error_by_hand():
    errors = jax.jit(squared_error_per_image)(OUTPUTS, TARGETS)
    assert errors.dtype == jnp.float32
    np.testing.assert_allclose(errors, [0, 0.01, 0.25], rtol=1e-6)


@pytest.mark.parametrize(
    ("data_range", "expected"),
    [(1.0, [np.inf, 20.0, 6.0206]), (2.0, [np.inf, 26.0206, 12.0412])],
)
def test_psnr_by_hand(data_range, expected):
    values = psnr(OUTPUTS, TARGETS, data_range=data_range)
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_bfloat16_is_compared_in_float32():
    outputs = jnp.full((1, 4), 1.0, jnp.bfloat16)
    targets = jnp.full((1, 4), 1.0 + 1e-3, jnp.float32)
    errors = squared_error_per_image(outputs, targets)
    np.testing.assert_allclose(errors, [1e-6], rtol=1e-3)


@pytest.mark.parametrize("metric", [squared_error_per_image, psnr])
def test_refuses_other_shapes(metric):
    with pytest.raises(
        ValueError, match=r"outputs \(3, 2, 2, 1\) and targets \(3, 4\)"
    ):
        metric(OUTPUTS, TARGETS.reshape(3, 4))
