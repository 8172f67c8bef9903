"""Features of a trained model as arrays, and a linear classifier on them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxcnn.data import EvalData, LazySource, Source, TrainData, from_arrays
from jaxcnn.data.preprocess import to_float
from jaxcnn.layers.checks import check_number
from jaxcnn.models.cut import WithHead, with_head
from jaxcnn.models.features import capture
from jaxcnn.ops import global_average_pool
from jaxcnn.train import (
    Predictions,
    TrainState,
    classification,
    collect,
    fit,
    init_state,
    make_collect_step,
    make_train_step,
    parallelize,
)
from jaxcnn.typing import Array, PyTree


def extract_features(
    model: nn.Module,
    variables: PyTree,
    data: Source | LazySource | EvalData,
    *,
    endpoint: str | None = None,
    pool: bool = True,
    preprocess: Callable[[Array], Array] | None = None,
    batch_size: int = 256,
) -> Predictions:
    """Returns what a submodule gives for every example, as in inference.

    The images go through in batches; nothing but the features is kept.

    Args:
        model: Any Linen module that is called with images.
        variables: Its variables.
        data: The examples, or their evaluation batches.
        endpoint: Path of the submodule, see `feature_info`; by default what the head of
            a model with a field `num_classes` gets.
        pool: Whether features at positions are averaged over them.
        preprocess: From stored images to the model's input, `make_preprocess(config)`;
            by default integers are divided by their type's maximum.
        batch_size: Images at a time, unless `data` says so.

    Returns:
        `outputs` are the features, float32 `[n, channels]`, or with positions; `labels`
        are those of the data. In the order of the data.

    Raises:
        ValueError: if there is no such submodule (the nearest is named), or without
            `endpoint` no field `num_classes`.

    Example:
        >>> import numpy as np
        >>> from jaxcnn.registry import create_model
        >>> model = create_model("lenet")
        >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
        >>> source = from_arrays(np.eye(28, dtype=np.float32)[None].repeat(5, 0))
        >>> extract_features(model, variables, source, endpoint="conv2").outputs.shape
        (5, 20)
    """
    check_number("batch_size", batch_size, 1)
    if endpoint is None and not hasattr(model, "num_classes"):
        raise ValueError(
            f"{type(model).__name__} has no field num_classes that could be 0: give "
            "endpoint=, the path of a submodule."
        )
    whole = model.clone(num_classes=0) if endpoint is None else model

    def features(variables: PyTree, images: Array) -> Array:
        images = (preprocess or to_float)(images)
        if endpoint is None:
            x = whole.apply(variables, images)
        else:
            x = capture(whole, variables, images, [endpoint])[endpoint]
        x = x.astype(jnp.float32)
        return global_average_pool(x) if pool and x.ndim > 2 else x

    batches = data if isinstance(data, EvalData) else EvalData(data, batch_size)
    step = parallelize(make_collect_step(features))
    return collect(step, _state(variables), batches)


def linear_probe(
    model: nn.Module,
    variables: PyTree,
    data: Source,
    *,
    endpoint: str | None = None,
    preprocess: Callable[[Array], Array] | None = None,
    tx: optax.GradientTransformation | None = None,
    epochs: float = 50.0,
    batch_size: int = 64,
    seed: int = 0,
) -> tuple[WithHead, PyTree]:
    """Returns the model with a new linear head, trained on features extracted once.

    The result is that of training the model with all but the head frozen, on the same
    batches without augmentation, to rounding; but the images go through it once only.

    Args:
        model: Any Linen module that is called with images.
        variables: Its variables; they are not changed.
        data: Labelled examples.
        endpoint: The submodule behind which the head stands, see `extract_features`.
        preprocess: As for `extract_features`.
        tx: The optimizer; `optax.adam(1e-3)` by default.
        epochs: Passes over the features.
        batch_size: Examples in a batch; all where there are fewer.
        seed: Of the head and the order.

    Returns:
        What `with_head` makes, and its variables.

    Raises:
        ValueError: if the data have no labels, or as `extract_features` does.

    References:
        Alain and Bengio, "Understanding intermediate layers using linear classifier
        probes", 2016, https://arxiv.org/abs/1610.01644.
    """
    if data.labels is None:
        raise ValueError(f"{data.name!r} has no labels to train a head on.")
    found = extract_features(
        model, variables, data, endpoint=endpoint, preprocess=preprocess
    )
    features = from_arrays(
        found.outputs[:, None], found.labels, data.class_names, rank=1
    )
    tx = optax.adam(1e-3) if tx is None else tx
    head = _OnFeatures(data.num_classes)
    batches = TrainData(features, min(batch_size, len(features)), seed)
    shape = jax.ShapeDtypeStruct((1, *features.image_shape), jnp.float32)
    state = init_state(head, tx, jax.random.key(seed), shape)
    steps = max(round(epochs * batches.steps_per_epoch), 1)
    step = parallelize(make_train_step(head, tx, classification()))
    state = fit(state, step, batches, num_steps=steps)
    probed = with_head(model, data.num_classes, cut_at=endpoint)
    return probed, _with(variables, state.params)


class _OnFeatures(nn.Module):
    """A linear `head` on features `[batch, 1, channels]`."""

    num_classes: int

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        return nn.Dense(self.num_classes, name="head")(x[:, 0])


def _with(variables: PyTree, head: PyTree) -> PyTree:
    """Returns the variables with another head."""
    return {**variables, "params": {**variables["params"], **head}}


def _state(variables: PyTree) -> TrainState:
    """Returns variables as a state, for what takes no other step."""
    variables = dict(variables)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables.pop("params", {}),
        model_state=variables,
        opt_state=(),
        rng=jax.random.key(0),
        extras={},
    )
