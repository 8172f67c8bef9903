"""Multiply-adds of a traced function: its convolutions and matrix products."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import jaxprs_in_params

#: Primitives that choose between programs, which plain layers never do.
CHOICES = ("platform_index", "cond")


def forward_macs(function: Callable, *args: Any) -> int:
    """Returns the multiply-adds of the convolutions and matrix products in a function.

    Zeros that a transposed convolution puts between its inputs do not count.

    Raises:
        ValueError: if the program chooses its lowering by platform.
    """
    return _macs(jax.make_jaxpr(function)(*args).jaxpr)


def _macs(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in CHOICES:
            raise ValueError(f"{name} in a program that should have plain layers.")
        if name == "conv_general_dilated":
            total += _conv(equation)
        elif name == "dot_general":
            total += _dot(equation)
        total += sum(_macs(inner) for inner in jaxprs_in_params(equation.params))
    return total


def _conv(equation: Any) -> int:
    kernel = equation.invars[1].aval.shape
    numbers = equation.params["dimension_numbers"]
    spatial = math.prod(kernel[axis] for axis in numbers.rhs_spec[2:])
    each = spatial * kernel[numbers.rhs_spec[1]]
    zeros = math.prod(equation.params["lhs_dilation"])
    return each * math.prod(equation.outvars[0].aval.shape) // zeros


def _dot(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    sizes = math.prod(shape[axis] for axis in contracted)
    return sizes * math.prod(equation.outvars[0].aval.shape)
