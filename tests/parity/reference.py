"""The same weights and images through a model of ours and through its reference.

Weights go the way that users' do: through the family's key map and `convert_weights`.
"""

import functools

import jax
import numpy as np
import optax

from jaxcnn.layers.norm import batch_norm
from jaxcnn.models import capture
from jaxcnn.registry import create_model
from jaxcnn.transfer.convert import convert_weights
from jaxcnn.tree import flatten_named

from .compare import assert_close, assert_trees_close
from .convert import arrays, images

#: Compiling takes most of the time here, and far less without LLVM's optimisations.
quick_jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)


def pixels(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def randomise(torch, model, seed=0):
    """Gives norms random scales, biases and statistics, and layers their own weights.

    Drop-out and drop path are switched off by the caller, where the model is built.
    """
    torch.manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return model


def shapes_of(model, image):
    """Returns the shapes of a model's variables for an image `(*spatial, channels)`."""
    images = jax.ShapeDtypeStruct((1, *image), np.float32)
    return dict(jax.eval_shape(model.init, jax.random.key(0), images))


def variables_of(model, image, state, source, *, collections=None):
    """Returns our model's variables from named arrays; nothing may be left over."""
    shapes = shapes_of(model, image)
    if collections is not None:
        shapes = {name: shapes[name] for name in collections}
    converted = convert_weights(model, shapes, state, source)
    assert not converted.missing, converted.missing
    assert not converted.mismatched, converted.mismatched
    if collections is None:
        assert not converted.unexpected, converted.unexpected
    return converted.variables


def check_evaluation(
    torch, name, reference, source, image, *, endpoints=None, tolerance=1e-4, **options
):
    """Compares logits, and the outputs of submodules, in evaluation.

    Args:
        torch: The module.
        name: A registered model of ours; `options` go to it.
        reference: The PyTorch module, randomised.
        source: Whose names its state dict has: a key of our family's maps.
        image: `(*spatial, channels)`.
        endpoints: `{"stage1_block2": "layer1"}`: our path and the reference's.
        tolerance: Largest difference over largest value.
        **options: Given to `create_model`.
    """
    model = create_model(name, **options)
    reference = reference.eval()
    variables = variables_of(model, image, arrays(reference.state_dict()), source)
    x = pixels(2, *image)
    endpoints = endpoints or {}
    expected = {}

    def keep(path):
        return lambda module, inputs, output: expected.__setitem__(path, output)

    for ours, theirs in endpoints.items():
        reference.get_submodule(theirs).register_forward_hook(keep(ours))
    with torch.no_grad():
        expected[""] = reference(torch.from_numpy(images(x)))
    got = quick_jit(lambda v, x: capture(model, v, x, ["", *endpoints]))(variables, x)
    for path, value in expected.items():
        value = np.asarray(value)
        if path:
            value = np.moveaxis(value, 1, -1)
        assert_close(got[path], value, tolerance)


def randomise_keras(model, seed=0):
    """Gives the norms of a Keras model random scales, biases and statistics.

    Layers keep the weights that they were built with. Build the model behind
    `keras.utils.clear_session()`, after which unnamed layers count from the start.
    """
    random = np.random.default_rng(seed)
    for variable in model.variables:
        low, high = {
            "gamma": (0.5, 1.5),
            "beta": (-0.2, 0.2),
            "moving_mean": (-0.2, 0.2),
            "moving_variance": (0.5, 1.5),
        }.get(variable.path.split("/")[-1], (None, None))
        if low is not None:
            variable.assign(random.uniform(low, high, variable.shape))
    return model


def keras_arrays(model):
    """Returns a Keras model's variables by path, such as `"block1_conv1/kernel"`."""
    return {variable.path: np.array(variable.value) for variable in model.weights}


def check_keras_evaluation(
    keras, name, reference, image, *, endpoints=None, tolerance=1e-4, **options
):
    """Compares logits, and the outputs of submodules, in evaluation.

    Args:
        keras: The module, on the JAX backend.
        name: A registered model of ours; `options` go to it.
        reference: The Keras model for images `image`, randomised, without a softmax:
            `classifier_activation=None`.
        image: `(*spatial, channels)`.
        endpoints: `{"stage1_block2": "block2_out"}`: our path and Keras's layer.
        tolerance: Largest difference over largest value.
        **options: Given to `create_model`.
    """
    model = create_model(name, **options)
    variables = variables_of(model, image, keras_arrays(reference), "keras")
    x, paths = pixels(2, *image), ["", *(endpoints or {})]
    layers = [reference.get_layer(layer) for layer in (endpoints or {}).values()]
    outputs = [reference.output, *(layer.output for layer in layers)]
    theirs = keras.Model(reference.inputs, outputs)
    weights = [v.value for v in theirs.trainable_variables]
    state = [v.value for v in theirs.non_trainable_variables]
    apply = functools.partial(theirs.stateless_call, training=False)
    with jax.numpy_rank_promotion("allow"):
        expected = jax.jit(apply)(weights, state, x)[0]
    got = jax.jit(lambda v, x: capture(model, v, x, paths))(variables, x)
    for path, value in zip(paths, expected, strict=True):
        assert_close(got[path], value, tolerance)


def check_training(
    torch,
    name,
    reference,
    source,
    image,
    *,
    monkeypatch,
    tolerance=1e-4,
    logits_of=lambda output: output,
    batch=4,
    **options,
):
    """Compares logits, updated statistics and gradients of a loss, in training.

    Both compute in float64. In float32 the gradients of one and the same network
    differ by per cents where rounding decides on which side of zero a ReLU stands.

    `logits_of` takes the logits out of what our model and the reference return.
    """
    monkeypatch.setitem(batch_norm.keywords, "use_fast_variance", False)
    model = create_model(name, **options)
    reference = reference.double().train()
    variables = variables_of(model, image, arrays(reference.state_dict()), source)
    x = pixels(batch, *image).astype(np.float64)
    keep_the_biased_variance(torch, reference)
    theirs = logits_of(reference(torch.from_numpy(images(x))))
    labels = np.arange(batch) % theirs.shape[-1]
    torch.nn.functional.cross_entropy(theirs, torch.from_numpy(labels)).backward()
    grads = arrays({n: p.grad for n, p in reference.named_parameters()})

    def objective(params):
        output, state = model.apply(
            {**variables, "params": params},
            x,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(0)},
        )
        logits = logits_of(output)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), (logits, state)

    with jax.enable_x64(True):
        gradient = quick_jit(jax.grad(objective, has_aux=True))
        got, (logits, state) = jax.device_get(gradient(variables["params"]))
    assert_close(logits, theirs.detach().numpy(), tolerance)
    expected = variables_of(model, image, grads, source, collections=["params"])
    # Where the true gradient is 0, as that of a bias before a norm, both are noise:
    # differences count relative to the largest gradient of all.
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    expected = flatten_named(expected["params"])
    for leaf, value in flatten_named(got).items():
        scale = max(np.abs(expected[leaf]).max(), 1e-2 * largest)
        assert np.abs(value - expected[leaf]).max() / scale < 10 * tolerance, leaf
    if "batch_stats" in variables:
        updated = variables_of(model, image, arrays(reference.state_dict()), source)
        assert_trees_close(state["batch_stats"], updated["batch_stats"], tolerance)


def keep_the_biased_variance(torch, model):
    """Makes BatchNorm average the biased variance, as Flax does, not n / (n - 1) of it.

    With PyTorch's momentum m the new running variance is (1 - m) old + m batch.
    """
    before = {}

    def remember(module, inputs):
        before[module] = (1 - module.momentum) * module.running_var

    def correct(module, inputs, output):
        n = inputs[0].numel() / inputs[0].shape[1]
        batch = module.running_var - before[module]
        # `data`: autograd has kept the tensor, and would find it changed.
        module.running_var.data.copy_(before[module] + batch * (n - 1) / n)

    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.register_forward_pre_hook(remember)
            module.register_forward_hook(correct)
