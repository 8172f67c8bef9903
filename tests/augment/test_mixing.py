import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxcnn.augment import (
    compose,
    cutmix,
    gaussian_noise,
    make_augment,
    mixup,
    mixup_or_cutmix,
    random_flip,
)
from jaxcnn.augment.mixing import blend, boxes_of, partners_of, paste, symmetric_beta
from jaxcnn.losses import softmax_cross_entropy
from jaxcnn.train import classification

SPECS = ("mixup(alpha=0.4)", "cutmix(per_example=True, permute=True)")
SPECS += ("mixup_or_cutmix(probability=0.9)", "mixup_or_cutmix(per_example=True)")


def labelled(*labels, size=4):
    """Returns a batch whose image k is all k + 1."""
    count = len(labels)
    images = jnp.arange(1.0, count + 1)[:, None, None, None]
    images = jnp.broadcast_to(images, (count, size, size, 1))
    return {"image": images, "label": jnp.array(labels, jnp.int32)}


@pytest.fixture
def batch(key):
    return {
        "image": jax.random.uniform(key, (16, 6, 5, 2)),
        "label": jnp.arange(16) % 3,
        "position": jnp.arange(16),
        "mask": jnp.ones(16),
    }


def test_mixup_by_hand():
    mixed = blend(labelled(0, 1), jnp.array([1, 0]), jnp.array([0.75, 0.75]), 3)
    # 0.75 * 1 + 0.25 * 2 and 0.75 * 2 + 0.25 * 1.
    np.testing.assert_allclose(mixed["image"][:, 0, 0, 0], [1.25, 1.75])
    np.testing.assert_allclose(mixed["label"], [[0.75, 0.25, 0], [0.25, 0.75, 0]])


def test_cutmix_by_hand():
    boxes = jnp.array([[0, 1, 2, 4], [0, 0, 0, 0]])  # 2 rows of 3 pixels; none
    mixed = paste(labelled(0, 1), jnp.array([1, 0]), boxes, 2)
    expected = [[1, 2, 2, 2], [1, 2, 2, 2], [1, 1, 1, 1], [1, 1, 1, 1]]
    np.testing.assert_array_equal(mixed["image"][0, ..., 0], expected)
    np.testing.assert_array_equal(mixed["image"][1], labelled(0, 1)["image"][1])
    np.testing.assert_allclose(mixed["label"], [[10 / 16, 6 / 16], [0, 1]])


@pytest.mark.parametrize(
    ("share", "centre", "box"),
    [
        (0.75, (0.5, 0.5), (2, 2, 6, 6)),  # sides 4 of 8 and 4.5 of 9, floored
        (0.75, (0.0, 0.99), (0, 6, 2, 9)),  # cut off at the top and on the right
        (1.0, (0.3, 0.3), (2, 2, 2, 2)),  # nothing
        (0.0, (0.5, 0.5), (0, 0, 8, 9)),  # everything
    ],
)
def test_boxes_by_hand(share, centre, box):
    boxes = boxes_of(jnp.array([share]), jnp.array([centre]), 8, 9)
    np.testing.assert_array_equal(boxes, [box])


@pytest.mark.thorough
def test_the_share_of_the_label_is_that_of_the_pixels(key):
    """Also where the box reaches over the border, as most of these do."""
    batch = labelled(*range(8), size=7)
    augment = cutmix(num_classes=8, per_example=True)
    mixed = jax.jit(jax.vmap(augment, (0, None)))(jax.random.split(key, 50), batch)
    own = batch["image"][None]
    kept = (mixed["image"] == own).mean(axis=(2, 3, 4))
    np.testing.assert_allclose(jnp.diagonal(mixed["label"], 0, 1, 2), kept, atol=1e-6)
    assert 0 < kept.min() < 0.3 < 0.9 < kept.max()


@pytest.mark.thorough
@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_follow_the_beta_distribution(key, alpha):
    uniform = jax.random.uniform(key, (2, 20000))
    shares = np.sort(symmetric_beta(alpha, *uniform))
    expected = scipy.stats.beta(alpha, alpha).cdf(shares)
    steps = np.arange(20000) / 20000
    # In float32 what is nearer to 1 than this is 1 itself.
    inner = (1e-6 < shares) & (shares < 1 - 1e-6)
    # Kolmogorov and Smirnov: 1.95 / sqrt(n) is exceeded once in a thousand draws.
    assert np.abs(expected - steps)[inner].max() < 1.95 / np.sqrt(20000)


def test_shares_at_the_ends_are_numbers():
    ends = jnp.array([0.0, 0.25, 0.999999940395], jnp.float32)
    for first in ends:
        for second in ends:
            share = symmetric_beta(0.1, first, second)
            assert 0 <= share <= 1


@pytest.mark.thorough
def test_partners_are_the_batch_reversed_without_what_is_padding():
    batch = labelled(*range(6)) | {"mask": jnp.array([1.0, 0, 1, 2, 0, 1])}
    np.testing.assert_array_equal(partners_of(batch), [5, 1, 3, 2, 4, 0])
    np.testing.assert_array_equal(partners_of(labelled(0, 1, 2)), [2, 1, 0])
    nothing = labelled(0, 1) | {"mask": jnp.zeros(2)}
    np.testing.assert_array_equal(partners_of(nothing), [0, 1])


@pytest.mark.thorough
def test_partners_at_random_are_a_permutation_without_what_is_padding(key):
    mask = np.arange(30) % 3 > 0
    batch = labelled(*range(30)) | {"mask": jnp.asarray(mask, jnp.float32)}
    draw = jax.jit(partners_of)
    drawn = [draw(batch, jax.random.fold_in(key, k)) for k in range(3)]
    for partners in map(np.asarray, drawn):
        np.testing.assert_array_equal(np.sort(partners), np.arange(30))
        assert all(mask[partners] == mask)
        np.testing.assert_array_equal(partners[~mask], np.arange(30)[~mask])
    assert not np.array_equal(drawn[0], drawn[1])


@pytest.mark.thorough
@pytest.mark.parametrize("spec", SPECS)
def test_label_mass_is_one_and_every_key_draws_anew(key, batch, spec):
    augment = jax.jit(make_augment(spec, num_classes=3))
    mixed, other = augment(key, batch), augment(jax.random.fold_in(key, 1), batch)
    assert mixed["label"].shape == (16, 3)
    np.testing.assert_allclose(mixed["label"].sum(axis=1), 1, atol=1e-6)
    assert not np.array_equal(mixed["label"], other["label"])
    assert not np.array_equal(mixed["image"], batch["image"])
    np.testing.assert_array_equal(mixed["mask"], batch["mask"])


@pytest.mark.thorough
@pytest.mark.parametrize("spec", SPECS[1:2])
def test_partners_are_found_in_the_global_batch(key, batch, spec):
    augment = jax.jit(make_augment(spec, num_classes=3))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    batch["mask"] = batch["mask"].at[14].set(0)
    one, all_ = augment(key, batch), augment(key, jax.device_put(batch, sharding))
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), one, all_)


@pytest.mark.thorough
def test_the_switch_chooses(key, batch):
    for switch, pastes in ((0.0, False), (1.0, True)):
        augment = jax.jit(mixup_or_cutmix(num_classes=3, switch=switch))
        images = augment(key, batch)["image"]
        # What is pasted are pixels that were there before; averages are new ones.
        assert np.isin(images, batch["image"]).all() == pastes


@pytest.mark.thorough
def test_what_is_not_mixed_stays_to_the_bit(key, batch):
    for make in (mixup, cutmix, mixup_or_cutmix):
        mixed = jax.jit(make(num_classes=3, probability=0.0))(key, batch)
        np.testing.assert_array_equal(mixed["image"], batch["image"])
        np.testing.assert_array_equal(mixed["label"], jax.nn.one_hot(batch["label"], 3))
    half = mixup(num_classes=3, probability=0.5, per_example=True)
    some = jax.jit(half)(key, batch)
    whole = (some["image"] == batch["image"]).all(axis=(1, 2, 3))
    assert 0 < whole.sum() < 16


@pytest.mark.thorough
def test_mixed_twice_is_mixed_labels_of_mixed_labels(key, batch):
    both = compose(mixup(num_classes=3), cutmix(num_classes=3))
    twice = jax.jit(both)(key, batch)
    np.testing.assert_allclose(twice["label"].sum(axis=1), 1, atol=1e-6)


@pytest.mark.thorough
def test_order_among_other_augmentations(key, batch):
    """A mirror before or behind mixup of the whole batch; noise keeps the labels."""
    flip, mix = random_flip(1.0), mixup(num_classes=3)
    mixed = jax.jit(mix)(jax.random.fold_in(key, 0), batch)
    mirrored = jax.jit(compose(mix, flip))(key, batch)
    np.testing.assert_allclose(mirrored["image"], mixed["image"][:, :, ::-1], atol=1e-6)
    assert jax.eval_shape(compose(flip, mix), key, batch)["label"].shape == (16, 3)
    noisy = jax.jit(compose(mix, gaussian_noise(0.1)))(key, batch)
    np.testing.assert_allclose(noisy["label"], mixed["label"], atol=1e-6)
    np.testing.assert_allclose(noisy["target"], mixed["image"], atol=1e-6)  # clean


@pytest.mark.thorough
def test_loss_and_accuracy_of_mixed_labels(key):
    """With smoothing: what the definition says; top-1 against the larger share."""
    batch = labelled(0, 1) | {"mask": jnp.ones(2)}
    mixed = blend(batch, jnp.array([1, 0]), jnp.array([0.7, 0.7]), 2)
    logits = jnp.array([[2.0, 0.0], [1.0, 0.0]])
    task = classification(label_smoothing=0.1)
    hard = functools.partial(softmax_cross_entropy, label_smoothing=0.1)
    expected = 0.7 * hard(logits, jnp.array([0, 1])) + 0.3 * hard(
        logits, jnp.array([1, 0])
    )
    np.testing.assert_allclose(task.loss(logits, mixed), expected, rtol=1e-6)
    assert task.metrics(logits, mixed)["accuracy"].compute() == 0.5


def test_a_label_of_no_class_makes_the_loss_nan():
    batch = labelled(0, 7)
    mixed = blend(batch, jnp.array([1, 0]), jnp.array([0.5, 0.5]), 3)
    assert jnp.isnan(softmax_cross_entropy(jnp.zeros((2, 3)), mixed["label"])).all()


@pytest.mark.thorough
def test_sequences_can_be_mixed_up(key):
    batch = {"image": jax.random.uniform(key, (4, 9, 2)), "label": jnp.arange(4)}
    mixed = jax.eval_shape(mixup(num_classes=4), key, batch)
    assert mixed["image"].shape == (4, 9, 2)
    with pytest.raises(ValueError, match=r"\[batch, height, width, channels\]"):
        cutmix(num_classes=4)(key, batch)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mixup(alpha=0)", "alpha=0 must be above 0"),
        ("cutmix(alpha=-1.0)", "alpha=-1.0 must be above 0"),
        ("mixup_or_cutmix(cutmix_alpha=0)", "cutmix_alpha=0 must be above 0"),
        ("mixup(probability=1.5)", "probability=1.5 is not between 0 and 1"),
        ("mixup_or_cutmix(switch=-0.1)", "switch=-0.1 is not between 0 and 1"),
        ("mixup(num_classes=1)", "num_classes=1 must be a whole number from 2"),
        ("mixup(alhpa=1)", "no argument 'alhpa'. Did you mean 'alpha'"),
    ],
)
def test_bad_arguments(spec, message):
    with pytest.raises(ValueError, match=message):
        make_augment(spec, num_classes=3)


def test_classes_are_needed(key, batch):
    with pytest.raises(ValueError, match="'mixup' needs the argument 'num_classes'"):
        make_augment("mixup")
    with pytest.raises(ValueError, match="mix labels, and the batch has none"):
        mixup(num_classes=3)(key, {"image": batch["image"]})
    soft = batch | {"label": jax.nn.one_hot(batch["label"], 4)}
    with pytest.raises(ValueError, match=r"must be \[batch\], or \[batch, 3\]"):
        mixup(num_classes=3)(key, soft)
