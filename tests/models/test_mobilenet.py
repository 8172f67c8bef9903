"""MobileNets and EfficientNets: widths, blocks, padding, endpoints, messages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import create_model
from jaxcnn.layers import InvertedResidual, make_divisible
from jaxcnn.models import (
    EfficientNet,
    MobileNetV1,
    MobileNetV2,
    MobileNetV3,
    feature_info,
)
from jaxcnn.models.efficientnet import block_settings as efficientnet_settings
from jaxcnn.models.mobilenet_v1 import DepthwiseSeparable
from jaxcnn.models.mobilenet_v2 import block_settings as mobilenet_v2_settings
from jaxcnn.models.mobilenet_v3 import block_settings as mobilenet_v3_settings
from jaxcnn.tree import flatten_named


def outputs_of(model, image, **kwargs):
    """Returns the shape of every layer's output for one image."""
    images = jax.ShapeDtypeStruct((1, *image), jnp.float32)
    _, variables = jax.eval_shape(
        lambda x: model.init_with_output(
            jax.random.key(0), x, capture_intermediates=True, **kwargs
        ),
        images,
    )
    outputs = flatten_named(variables["intermediates"])
    return {name.removesuffix("/__call__/0"): x.shape for name, x in outputs.items()}


@pytest.mark.parametrize(
    ("channels", "expected"),
    [(32, 32), (3, 8), (18, 24), (44.8, 48), (33.6, 32), (36, 40), (19, 24), (20, 24)],
)
def test_widths_are_multiples_of_8_and_lose_a_tenth_at_most(channels, expected):
    assert make_divisible(channels) == expected


def test_a_block_adds_its_input_only_where_nothing_changes():
    def output(features, stride, size=4):
        x = jnp.ones((1, size, size, 8))
        block = InvertedResidual(features, expanded=8, stride=stride)
        variables = block.init(jax.random.key(0), x, train=False)
        zeros = jax.tree.map(jnp.zeros_like, variables)
        return block.apply(zeros, x, train=False)

    assert (output(8, 1) == 1).all()
    assert not output(16, 1).any()
    assert not output(8, 2).any()
    assert not output(8, 2, size=1).any()  # although its shape stays


def test_a_block_without_expansion_or_squeeze_has_two_convolutions():
    x = jax.ShapeDtypeStruct((1, 4, 4, 8), jnp.float32)
    for options, layers in [
        ({}, {"depthwise", "project"}),
        ({"expanded": 8}, {"expand", "depthwise", "project"}),
        ({"squeeze": 2}, {"depthwise", "squeeze_excite", "project"}),
    ]:
        block = InvertedResidual(8, **options)
        tree = jax.eval_shape(
            lambda x, block=block: block.init(jax.random.key(0), x, train=False), x
        )
        assert set(tree["params"]) == layers


@pytest.mark.parametrize(
    "rates",
    [
        [b["drop_path"] for b in settings(create_model(name, drop_path=0.4)).values()]
        for name, settings in [
            ("mobilenet_v2", mobilenet_v2_settings),
            ("mobilenet_v3_small", mobilenet_v3_settings),
            ("efficientnet_b0", efficientnet_settings),
        ]
    ],
)
def test_drop_path_grows_from_nothing_to_its_share(rates):
    assert rates[0] == 0
    np.testing.assert_allclose(np.diff(rates), 0.4 / len(rates))


def test_drop_path_and_dropout_are_off_in_evaluation_and_on_in_training():
    stages = ((1, 8, 1, 1), (1, 8, 2, 1))
    model = MobileNetV2(
        stages=stages,
        stem_features=8,
        last_features=8,
        num_classes=2,
        dropout=0.5,
        drop_path=0.5,
    )
    images = np.random.default_rng(0).standard_normal((8, 8, 8, 3), np.float32)
    variables = model.init(jax.random.key(0), images)

    def train(key):
        rngs = {"dropout": jax.random.key(key)}
        return model.apply(
            variables, images, train=True, rngs=rngs, mutable=["batch_stats"]
        )[0]

    assert not np.allclose(train(0), train(1))
    np.testing.assert_array_equal(
        model.apply(variables, images), model.apply(variables, images)
    )


@pytest.mark.parametrize(
    ("padding", "pixel"),
    [("same", (1, 1)), ("tensorflow", (0, 0))],
)
def test_stride_2_is_padded_on_both_sides_or_at_the_end_as_in_keras(padding, pixel):
    """A depthwise kernel of its first tap alone takes the pixel that it stands on."""
    block = DepthwiseSeparable(1, stride=2, padding=padding, epsilon=0.0)
    x = np.arange(1.0, 17.0, dtype=np.float32).reshape(1, 4, 4, 1) / 16
    variables = block.init(jax.random.key(0), x, train=False)
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[0, 0] = 1
    variables["params"]["depthwise"]["conv"]["kernel"] = kernel
    variables["params"]["pointwise"]["conv"]["kernel"] = np.ones_like(kernel)[:1, :1]
    y = block.apply(variables, x, train=False)
    # The second window begins at pixel 2, or at 1 where a pixel was padded in front.
    assert y[0, 1, 1, 0] == x[0, 2 - pixel[0], 2 - pixel[1], 0]


def test_keras_padding_needs_31_pixels():
    images = jax.ShapeDtypeStruct((1, 30, 31, 3), jnp.float32)
    model = create_model("mobilenet_v1", padding="tensorflow", num_classes=2)
    with pytest.raises(ValueError, match="at least 31x31, got shape"):
        jax.eval_shape(lambda x: model.init(jax.random.key(0), x), images)
    assert outputs_of(model, (31, 32, 3))["head"] == (1, 2)
    assert outputs_of(model, (31, 32, 3))["stage5_block2"] == (1, 1, 1, 1024)


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0"],
)
def test_any_size_of_image_works(name):
    for size in [(1, 1), (33, 17)]:
        assert outputs_of(create_model(name, num_classes=3), (*size, 3))["head"] == (
            1,
            3,
        )


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("mobilenet_v1", "stage1_block1 stage2_block2 stage3_block2 stage4_block6"),
        ("mobilenet_v2", "stage1_block1 stage2_block2 stage3_block3 stage5_block3"),
        ("mobilenet_v3_large", "stage1_block1 stage2_block2 stage3_block3"),
        ("mobilenet_v3_small", "stem stage1_block1 stage2_block2 stage4_block2"),
        ("efficientnet_b0", "stage1_block1 stage2_block2 stage3_block2 stage5_block3"),
    ],
)
def test_endpoints_are_the_last_layers_of_each_size(name, paths):
    features = feature_info(name, (64, 64, 3))
    assert [f.reduction for f in features] == [2, 4, 8, 16, 32]
    assert [f.path for f in features][: len(paths.split())] == paths.split()
    assert features[-1].path == ("stage5_block2" if name == "mobilenet_v1" else "last")


def test_mobilenet_v3_gives_the_hidden_layer_where_there_are_no_classes():
    for name, units in [("mobilenet_v3_large", 1280), ("mobilenet_v3_small", 1024)]:
        outputs = outputs_of(create_model(name, num_classes=0), (32, 32, 3))
        assert outputs["__call__/0"] == (1, units)


def test_efficientnet_b5_takes_over_other_constants_where_they_are_given():
    model = create_model("efficientnet_b5")
    assert (model.epsilon, model.momentum, model.dropout) == (1e-3, 0.99, 0.4)
    model = create_model("efficientnet_b5", epsilon=1e-5, dropout=0.0)
    assert (model.epsilon, model.momentum, model.dropout) == (1e-5, 0.99, 0.0)


@pytest.mark.parametrize("model", [MobileNetV1, MobileNetV2, EfficientNet])
def test_wrong_fields_are_explained(model):
    for options, message in [
        ({"width": 0}, "width must be a number of at least 0.01, got 0"),
        ({"dropout": 1.0}, "dropout must be .* less than 1, got 1.0"),
        ({"padding": "keras"}, "padding='keras' is unknown.*'same', 'tensorflow'"),
        ({"stages": 3}, "stages must be a sequence of rows, got 3"),
        ({"stages": ()}, r"stages must be a sequence of rows, got \(\)"),
        ({"stages": ((1, 2),)}, r"stages must hold \(.*stride\), got \(1, 2\)"),
        ({"stages": ((0,) * 3,) * 1} if model is MobileNetV1 else {}, "at least 1"),
    ]:
        if options:
            with pytest.raises(ValueError, match=message):
                model(**options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MobileNetV2(drop_path=-1), "drop_path must be .* got -1"),
        (lambda: EfficientNet(depth=0), "depth must be a number .* got 0"),
        (lambda: MobileNetV3((((3, 8),),), 8), r"stages must hold blocks .*\(3, 8\)"),
        (lambda: MobileNetV3((), hidden=0), "hidden must be .* got 0"),
        (lambda: InvertedResidual(0), "features must be .* got 0"),
        (lambda: InvertedResidual(8, squeeze=-1), "squeeze must be .* got -1"),
    ],
)
def test_wrong_choices_are_explained(make, message):
    with pytest.raises(ValueError, match=message):
        make()
