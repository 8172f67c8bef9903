import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcnn.interpret import effective_receptive_field, measure_field, receptive_field
from jaxcnn.registry import create_model


class Boxes(nn.Module):
    """Convolutions one behind the other: kernel size and stride of each."""

    layers: tuple[tuple[int, int], ...]

    @nn.compact
    def __call__(self, x):
        for number, (size, stride) in enumerate(self.layers):
            x = nn.Conv(
                x.shape[-1],
                (size, size),
                (stride, stride),
                padding=size // 2,
                name=f"conv{number}",
            )(x)
        return x.mean(axis=(1, 2))


def effective(layers, size, path, **options):
    model, images = Boxes(layers), np.ones((2, size, size, 1), np.float32)
    sizes = [size for size, _ in layers]
    params = {
        f"conv{k}": {"kernel": np.full((n, n, 1, 1), 1 / n**2), "bias": np.zeros(1)}
        for k, n in enumerate(sizes)
    }
    variables = {"params": params}
    return effective_receptive_field(model, variables, images, path, **options)


def box(size):
    return np.ones(size) / size


def placed(row, size, first):
    whole = np.zeros(size)
    whole[first : first + len(row)] = row
    return np.outer(whole, whole)


def test_boxes_behind_each_other_are_convolved():
    field = effective(((3, 1), (3, 1), (5, 1)), 15, "conv2")
    row = np.convolve(np.convolve(box(3), box(3)), box(5))
    np.testing.assert_allclose(field, placed(row, 15, 3), atol=1e-8)


def test_strides_spread_what_follows():
    field = effective(((3, 2), (3, 1)), 16, "conv1", position=(3, 3))
    spread = np.zeros(5)
    spread[::2] = box(3)  # the second kernel reads every second pixel of the first
    # Position 3 of the second sees 2 to 4 of the first, which see pixels 3 to 9.
    np.testing.assert_allclose(
        field, placed(np.convolve(spread, box(3)), 16, 3), atol=1e-8
    )


@pytest.mark.thorough
def test_the_effective_field_is_inside_of_the_theoretical_one():
    layers = ((3, 2), (3, 1), (3, 2))
    for path in ("conv0", "conv1", "conv2"):
        theory = receptive_field(Boxes(layers), (16, 16, 1), path)
        (top, bottom), (left, right) = theory.box((2, 1), inside=True)
        field = effective(layers, 16, path, position=(2, 1))
        rows, columns = np.nonzero(field)
        assert (rows.min(), rows.max()) == (top, bottom)
        assert (columns.min(), columns.max()) == (left, right)


def test_boxes_reach_into_the_padding_unless_told_otherwise():
    theory = receptive_field(Boxes(((5, 1),)), (8, 8, 1), "conv0")
    assert theory.size == (5, 5)
    assert theory.stride == (1, 1)
    assert theory.box((0, 7)) == ((-2, 2), (5, 9))
    assert theory.box((0, 7), inside=True) == ((0, 2), (5, 7))
    assert theory.box("centre") == ((2, 6), (2, 6))


def test_a_channel_alone_and_a_preprocess():
    def doubled(images):
        return 2 * images

    field = effective(((3, 1),), 5, "conv0", channel=0, preprocess=doubled)
    np.testing.assert_allclose(field, placed(box(3), 5, 1) * 2, atol=1e-7)
    with pytest.raises(ValueError, match=r"channel must be .* less than 1, got 1"):
        effective(((3, 1),), 5, "conv0", channel=1)
    with pytest.raises(ValueError, match=r"\(9, 9\) lies outside of the maps"):
        effective(((3, 1),), 5, "conv0", position=(9, 9))


@pytest.mark.thorough
def test_what_sees_everything_has_no_size():
    model = create_model("conv_autoencoder")
    field = receptive_field(model, (28, 28, 1), "decoder/up1")
    assert field.size == field.stride == (None, None)
    assert field.box((0, 0)) == ((0, 27), (0, 27))


def test_theoretical_errors():
    with pytest.raises(ValueError, match=r"no submodule 'conv3'.*'conv2'"):
        receptive_field(create_model("lenet"), (28, 28, 1), "conv3")
    with pytest.raises(ValueError, match=r"'head' gives shape \[1, 10\].*no positions"):
        receptive_field(create_model("lenet"), (28, 28, 1), "head")


def test_measures_of_a_gaussian():
    places = np.arange(201) - 100
    row = np.exp(-(places**2) / (2 * 12.0**2))
    measure = measure_field(np.outer(row, row))
    assert measure.deviation == pytest.approx(12.0, rel=1e-6)
    # A round Gaussian holds the share within r: 1 - exp(-r**2 / (2 * deviation**2)).
    radius = 12.0 * np.sqrt(-2 * np.log(0.05))
    assert measure.size == pytest.approx(np.sqrt(np.pi) * radius, rel=0.01)


@pytest.mark.parametrize("share", [0, -0.5, 1.5])
def test_measure_errors(share):
    with pytest.raises(ValueError, match=f"share must be above 0 .*, got {share}"):
        measure_field(np.ones((2, 2)), share=share)
    with pytest.raises(ValueError, match="depends on no pixel"):
        measure_field(jnp.zeros((2, 2)))
