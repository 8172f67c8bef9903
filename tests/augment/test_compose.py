import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxcnn.augment import (
    compose,
    example_keys,
    gaussian_noise,
    make_augment,
    pad_crop,
    random_flip,
)

SPECS = {
    "gaussian_noise": "gaussian_noise(std=0.3)",
    "pad_crop": "pad_crop(padding=1)",
    "random_affine": "random_affine(degrees=20.0, scale=(0.8, 1.2))",
    "random_flip": "random_flip",
    "random_shift": "random_shift()",
}


HALVES = (slice(0, 8), slice(8, 16))


@pytest.fixture
def batch(key):
    images = jax.random.uniform(key, (16, 5, 4, 1))
    return {
        "image": images,
        "target": 1 - images,
        "label": jnp.arange(16) % 3,
        "position": jnp.arange(16),
    }


def assert_equal(got, expected):
    jax.tree.map(np.testing.assert_array_equal, got, expected)


@pytest.mark.thorough
def test_keys_depend_on_the_position_alone(key):
    images = jnp.zeros((6, 2, 2, 1))
    keys = jax.random.key_data(example_keys(key, {"image": images}))
    assert len(np.unique(keys, axis=0)) == 6
    positions = jnp.array([4, 1, 5])
    some = example_keys(key, {"image": images[:3], "position": positions})
    assert_equal(jax.random.key_data(some), keys[positions])
    assert_equal(keys[2], jax.random.key_data(jax.random.fold_in(key, 2)))


@pytest.mark.thorough
@pytest.mark.parametrize("spec", [*SPECS.values(), list(SPECS.values())])
def test_a_slice_gives_what_the_whole_gives(key, batch, spec):
    augment = jax.jit(make_augment(spec))
    whole = augment(key, batch)
    assert not np.array_equal(whole["image"], batch["image"])
    batch = jax.device_get(batch)
    halves = [augment(key, jax.tree.map(lambda x, h=h: x[h], batch)) for h in HALVES]
    assert_equal(jax.tree.map(lambda *parts: np.concatenate(parts), *halves), whole)
    reverse = augment(key, jax.tree.map(lambda x: x[::-1], batch))
    assert_equal(jax.tree.map(lambda x: np.asarray(x)[::-1], reverse), whole)


@pytest.mark.thorough
def test_does_not_depend_on_the_number_of_devices(key, batch):
    augment = make_augment(list(SPECS.values()))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    sharded = jax.jit(augment)(key, jax.device_put(batch, sharding))
    assert_equal(sharded, jax.jit(augment)(key, batch))
    assert sharded["image"].sharding.is_equivalent_to(sharding, 4)


@pytest.mark.thorough
@pytest.mark.parametrize("spec", SPECS.values())
def test_draws_anew_for_every_key_and_leaves_the_rest(key, batch, spec):
    augment = jax.jit(make_augment(spec))
    first, again = augment(key, batch), augment(key, batch)
    other = augment(jax.random.key(1), batch)
    assert_equal(first, again)
    assert not np.array_equal(first["image"], other["image"])
    assert first.keys() == batch.keys()
    assert first["image"].dtype == jnp.float32
    for name in ("label", "position"):
        assert_equal(first[name], batch[name])


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["pad_crop", "random_flip", "random_shift"])
def test_the_target_moves_with_its_image(key, batch, name):
    result = make_augment(name)(key, {**batch, "target": 2 * batch["image"]})
    assert_equal(result["target"], 2 * result["image"])


def test_a_target_that_is_no_image_stays(key, batch):
    target = jnp.arange(32.0).reshape(16, 2)
    result = random_flip()(key, {**batch, "target": target})
    assert_equal(result["target"], target)


def test_noise_after_a_crop_keeps_the_crop_as_target(key, batch):
    del batch["target"]
    crop, noise = pad_crop(1), gaussian_noise(0.3)
    result = compose(crop, noise)(key, batch)
    assert_equal(result["target"], crop(jax.random.fold_in(key, 0), batch)["image"])


def test_compose_gives_each_its_own_key_in_order(key, batch):
    seen = []

    def record(key, batch):
        seen.append(jax.random.key_data(key).tolist())
        return {**batch, "image": batch["image"] * len(seen) + 1}

    result = compose(record, record)(key, batch)
    assert_equal(result["image"], (batch["image"] + 1) * 2 + 1)
    folded = [jax.random.key_data(jax.random.fold_in(key, i)).tolist() for i in (0, 1)]
    assert seen == folded


@pytest.mark.parametrize("augment", [compose(), make_augment([])])
def test_nothing_composed_changes_nothing(key, batch, augment):
    assert_equal(augment(key, batch), batch)


def test_a_spec_hands_on_its_arguments(key, batch):
    first = jax.random.fold_in(key, 0)
    result = make_augment(" pad_crop( padding = 1 ) ")(key, batch)
    assert_equal(result, pad_crop(padding=1)(first, batch))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "random_flp",
            r"Unknown augmentation 'random_flp'\. Did you mean 'random_flip'\?",
        ),
        (
            ["random_flip", "pad_crop(paddin=4)"],
            r"'pad_crop' has no argument 'paddin'\. Did you mean 'padding'\?",
        ),
        ("gaussian_noise", "augmentation 'gaussian_noise' needs the argument 'std'"),
        ("pad_crop(padding=-1)", "padding=-1 must be a whole number"),
        ("pad_crop(4)", r"Augmentation 'pad_crop\(4\)' cannot be read"),
        ("pad_crop(padding=", "cannot be read: write a name"),
        ("pad_crop(padding=abs(4))", "cannot be read"),
        ("pad_crop(**{'padding': 4})", "cannot be read"),
        ("a.b(c=1)", "cannot be read"),
        ("", "Augmentation '' cannot be read"),
    ],
)
def test_refuses_specs(spec, message):
    with pytest.raises(ValueError, match=message):
        make_augment(spec)


@pytest.mark.parametrize("spec", [s for s in SPECS.values() if "noise" not in s])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 5), (2, 4, 5, 5, 1)])
def test_refuses_other_ranks(key, spec, shape):
    message = r"image \(.*\) cannot be augmented: \[batch, height, width, channels\]"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(make_augment(spec), key, {"image": jnp.zeros(shape)})
