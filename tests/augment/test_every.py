"""What holds for every augmentation, from one table; all are compiled as one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.augment import list_augments, make_augment

GEOMETRY = {
    "pad_crop": "pad_crop(padding=1)",
    "random_affine": "random_affine(degrees=20, scale=(0.8, 1.2))",
    "random_elastic": "random_elastic(alpha=30, sigma=1.5)",
    "random_flip": "random_flip",
    "random_perspective": "random_perspective(distortion=0.4, probability=1)",
    "random_resized_crop": "random_resized_crop(area=(0.3, 0.9))",
    "random_rotate": "random_rotate(degrees=40)",
    "random_shear": "random_shear(x=20, y=10)",
    "random_shift": "random_shift",
    "random_translate": "random_translate(x=0.3, y=0.2)",
    "random_vertical_flip": "random_vertical_flip",
    "random_zoom": "random_zoom(scale=(0.5, 2), vertical=(0.8, 1.2))",
}
COLORS = {
    "color_jitter": "color_jitter(hue=0.2)",
    "gaussian_noise": "gaussian_noise(std=0.3)",
    "rand_augment": "rand_augment(num_ops=2, magnitude=20)",
    "random_autocontrast": "random_autocontrast",
    "random_blur": "random_blur(sigma=(0.5, 1))",
    "random_brightness": "random_brightness",
    "random_contrast": "random_contrast(amount=0.5)",
    "random_equalize": "random_equalize",
    "random_erasing": "random_erasing(value=None)",
    "random_gray": "random_gray(probability=0.5)",
    "random_hue": "random_hue(amount=0.3)",
    "random_invert": "random_invert",
    "random_noise": "random_noise",
    "random_posterize": "random_posterize(bits=2)",
    "random_saturation": "random_saturation(amount=0.9)",
    "random_sharpness": "random_sharpness(amount=1)",
    "random_solarize": "random_solarize",
    "three_augment": "three_augment",
    "trivial_augment": "trivial_augment",
}
SPECS = {**GEOMETRY, **COLORS}
# What takes a partner out of the batch: test_mixing.py. Epochs: test_alternating.py.
ELSEWHERE = {"mixup", "cutmix", "mixup_or_cutmix", "alternating_flip"}
SIZE = 16


def everything(key, batch):
    return {name: make_augment(spec)(key, batch) for name, spec in SPECS.items()}


@pytest.fixture(scope="module")
def batch():
    # 18x17 pixels: fewer than 256 would leave equalize nothing to do.
    images = jax.random.uniform(jax.random.key(7), (SIZE, 18, 17, 3)) ** 2
    labels, positions = jnp.arange(SIZE) % 3, jnp.arange(SIZE)
    return {"image": images, "label": labels, "position": positions}


@pytest.fixture(scope="module")
def compiled():
    return jax.jit(everything)


@pytest.fixture(scope="module")
def results(compiled, batch):
    return jax.device_get(compiled(jax.random.key(0), batch))


def test_every_augmentation_is_in_the_table():
    assert set(SPECS) | ELSEWHERE == set(list_augments())


@pytest.mark.thorough
def test_keeps_shape_and_type(batch):
    results = jax.eval_shape(everything, jax.random.key(0), batch)
    for name, result in results.items():
        image = result["image"]
        assert (image.shape, image.dtype) == ((SIZE, 18, 17, 3), jnp.float32), name


@pytest.mark.thorough
@pytest.mark.parametrize("name", SPECS)
def test_gives_images_of_the_same_kind(results, batch, name):
    result = results[name]
    extra = {"target"} if name == "gaussian_noise" else set()
    assert result.keys() == batch.keys() | extra
    assert result["image"].shape == batch["image"].shape
    assert result["image"].dtype == np.float32
    assert np.isfinite(result["image"]).all()
    assert result["image"].min() >= -1e-6
    assert result["image"].max() <= 1 + 1e-6
    # Some images differ from what they were, and nothing else does.
    assert (result["image"] != batch["image"]).any(axis=(1, 2, 3)).mean() > 0.2
    for other in ("label", "position"):
        np.testing.assert_array_equal(result[other], batch[other])


@pytest.mark.thorough
def test_draws_depend_on_key_and_position_alone(compiled, results, batch):
    order = np.random.default_rng(0).permutation(SIZE)
    # A row's own image comes along; those of its neighbours are others.
    mixed = jax.tree.map(lambda x: x[order], batch)
    mixed["image"] = mixed["image"].at[8:].set(0.5)
    shuffled = jax.device_get(compiled(jax.random.key(0), mixed))
    for name in SPECS:
        np.testing.assert_allclose(
            shuffled[name]["image"][:8],
            results[name]["image"][order][:8],
            atol=1e-6,
            err_msg=name,
        )


@pytest.mark.thorough
def test_another_key_gives_another_result(compiled, results, batch):
    other = jax.device_get(compiled(jax.random.key(1), batch))
    for name in SPECS:
        assert not np.array_equal(other[name]["image"], results[name]["image"]), name


@pytest.mark.thorough
def test_does_not_depend_on_the_number_of_devices(compiled, results, batch):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    sharded = compiled(jax.random.key(0), jax.device_put(batch, rows))
    for name in SPECS:
        np.testing.assert_allclose(
            sharded[name]["image"], results[name]["image"], atol=1e-6, err_msg=name
        )


@pytest.mark.thorough
def test_gradients_are_finite(batch):
    small = {"image": batch["image"][:4]}
    small["image"] = small["image"].at[0].set(0.5).at[1, :4].set(0.0)

    def total(images):
        results = everything(jax.random.key(0), {"image": images})
        return sum(jnp.square(result["image"]).sum() for result in results.values())

    gradient = jax.jit(jax.grad(total))(small["image"])
    assert np.isfinite(gradient).all()
    assert (gradient != 0).any()


@pytest.mark.parametrize("name", SPECS)
def test_refuses_images_of_another_rank_or_type(name):
    augment, key = make_augment(SPECS[name]), jax.random.key(0)
    if name != "gaussian_noise":
        with pytest.raises(ValueError, match=r"image \(4, 5, 5\) cannot be augmented"):
            jax.eval_shape(augment, key, {"image": jnp.zeros((4, 5, 5))})
    if not {"flip", "crop", "shift"} & set(name.split("_")) or "resized" in name:
        batch = {"image": jnp.zeros((2, 8, 8, 3), jnp.uint8)}
        with pytest.raises(ValueError, match="image of type uint8 must be floats"):
            jax.eval_shape(augment, key, batch)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("random_rotate(degrees=200)", "degrees=200 must be a number from 0 to 180"),
        ("random_rotate(degree=2)", "no argument 'degree'. Did you mean 'degrees'"),
        ("random_shear(x=90)", "x=90 must be a number from 0 to 89"),
        ("random_translate(y=-1)", "y=-1 must be a number from 0 to 1"),
        ("random_zoom(scale=(2, 1))", r"scale=\(2, 1\) must be two numbers in order"),
        ("random_zoom(scale=2)", "scale=2 must be two numbers in order"),
        ("random_zoom(vertical=(0, 1))", r"vertical=\(0, 1\) must be two numbers"),
        ("random_resized_crop(area=(0, 2))", r"area=\(0, 2\) must be two numbers"),
        ("random_resized_crop(aspect=1)", "aspect=1 must be two numbers in order"),
        ("random_perspective(distortion=2)", "distortion=2 must be a number"),
        ("random_perspective(probability=2)", "probability=2 is not between 0 and 1"),
        ("random_elastic(alpha=-1)", "alpha=-1 must be a number from 0"),
        ("random_elastic(sigma=0)", "sigma=0 must be a number from 0.001"),
        ("random_vertical_flip(probability=2)", "probability=2 is not between"),
        ("color_jitter(hue=0.6)", "hue=0.6 must be a number from 0 to 0.5"),
        ("color_jitter(contrast=-1)", "contrast=-1 must be a number from 0"),
        ("random_brightness(amount=-1)", "amount=-1 must be a number from 0"),
        ("random_hue(amount=1)", "amount=1 must be a number from 0 to 0.5"),
        ("random_sharpness(amount='x')", "amount='x' must be a number"),
        ("random_gray(probability=2)", "probability=2 is not between 0 and 1"),
        ("random_solarize(threshold=2)", "threshold=2 must be a number from 0 to 1"),
        ("random_posterize(bits=9)", "bits=9 must be a number from 1 to 8"),
        ("random_posterize(bits=2.5)", "bits=2.5 must be a whole number"),
        ("random_blur(sigma=(2, 1))", r"sigma=\(2, 1\) must be two numbers in order"),
        ("random_noise(std=2)", "std=2 must be a number from 0 to 1"),
        ("random_erasing(value=2)", "value=2 must be a number from 0 to 1"),
        ("random_erasing(area=(1,))", r"area=\(1,\) must be two numbers in order"),
        ("rand_augment(magnitude=31)", "magnitude=31 must be a number from 0 to 30"),
        ("rand_augment(num_ops=0)", "num_ops=0 must be a number from 1 to 8"),
        ("rand_augment(num_ops=1.5)", "num_ops=1.5 must be a whole number"),
        ("three_augment(jitter=-1)", "jitter=-1 must be a number from 0"),
        ("alternating_flip(seed=-1)", "seed=-1 must be a number from 0"),
        ("randaugment", "Unknown augmentation 'randaugment'.*'rand_augment'"),
        ("default", "'default' is of a data set: it stands in data.augment"),
    ],
)
def test_refuses_arguments(spec, message):
    with pytest.raises(ValueError, match=message):
        make_augment(spec)


@pytest.mark.parametrize(
    "name", ["random_saturation", "random_hue", "random_gray", "rand_augment"]
)
def test_colour_needs_one_channel_or_three(name):
    batch = {"image": jnp.zeros((2, 8, 8, 4))}
    with pytest.raises(ValueError, match=r"\(2, 8, 8, 4\) has 4 channels; hue"):
        jax.eval_shape(make_augment(SPECS[name]), jax.random.key(0), batch)
