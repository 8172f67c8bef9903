"""Losses that PyTorch or torchvision have, for the same numbers and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.losses import (
    absolute_error,
    binary_cross_entropy,
    huber,
    sigmoid_cross_entropy,
    sigmoid_focal_loss,
    softmax_cross_entropy,
    squared_error,
)

pytestmark = pytest.mark.parity

WEIGHTS = np.array([0.5, 1.0, 2.0, 0.0, 3.0], np.float32)
LABELS = np.arange(9) % 5


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 4


def shares():
    return np.random.default_rng(1).dirichlet(np.ones(5), 9).astype(np.float32)


def compare(torch, ours, theirs, outputs, targets):
    """Compares the loss of every example, and the gradient by the outputs."""
    x = torch.from_numpy(outputs).requires_grad_()
    expected = theirs(x, torch.from_numpy(targets))
    expected = expected.reshape(len(outputs), -1).mean(dim=1)
    expected.sum().backward()
    got = ours(jnp.asarray(outputs), jnp.asarray(targets))
    np.testing.assert_allclose(got, expected.detach().numpy(), rtol=1e-4, atol=1e-6)
    slope = jax.grad(lambda x: ours(x, jnp.asarray(targets)).sum())(outputs)
    np.testing.assert_allclose(slope, x.grad.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy(torch, soft, weighted, smoothing):
    weights = WEIGHTS if weighted else None

    def ours(logits, labels):
        return softmax_cross_entropy(
            logits, labels, label_smoothing=smoothing, class_weights=weights
        )

    theirs = torch.nn.CrossEntropyLoss(
        weight=torch.from_numpy(WEIGHTS) if weighted else None,
        label_smoothing=smoothing,
        reduction="none",
    )
    compare(torch, ours, theirs, numbers(9, 5), shares() if soft else LABELS)


def test_several_labels(torch):
    def ours(logits, labels):
        return sigmoid_cross_entropy(logits, labels, positive_weight=WEIGHTS)

    theirs = torch.nn.BCEWithLogitsLoss(
        pos_weight=torch.from_numpy(WEIGHTS), reduction="none"
    )
    compare(torch, ours, theirs, numbers(9, 5), shares())


def test_focal(torch, torchvision):
    labels = np.eye(5, dtype=np.float32)[LABELS]
    theirs = torchvision.ops.sigmoid_focal_loss
    compare(torch, sigmoid_focal_loss, theirs, numbers(9, 5), labels)


@pytest.mark.parametrize("name", ["squared", "absolute", "huber", "binary"])
def test_images(torch, name):
    nn = torch.nn
    ours, theirs = {
        "squared": (squared_error, nn.MSELoss(reduction="none")),
        "absolute": (absolute_error, nn.L1Loss(reduction="none")),
        "huber": (
            lambda x, y: huber(x, y, delta=0.4),
            nn.HuberLoss(reduction="none", delta=0.4),
        ),
        "binary": (binary_cross_entropy, nn.BCELoss(reduction="none")),
    }[name]
    outputs, targets = np.random.default_rng(2).uniform(0.01, 0.99, (2, 3, 4, 5, 2))
    outputs[:, 0] = targets[:, 0]  # equal: the slope of a kink
    compare(torch, ours, theirs, outputs.astype("f"), targets.astype("f"))
