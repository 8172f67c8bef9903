"""Guided backpropagation: gradients that pass a ReLU only where they are positive.

The rule is put into the computation that a model is traced to, so it reaches every
ReLU, whoever wrote the layer around it, and needs nothing from the model.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.extend import core

from jaxcnn.interpret.saliency import gradient
from jaxcnn.interpret.scores import Target, make_score, prepare
from jaxcnn.typing import Array, PyTree

#: ReLUs of JAX that have a name of their own; in others `maximum(x, 0)` is found.
_RELUS = frozenset({"relu", "relu6"})
#: Named functions in which `maximum(x, 0)` is no rectifier of the model's.
_OPAQUE = frozenset({"hard_sigmoid", "hard_silu", "hard_swish", "clip", "hard_tanh"})
#: Rectifiers that let a little pass below 0, by JAX's names of their functions.
_SMOOTH = frozenset(
    "celu elu hard_silu hard_swish leaky_relu mish selu silu softplus".split()
)
#: Primitives that run a computation of their own once, on their own operands.
_CALLS = frozenset({"jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint"})


def guided_backpropagation(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: Target = None,
    *,
    smooth: bool | None = None,
    preprocess: Callable[[Array], Array] | None = None,
) -> Array:
    r"""Returns the gradient at the image that passes ReLUs only where it is positive.

    .. math:: R^l = [x^l > 0] \, [R^{l+1} > 0] \, R^{l+1} .

    Found are `jax.nn.relu` and `relu6` (so `flax.linen.relu` and all of the registry),
    and `jnp.maximum(x, 0)` of the model's own, also within `jit`, `nn.remat`, `nn.scan`
    and `cond`. Not found are rectifiers written as a choice (`jnp.where(x > 0, x, 0)`,
    `x * (x > 0)`, `jnp.clip(x, 0)`) or with a gradient of their own (`custom_vjp`):
    these keep theirs.

    Args:
        model: Any Linen module.
        variables: Its variables.
        images: `[batch, ..., channels]`.
        target: As for `input_gradient`.
        smooth: Whether the rule also holds at SiLU, ELU, leaky ReLU and their like (not
            GELU, which leaves no name in the computation),
            `[R > 0]` times their own derivative: no paper's, but the same thought. None
            does so for models without any ReLU, such as EfficientNet.
        preprocess: As for `input_gradient`.

    Returns:
        `[batch, ..., channels]`, signed.

    Raises:
        ValueError: if the model has no rectifier, or as `input_gradient`.

    References:
        Springenberg et al., "Striving for Simplicity: The All Convolutional Net", ICLR
        workshop 2015, section 3.4, https://arxiv.org/abs/1412.6806.
    """
    images = prepare(images, preprocess)
    score = make_score(model, variables, target, images)
    return gradient(with_guided_relus(score, smooth=smooth), images)


def with_guided_relus(
    function: Callable[..., Any], *, smooth: bool | None = None
) -> Callable[..., Any]:
    """Returns the same function, but with guided gradients at its rectifiers.

    Args:
        function: A pure function of arrays.
        smooth: As for `guided_backpropagation`.

    Raises:
        ValueError: when called, if the function has no rectifier.
    """

    def guided(*args: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        rectifiers = _rectifiers_in(closed.jaxpr)
        also_smooth = not rectifiers & {"relu"} if smooth is None else smooth
        wanted = {"relu", "smooth"} if also_smooth else {"relu"}
        if not rectifiers & wanted:
            raise ValueError(
                "The model applies no ReLU that could be guided: saliency is its plain "
                "gradient."
            )
        walk = _Guided(also_smooth)
        leaves = walk.run(closed.jaxpr, closed.consts, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), leaves)

    return guided


@jax.custom_vjp
def _guided_relu(x: Array) -> Array:
    return jnp.maximum(x, 0)


def _relu_forward(x: Array) -> tuple[Array, Array]:
    return jnp.maximum(x, 0), x > 0


def _relu_backward(positive: Array, gradient: Array) -> tuple[Array]:
    return (jnp.where(positive & (gradient > 0), gradient, 0),)


_guided_relu.defvjp(_relu_forward, _relu_backward)


def _guided_smooth(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Returns a pointwise function whose gradient passes only where it is positive."""
    guided = jax.custom_vjp(function)

    def backward(pull: Callable[..., Any], gradient: Array) -> Any:
        return pull(jnp.where(gradient > 0, gradient, 0))

    guided.defvjp(lambda x: jax.vjp(function, x), backward)
    return guided


class _Guided:
    """Evaluates a traced computation with other gradients at its rectifiers."""

    def __init__(self, smooth: bool) -> None:
        self.smooth = smooth

    def run(
        self, jaxpr: core.Jaxpr, consts: Sequence[Any], args: Sequence[Any]
    ) -> list[Any]:
        """Returns the outputs of a jaxpr."""
        known = dict(zip(jaxpr.constvars, consts, strict=True))
        known.update(zip(jaxpr.invars, args, strict=True))
        zeros = _zeros_in(jaxpr)

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, core.Literal) else known[atom]

        for eqn in jaxpr.eqns:
            values = [read(atom) for atom in eqn.invars]
            known.update(zip(eqn.outvars, self.step(eqn, values, zeros), strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def step(self, eqn: Any, values: list[Any], zeros: set[Any]) -> list[Any]:
        """Returns the outputs of one equation."""
        name = _name(eqn)
        inner = _called(eqn)
        rectified = _rectified(eqn, zeros)
        if rectified is not None:
            return [_guided_relu(values[rectified])]
        if self.smooth and name in _SMOOTH and inner is not None:
            function = _guided_smooth(lambda x: _bind(eqn, [x, *values[1:]])[0])
            return [function(values[0])]
        if not _rectifiers_of(eqn) or name in _OPAQUE:
            return _bind(eqn, values)
        if inner is not None:
            return self.run(inner.jaxpr, inner.consts, values)
        params = {key: self.replaced(value) for key, value in eqn.params.items()}
        return _bind(eqn.replace(params=params), values)

    def replaced(self, value: Any) -> Any:
        """Returns computations among an equation's parameters with the rule in them."""
        if isinstance(value, tuple):
            return tuple(map(self.replaced, value))
        if not isinstance(value, core.ClosedJaxpr):
            return value
        return jax.make_jaxpr(lambda *args: self.run(value.jaxpr, value.consts, args))(
            *value.in_avals
        )


def _bind(eqn: Any, values: list[Any]) -> list[Any]:
    """Returns what an equation gives as it stands, its own gradient kept."""
    free = [
        (atom, value)
        for atom, value in zip(eqn.invars, values, strict=True)
        if not isinstance(atom, core.Literal)
    ]
    operands = dict(free)  # one that occurs twice is given once
    origin = core.DebugInfo("guided", "guided_backpropagation", None, None)
    alone = core.Jaxpr((), list(operands), eqn.outvars, [eqn], eqn.effects, origin)
    return core.jaxpr_as_fun(core.ClosedJaxpr(alone, ()))(*operands.values())


def _name(eqn: Any) -> str:
    """Returns the name of the function that an equation calls, or an empty one.

    Activations of JAX with a gradient of their own are compiled functions inside.
    """
    inner = eqn.params.get("call_jaxpr")
    if eqn.primitive.name == "custom_jvp_call" and len(inner.eqns) == 1:
        return inner.eqns[0].params.get("name", "")
    return eqn.params.get("name", "")


def _called(eqn: Any) -> core.ClosedJaxpr | None:
    """Returns the computation that an equation runs once on its own operands."""
    name = eqn.primitive.name
    named = _name(eqn) in _RELUS | _SMOOTH
    if name not in _CALLS and not (name == "custom_jvp_call" and named):
        return None
    inner = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
    return core.ClosedJaxpr(inner, ()) if isinstance(inner, core.Jaxpr) else inner


def _rectified(eqn: Any, zeros: set[Any]) -> int | None:
    """Returns which operand a `maximum(x, 0)` rectifies; None for another equation."""
    if eqn.primitive.name != "max":
        return None
    which = [_is_zero(atom, zeros) for atom in eqn.invars]
    return which.index(False) if sum(which) == 1 else None


def _is_zero(atom: Any, zeros: set[Any]) -> bool:
    if isinstance(atom, core.Literal):
        return np.ndim(atom.val) == 0 and float(atom.val) == 0
    return atom in zeros


def _zeros_in(jaxpr: core.Jaxpr) -> set[Any]:
    """Returns the values that are zeros of some shape, as `jnp.zeros_like` makes."""
    return {
        eqn.outvars[0]
        for eqn in jaxpr.eqns
        if eqn.primitive.name == "broadcast_in_dim" and _is_zero(eqn.invars[0], set())
    }


def _rectifiers_in(jaxpr: core.Jaxpr) -> set[str]:
    """Returns which of `"relu"` and `"smooth"` a computation holds."""
    zeros = _zeros_in(jaxpr)
    found = {"relu" for eqn in jaxpr.eqns if _rectified(eqn, zeros) is not None}
    return found.union(*map(_rectifiers_of, jaxpr.eqns))


def _rectifiers_of(eqn: Any) -> set[str]:
    """Returns which rectifiers the computations within an equation hold."""
    name = _name(eqn)
    own_gradient = eqn.primitive.name in ("custom_jvp_call", "custom_vjp_call")
    if name in _SMOOTH:
        return {"smooth"}
    if name in _OPAQUE or (own_gradient and name not in _RELUS):
        return set()
    return set().union(*map(_rectifiers_in, core.jaxprs_in_params(eqn.params)))
