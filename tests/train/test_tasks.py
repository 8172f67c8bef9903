"""Tasks: which loss and metrics are taken of which entries of the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tests.train.nets as nets
from jaxcnn.losses import focal_loss, sigmoid_cross_entropy, softmax_cross_entropy
from jaxcnn.metrics import balanced_accuracy
from jaxcnn.train import (
    classification,
    init_state,
    make_eval_step,
    make_train_step,
    multi_label,
    reconstruction,
    regression,
)

LOGITS = jnp.array([[2.0, 0.0, -1.0], [0.0, 1.0, 3.0]])
MASK = jnp.ones(2)


def values(metrics):
    return {name: float(mean.compute()) for name, mean in metrics.items()}


def test_classification_takes_losses_by_name_and_functions():
    batch = {"label": jnp.array([0, 1]), "mask": MASK}
    expected = focal_loss(LOGITS, batch["label"], gamma=1.0)
    task = classification(loss="focal_loss", loss_options={"gamma": 1.0})
    np.testing.assert_allclose(task.loss(LOGITS, batch), expected, rtol=1e-6)
    own = classification(loss=lambda x, y: focal_loss(x, y, gamma=1.0))
    np.testing.assert_allclose(own.loss(LOGITS, batch), expected, rtol=1e-6)


def test_class_weights_and_smoothing_reach_the_loss():
    batch = {"label": jnp.array([0, 1]), "mask": MASK}
    options = {"label_smoothing": 0.2, "class_weights": (1.0, 2.0, 3.0)}
    expected = softmax_cross_entropy(LOGITS, batch["label"], **options)
    got = classification(**options).loss(LOGITS, batch)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert values(classification(**options).metrics(LOGITS, batch))["accuracy"] == 0.5


def test_soft_labels_count_as_their_largest_class():
    soft = jnp.array([[0.7, 0.3, 0.0], [0.2, 0.2, 0.6]])
    task = classification(top_k=2, per_class=True)
    batch = {"label": soft, "mask": MASK}
    expected = softmax_cross_entropy(LOGITS, soft)
    np.testing.assert_allclose(task.loss(LOGITS, batch), expected, rtol=1e-6)
    found = values(task.metrics(LOGITS, batch))
    assert found["accuracy"] == found["top_2"] == found["recall_2"] == 1
    assert balanced_accuracy(found) == 1


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (classification, {"loss": "huber"}, "Unknown loss 'huber'"),
        (
            classification,
            {"loss": "focal_loss", "label_smoothing": 0.1},
            "'focal_loss' has no argument 'label_smoothing'",
        ),
        (
            classification,
            {"class_weights": [-1.0, 1.0, 1.0]},
            "class_weights must be finite numbers of 0 or more",
        ),
        (
            classification,
            {"loss": softmax_cross_entropy, "label_smoothing": 0.1},
            r"options \['label_smoothing'\] need a loss given by name",
        ),
        (multi_label, {"loss": "softmax_cross_entropy"}, "Allowed: margin_loss, sig"),
        (regression, {"loss": "ssim_loss"}, "Unknown loss 'ssim_loss'"),
        (
            reconstruction,
            {"loss": "binary_cross_entropy", "loss_options": {"from_logits": True}},
            "needs a model that returns images",
        ),
        (reconstruction, {"loss_options": {"delta": 1}}, "has no argument 'delta'"),
    ],
)
def test_refuses(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_multi_label():
    labels = jnp.array([[1, 0, 0], [0, 0, 1]])
    batch = {"label": labels, "mask": MASK}
    task = multi_label(loss_options={"positive_weight": 2.0})
    expected = sigmoid_cross_entropy(LOGITS, labels, positive_weight=2.0)
    np.testing.assert_allclose(task.loss(LOGITS, batch), expected, rtol=1e-6)
    found = values(task.metrics(LOGITS, batch))
    assert found == pytest.approx({"label_accuracy": 5 / 6, "exact_match": 0.5})


def test_one_yes_or_no_an_image():
    batch = {"label": jnp.array([1, 0]), "mask": MASK}
    task, logits = multi_label(), jnp.array([[1.0], [2.0]])
    expected = sigmoid_cross_entropy(logits[:, 0], batch["label"])
    np.testing.assert_allclose(task.loss(logits, batch), expected, rtol=1e-6)
    assert values(task.metrics(logits, batch))["label_accuracy"] == 0.5


def test_regression_by_hand():
    batch = {"target": jnp.array([1.0, 4.0]), "mask": MASK}
    outputs = jnp.array([[2.0], [1.0]])
    np.testing.assert_allclose(regression().loss(outputs, batch), [1, 9])
    huber = regression(loss="huber", loss_options={"delta": 2.0})
    np.testing.assert_allclose(huber.loss(outputs, batch), [0.5, 4])
    found = values(huber.metrics(outputs, batch))
    assert found == {"mean_absolute_error": 2, "mean_squared_error": 5}
    with pytest.raises(ValueError, match="no 'target', which the task needs"):
        regression().loss(outputs, {"image": outputs})


@pytest.mark.thorough
def test_reconstruction_by_another_loss_with_ssim():
    images = jnp.linspace(0, 1, 288).reshape(2, 12, 12, 1)
    batch = {"image": images, "mask": MASK}
    task = reconstruction(loss="ssim_loss", with_ssim=True)
    np.testing.assert_allclose(task.loss(images, batch), 0, atol=1e-6)
    found = values(task.metrics(1 - images, batch))
    assert set(found) == {"psnr", "ssim"}
    np.testing.assert_allclose(
        1 - task.loss(1 - images, batch).mean(), found["ssim"], rtol=1e-5
    )


def test_a_step_trains_on_numbers_and_padding_counts_nowhere():
    model, tx, task = nets.Linear(1), optax.sgd(0.02), regression()
    state = init_state(model, tx, jax.random.key(0), nets.EXAMPLE)
    step = jax.jit(make_train_step(model, tx, task))
    batch = nets.batch_of(0)
    batch["target"] = batch.pop("label").astype(np.float32)
    losses = []
    for _ in range(20):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"].compute()))
    assert losses[-1] < losses[0] / 2
    half = {**batch, "mask": np.repeat(np.array([1, 0], np.float32), 8)}
    measured = make_eval_step(model, task)(state, half)["mean_absolute_error"]
    outputs = model.apply({"params": state.params}, batch["image"] / 255)[:8, 0]
    expected = np.abs(outputs - batch["target"][:8]).mean()
    np.testing.assert_allclose(measured.compute(), expected, rtol=1e-5)
