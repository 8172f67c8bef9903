"""A lowering next to XLA's own convolution: values, and derivatives of every mode."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.ops.convolution import conv
from jaxcnn.ops.window import Window, plain_conv


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def assert_equals_xla(lowering, x, kernel, window, *, rtol=1e-4, atol=1e-3):
    """Compares the value and the gradients by the image and by the kernel."""

    @functools.partial(jax.jit, static_argnums=0)
    def all_of(function, x, kernel):
        y, pull = jax.vjp(lambda x, k: function(x, k, window), x, kernel)
        return y, pull(jnp.sin(y))

    _assert_alike(
        all_of(lowering, x, kernel), all_of(plain_conv, x, kernel), rtol, atol
    )


def assert_all_derivatives_equal_xla(
    lowering, x, kernel, window, *, rtol=1e-3, atol=1e-2
):
    """Compares forward mode, and second derivatives in both orders of the modes."""

    def objective(function, both):
        return jnp.sum(function(*both, window) ** 3)

    for derive in (
        jax.jacfwd,
        jax.hessian,  # forward over reverse
        lambda f: jax.jacrev(jax.grad(f)),
        lambda f: jax.grad(lambda both: jax.grad(f)(both)[0].sum()),
    ):
        ours, theirs = (
            jax.jit(derive(functools.partial(objective, function)))((x, kernel))
            for function in (lowering, plain_conv)
        )
        _assert_alike(ours, theirs, rtol, atol)


def _assert_alike(ours, theirs, rtol, atol):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


def convolutions(platform, x, kernel, window):
    """Returns how many convolutions of XLA's the platform is given for one of ours."""
    stride, padding, dilation, groups = window
    step = functools.partial(
        conv, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    shapes = (jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (x, kernel))
    traced = jax.jit(step).trace(*shapes)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    return text.count("stablehlo.convolution")


def plain_window(padding=((0, 0), (0, 0)), stride=(1, 1), dilation=(1, 1), groups=1):
    return Window(stride, padding, dilation, groups)
