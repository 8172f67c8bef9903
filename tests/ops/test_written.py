"""What is written is computed once, and is the same in every derivative."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.ops.written import written


def objective(line, x):
    return jnp.sum(jnp.sin(line(jnp.cos(x) * x)) ** 2)


@pytest.mark.parametrize("derivative", [jax.grad, jax.jacfwd, jax.hessian])
def test_derivatives_do_not_see_it(derivative):
    x = jnp.linspace(-1.0, 2.0, 5)
    same, plain = (functools.partial(objective, f) for f in (written, lambda x: x))
    np.testing.assert_allclose(
        derivative(same)(x), derivative(plain)(x), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_array_equal(jax.vmap(written)(x), x)


def test_integers_pass_it():
    assert written(jnp.arange(3, dtype=jnp.int8)).dtype == jnp.int8


@pytest.mark.parametrize("transform", [lambda f: f, jax.grad, jax.vmap])
def test_no_fusion_crosses_it(transform):
    def function(x):
        return objective(written, x)

    x = jnp.ones((2, 3)) if transform is jax.vmap else jnp.ones(3)
    text = jax.jit(transform(function)).lower(x).compile().as_text()
    assert " call(" in text


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_other_platforms_see_nothing(platform):
    traced = jax.jit(jax.grad(functools.partial(objective, written))).trace(jnp.ones(3))
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert "inlineable" not in text
    assert "inlineable" in traced.lower(lowering_platforms=("cpu",)).as_text()
