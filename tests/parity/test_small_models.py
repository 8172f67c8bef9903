"""Our small models against the same networks written with `torch.nn`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks.torch_models import conv_autoencoder, inception_small, lenet, lenet5
from jaxcnn.registry import create_model

from . import convert
from .compare import assert_close, assert_trees_close

pytestmark = pytest.mark.parity


def lenet_params(state):
    names = {"conv1": "0", "conv2": "3", "head": "7"}
    return convert.layers(state, names, flattens={"head": (20, 4, 4)})


def lenet5_params(state):
    names = {"conv1": "0", "conv2": "3", "hidden1": "7", "hidden2": "9", "head": "11"}
    return convert.layers(state, names, flattens={"hidden1": (16, 5, 5)})


def inception_params(state):
    names = {"conv1": "0", "conv2": "4", "head": "9"}
    for ours, theirs in (("inception1", "3"), ("inception2", "7")):
        prefixes = {n.split(".")[1] for n in state if n.startswith(f"{theirs}.")}
        names |= {f"{ours}/{name}": f"{theirs}.{name}" for name in prefixes}
    return convert.layers(state, names, flattens={"head": (88, 4, 4)})


def conv_autoencoder_params(state):
    names = {"conv1": "0", "conv2": "2", "latent": "5"}
    names = {f"encoder/{ours}": theirs for ours, theirs in names.items()}
    back = {"expand": "6", "up1": "9", "up2": "11", "output": "13"}
    names |= {f"decoder/{ours}": theirs for ours, theirs in back.items()}
    return convert.layers(
        state,
        names,
        flattens={"encoder/latent": (32, 7, 7)},
        unflattens={"decoder/expand": (32, 7, 7)},
    )


MODELS = {
    "lenet": (lenet, lenet_params, {}),
    "lenet5": (lenet5, lenet5_params, {}),
    "inception_small": (inception_small, inception_params, {}),
    "conv_autoencoder": (
        conv_autoencoder,
        conv_autoencoder_params,
        {"output_activation": None},
    ),
}


@pytest.fixture
def images():
    return np.random.default_rng(0).random((8, 28, 28, 1), np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_equal_weights_give_equal_outputs_and_gradients(name, torch, images):
    """Gradients of the sum of squares, for every parameter."""
    make, to_flax, options = MODELS[name]
    reference = make(torch)
    expected = reference(torch.from_numpy(convert.images(images)))
    expected.square().sum().backward()
    params = to_flax(convert.arrays(reference.named_parameters()))
    expected_gradients = to_flax(
        convert.arrays((n, p.grad) for n, p in reference.named_parameters())
    )
    model = create_model(name, **options)

    @jax.jit
    def run(params):
        def loss(params):
            outputs = model.apply({"params": params}, images)
            return jnp.sum(outputs**2), outputs

        return jax.value_and_grad(loss, has_aux=True)(params)

    (_, outputs), gradients = run(params)
    expected = expected.detach().numpy()
    assert_close(outputs, np.moveaxis(expected, 1, -1))
    assert_trees_close(gradients, expected_gradients)


def test_sgd_with_momentum_takes_the_same_steps(torch, images):
    """Two steps of cross entropy: momentum shows in the second."""
    reference = lenet(torch)
    params = lenet_params(convert.arrays(reference.named_parameters()))
    labels = np.arange(8) % 10
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        logits = reference(torch.from_numpy(convert.images(images)))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
        loss.backward()
        optimizer.step()

    model, tx = create_model("lenet"), optax.sgd(0.1, momentum=0.9)

    @jax.jit
    def step(params, state):
        def loss(params):
            logits = model.apply({"params": params}, images, train=True)
            return optax.softmax_cross_entropy_with_integer_labels(
                logits, labels
            ).mean()

        updates, state = tx.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(2):
        params, state = step(params, state)
    expected = lenet_params(convert.arrays(reference.named_parameters()))
    assert_trees_close(params, expected, tolerance=1e-5)


@pytest.mark.parametrize("size", [(14, 10), (13, 9)])
def test_a_doubling_transposed_convolution(size, torch):
    """An odd side is the even one without its last row or column."""
    from jaxcnn.layers.resampling import DoubleConvTranspose

    x = np.random.default_rng(0).standard_normal((2, 7, 5, 3), np.float32)
    reference = torch.nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1)
    expected = reference(torch.from_numpy(convert.images(x))).detach().numpy()
    params = convert.layers(convert.arrays(reference.named_parameters("x")), {"x": "x"})
    got = DoubleConvTranspose(4).apply({"params": params["x"]}, x, size)
    expected = np.moveaxis(expected, 1, -1)[:, : size[0], : size[1]]
    assert_close(got, expected)
