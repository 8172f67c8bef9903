import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.augment import alternating_flip
from jaxcnn.augment.alternating import flipped
from jaxcnn.data import Source, TrainData
from jaxcnn.experiment.build import build
from jaxcnn.experiment.config import DataConfig, ExperimentConfig, ModelConfig


def numbers(epoch, count=200):
    return {"index": jnp.arange(count), "epoch": jnp.full(count, epoch)}


def test_epochs_in_turn_show_both_sides():
    first, second, third = (np.asarray(flipped(3, numbers(k))) for k in range(3))
    assert 0.35 < first.mean() < 0.65
    np.testing.assert_array_equal(second, ~first)
    np.testing.assert_array_equal(third, first)
    other = np.asarray(flipped(4, numbers(0)))
    assert 0.35 < (other != first).mean() < 0.65


@pytest.mark.thorough
def test_it_mirrors_image_box_and_mask_whatever_the_key():
    images = jnp.arange(48.0).reshape(4, 3, 4, 1)
    batch = {
        "image": images,
        "segmentation": images[..., 0].astype(jnp.int32),
        "boxes": jnp.tile(jnp.array([[[0.0, 1, 1, 2]]]), (4, 1, 1)),
        **numbers(1, 4),
    }
    augment = jax.jit(alternating_flip(seed=0))
    result, again = (augment(jax.random.key(k), batch) for k in (0, 1))
    np.testing.assert_array_equal(result["image"], again["image"])
    flips = np.asarray(flipped(0, batch))
    assert 0 < flips.sum() < 4
    for k, flip in enumerate(flips):
        expected = images[k, :, ::-1] if flip else images[k]
        np.testing.assert_array_equal(result["image"][k], expected)
        np.testing.assert_array_equal(result["segmentation"][k], expected[..., 0])
        box = [3, 1, 4, 2] if flip else [0, 1, 1, 2]
        np.testing.assert_array_equal(result["boxes"][k, 0], box)


def test_needs_numbers():
    message = r"alternating_flip needs 'epoch' and 'index' in the batch.*numbered=True"
    with pytest.raises(ValueError, match=message):
        alternating_flip()(jax.random.key(0), {"image": jnp.zeros((1, 2, 2, 1))})


def test_train_data_numbers_its_batches():
    images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    plain = TrainData(Source("six", images), 2)
    data = TrainData(Source("six", images), 2, numbered=True)
    for k in (0, 2, 4):
        batch = data[k]
        np.testing.assert_array_equal(batch["index"], batch["image"].ravel())
        np.testing.assert_array_equal(batch["epoch"], [k // 3] * 2)
        assert plain[k].keys() == {"image"}
        np.testing.assert_array_equal(plain[k]["image"], batch["image"])


@pytest.mark.thorough
def test_a_configuration_sees_to_the_numbers_and_the_seed():
    config = ExperimentConfig(
        model=ModelConfig("mlp"),
        data=DataConfig(augment=("alternating_flip",), batch_size=8),
        seed=5,
    )
    experiment = build(config)
    batch = experiment.train[0]
    images = {**batch, "image": batch["image"].astype(np.float32) / 255}
    result = experiment.augment(jax.random.key(0), images)["image"]
    flips = np.asarray(flipped(5, batch))
    expected = np.where(
        flips[:, None, None, None], images["image"][:, :, ::-1], images["image"]
    )
    np.testing.assert_array_equal(result, expected)
