"""What every layer of a model gives out, its activation function included."""

from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.extend import core

from jaxcnn.tree import flatten_named
from jaxcnn.typing import Array, PyTree

_PREFIX = "jaxcnn/output/"
#: Activation functions, by the names that they have in a traced computation.
_NAMED = {"relu", "relu6", "leaky_relu", "elu", "selu", "celu", "silu", "softplus"}
_NAMED |= {"hard_swish", "hard_silu", "hard_sigmoid", "hard_tanh", "gelu", "mish"}
#: Those that are primitives. They are steps of other functions too, so they count as
#: the activation only of the very output of a layer.
_PRIMITIVES = {"logistic", "tanh"}


def layer_outputs(
    apply: Callable[..., Any], params: PyTree, *args: Any
) -> dict[str, Array]:
    """Returns what each layer gives out in `apply(params, *args)`, by its path.

    A layer is a module with parameters of its own. It gives out what its activation
    function makes of its output, if one follows before the next layer, be it a plain
    function in the module around it; else its output. A layer that is called several
    times gives out what the last call does. Layers inside `nn.scan`, `nn.remat`,
    `nn.jit` and the like are left out.

    Args:
        apply: A pure function that calls the model's `apply`.
        params: The model's parameters.
        *args: What else the function takes.

    Example:
        >>> model = nn.Sequential([nn.Dense(2), nn.relu])
        >>> variables = model.init(jax.random.key(0), jnp.ones((1, 3)))
        >>> outputs = layer_outputs(
        ...     lambda params: model.apply({"params": params}, jnp.zeros((1, 3)) - 1),
        ...     variables["params"],
        ... )
        >>> print({name: bool(x.min() >= 0) for name, x in outputs.items()})
        {'layers_0': True}
    """
    layers = {name.rpartition("/")[0] for name in flatten_named(params)}

    def tag(function: Any, args: Any, keywords: Any, context: Any) -> Any:
        outputs = function(*args, **keywords)
        if context.method_name != "__call__":
            return outputs
        path = "/".join(context.module.path)
        if path not in layers:
            return outputs
        return jax.tree.map(lambda x: checkpoint_name(x, _PREFIX + path), outputs)

    def tagged(params: PyTree, *args: Any) -> Any:
        with nn.intercept_methods(tag):
            return apply(params, *args)

    closed = jax.make_jaxpr(tagged)(params, *args)
    found = _variables(closed.jaxpr)
    jaxpr = closed.jaxpr.replace(outvars=list(found.values()))
    outputs = core.jaxpr_as_fun(core.ClosedJaxpr(jaxpr, closed.consts))
    values = outputs(*jax.tree.leaves((params, *args)))
    return dict(zip(found, values, strict=True))


def _variables(jaxpr: core.Jaxpr) -> dict[str, Any]:
    """Returns the variable of a computation that holds each layer's output."""
    found: dict[str, Any] = {}
    layer, output = None, None
    for equation in jaxpr.eqns:
        name = str(equation.params.get("name", ""))
        if equation.primitive.name == "name" and name.startswith(_PREFIX):
            layer, output = name.removeprefix(_PREFIX), equation.outvars[0]
            found.pop(layer, None)
            found[layer] = output
        elif layer is not None and _is_activation(equation, output):
            found[layer] = equation.outvars[0]
            layer = None
    return found


def _is_activation(equation: Any, output: Any) -> bool:
    """Tells whether an equation is an activation function, of a layer's output."""
    kind = equation.primitive.name
    if kind in _PRIMITIVES:
        return equation.invars[0] is output
    if kind == "max":  # jnp.maximum(x, 0), but not that of a norm's variance
        zero = any(isinstance(x, core.Literal) and x.val == 0 for x in equation.invars)
        return zero and equation.outvars[0].aval.shape == output.aval.shape
    names = {equation.params.get("name")}
    if kind == "custom_jvp_call":
        inner = equation.params["call_jaxpr"].jaxpr.eqns
        names |= {e.params.get("name") for e in inner}
    return bool(names & _NAMED)
