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


def test_a_file_for_several_platforms_has_it_on_cpus_alone():
    step = jax.jit(jax.grad(functools.partial(objective, written)))
    exported = jax.export.export(step, platforms=("cpu", "cuda"))(jnp.ones(3))
    assert "inlineable" in str(exported.mlir_module())
    np.testing.assert_array_equal(exported.call(jnp.ones(3)), step(jnp.ones(3)))


def test_shards_pass_it():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spec, x = jax.sharding.PartitionSpec("data"), jnp.arange(16.0)
    gradient = jax.grad(functools.partial(objective, written))
    mapped = jax.shard_map(gradient, mesh=mesh, in_specs=spec, out_specs=spec)
    plain = jax.grad(functools.partial(objective, lambda x: x))
    for run in (mapped, jax.jit(mapped)):
        np.testing.assert_allclose(run(x), plain(x), rtol=1e-6)
