"""The state of a training run: a tree of arrays and nothing else."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from jaxcnn.typing import Array, PyTree


class TrainState(struct.PyTreeNode):
    """All that changes while a model trains.

    It holds no functions, so it can be saved, donated, sharded and compared as it is.

    Attributes:
        step: Number of updates made, int32 scalar.
        params: The model's parameters.
        model_state: The model's other collections, such as `batch_stats`.
        opt_state: The optimizer's state.
        rng: Typed key of the run. Step k uses `fold_in(rng, k)`, so it never changes.
        extras: What options keep beside the rest; empty by default.
    """

    step: Array
    params: PyTree
    model_state: Mapping[str, PyTree]
    opt_state: PyTree
    rng: Array
    extras: Mapping[str, PyTree]

    @property
    def variables(self) -> dict[str, PyTree]:
        """What `model.apply` takes as its first argument."""
        return {"params": self.params, **self.model_state}


def init_state(
    model: nn.Module,
    tx: optax.GradientTransformation,
    key: Array,
    example_images: Any,
    *,
    shardings: PyTree | Callable[[TrainState], PyTree] | None = None,
) -> TrainState:
    """Returns the state before the first step.

    Args:
        model: A Linen module whose call takes `train`.
        tx: The optimizer, any optax transformation.
        key: Typed key (`jax.random.key(seed)`); it seeds the parameters and all later
            randomness of the run.
        example_images: Images `[batch, ...]` or a `jax.ShapeDtypeStruct`: only shape
            and dtype matter. A tuple gives the arguments of a model of several inputs.
            Integers stand for images not scaled yet and are taken as float32.
        shardings: Where to make it: a sharding for every leaf, or a function that
            gives them for the state's shapes, such as `step.shardings`. Each device
            makes its own part, none ever holds the whole. None: the default device.

    Raises:
        ValueError: if the model's call has no argument `train`, or the key is untyped.
    """
    require_train_argument(model)
    if not jnp.issubdtype(jnp.asarray(key).dtype, jax.dtypes.prng_key):
        raise ValueError(
            f"key must be a typed key such as jax.random.key(0), got {key!r}."
        )
    examples = (
        example_images if isinstance(example_images, tuple) else (example_images,)
    )
    for example in examples:
        if not hasattr(example, "shape") or not hasattr(example, "dtype"):
            raise ValueError(
                "example_images must be arrays or jax.ShapeDtypeStructs, "
                f"got {example!r}."
            )
    shapes = [_as_float(example) for example in examples]
    init_key, rng = jax.random.split(key)

    def init(init_key: Array, rng: Array) -> TrainState:
        inputs = [jnp.zeros(shape.shape, shape.dtype) for shape in shapes]
        params_key, dropout_key = jax.random.split(init_key)
        keys = {"params": params_key, "dropout": dropout_key}
        variables = dict(model.init(keys, *inputs, train=False))
        params = variables.pop("params", {})
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            model_state=variables,
            opt_state=tx.init(params),
            rng=rng,
            extras={},
        )

    compiled = functools.partial(jax.jit, init, compiler_options=run_once_options())
    if shardings is None:
        return compiled()(init_key, rng)
    if callable(shardings):
        shardings = shardings(jax.eval_shape(init, init_key, rng))
    return compiled(out_shardings=shardings)(init_key, rng)


def run_once_options() -> dict[str, int]:
    """Returns the compiler options of a program that runs once, for `jax.jit`.

    On a CPU most of the start of a small run was the optimisation of initialisers
    (threefry and truncated normals, a copy a parameter). LLVM's first level compiles
    them in a third of the time, and to the same values but for the last bit.
    """
    # Only a program of its own takes options, not a part of one that is being traced.
    traced = isinstance(jnp.zeros(()), jax.core.Tracer)
    if traced or jax.default_backend() != "cpu":
        return {}
    return {"xla_backend_optimization_level": 1}


def require_train_argument(model: nn.Module) -> None:
    """Raises ValueError if the model's call cannot be told that it trains."""
    if not isinstance(model, nn.Module):
        raise ValueError(
            "model must be a Linen module, such as create_model('lenet'), "
            f"got {model!r}."
        )
    signature = inspect.signature(type(model).__call__)
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    if (
        "train" not in signature.parameters
        and inspect.Parameter.VAR_KEYWORD not in kinds
    ):
        raise ValueError(
            f"{type(model).__name__}.__call__ has no argument 'train'; add "
            "`*, train: bool = False`, for dropout and batch statistics."
        )


def _as_float(example: Any) -> jax.ShapeDtypeStruct:
    dtype = jnp.result_type(example.dtype)
    if jnp.issubdtype(dtype, jnp.integer):
        dtype = jnp.dtype("float32")
    return jax.ShapeDtypeStruct(example.shape, dtype)
