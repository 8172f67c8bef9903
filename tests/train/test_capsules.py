"""The task of capsule networks."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.losses import margin_loss
from jaxcnn.train import capsules

LENGTHS = jnp.array([[0.8, 0.3, 0.0], [0.2, 0.6, 0.5]])


def batch_of(labels, **more):
    image = jnp.full((2, 4, 5, 1), 0.25)
    return {"image": image, "label": jnp.array(labels), "mask": jnp.ones(2), **more}


def outputs_of(*shape, value=0.75):
    return {"logits": LENGTHS, "reconstruction": jnp.full((2, *shape), value)}


def values(metrics):
    return {name: float(mean.compute()) for name, mean in metrics.items()}


def test_the_model_is_called_with_images_and_labels():
    batch = batch_of([0, 1])
    images, labels = capsules().inputs(batch)
    assert images is batch["image"]
    assert labels is batch["label"]
    with pytest.raises(ValueError, match="no 'label', which the task needs"):
        capsules().inputs({"image": batch["image"]})


def test_the_loss_is_margin_loss_and_the_summed_squared_error():
    loss = capsules().loss(outputs_of(4, 5, 1), batch_of([0, 2]))
    expected = margin_loss(LENGTHS, jnp.array([0, 2])) + 0.0005 * 20 * 0.25
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    heavy = capsules(reconstruction_weight=1.0)
    loss = heavy.loss(outputs_of(4, 5, 1), batch_of([0, 2]))
    assert loss[0] > 5


def test_metrics():
    found = values(capsules().metrics(outputs_of(4, 5, 1), batch_of([0, 2])))
    margin = float(margin_loss(LENGTHS, jnp.array([0, 2])).mean())
    assert found == pytest.approx(
        {"accuracy": 0.5, "margin_loss": margin, "squared_error": 0.25}
    )


def test_a_target_takes_the_place_of_the_image():
    batch = batch_of([0, 2], target=jnp.full((2, 4, 5, 1), 0.75))
    assert values(capsules().metrics(outputs_of(4, 5, 1), batch))["squared_error"] == 0


def test_pairs_of_classes_in_an_image():
    target = jnp.stack([jnp.full((2, 4, 5, 1), v) for v in (0.75, 0.25)], axis=1)
    batch = batch_of([[1, 0], [1, 0]], target=target)
    outputs, task = outputs_of(2, 4, 5, 1), capsules()
    present = jnp.array([[1, 1, 0], [1, 1, 0]])
    # One of the two images is drawn right, the other is 0.5 off at each of 20 pixels.
    expected = margin_loss(LENGTHS, present) + 0.0005 * 20 * 0.25
    np.testing.assert_allclose(task.loss(outputs, batch), expected, rtol=1e-6)
    found = values(task.metrics(outputs, batch))
    assert found["accuracy"] == 0.5  # the second image's longest are 1 and 2
    assert found["squared_error"] == pytest.approx(0.125)


def test_a_pair_with_a_label_that_is_no_class_is_nan():
    batch = batch_of([[1, 3], [1, 0]])
    loss = capsules().loss(LENGTHS, batch)
    np.testing.assert_array_equal(np.isnan(loss), [True, False])


def test_a_model_without_a_decoder_has_the_margin_loss_alone():
    batch = batch_of([0, 2])
    np.testing.assert_array_equal(
        capsules().loss(LENGTHS, batch), margin_loss(LENGTHS, batch["label"])
    )
    assert set(capsules().metrics(LENGTHS, batch)) == {"accuracy", "margin_loss"}


def test_a_negative_weight():
    with pytest.raises(ValueError, match="reconstruction_weight must be 0 or more"):
        capsules(reconstruction_weight=-1)
