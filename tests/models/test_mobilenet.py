"""MobileNets and EfficientNets: widths, blocks, padding, endpoints, messages."""

import functools

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

pytestmark = pytest.mark.thorough


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


def filled(module, x, value=0.0):
    """Returns the variables of a block, all of one value."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), x, train=False))
    return jax.tree.map(lambda leaf: np.full(leaf.shape, value, np.float32), shapes)


def evaluate(module, variables, x):
    apply = functools.partial(module.apply, train=False)
    options = {"xla_backend_optimization_level": 0}
    return jax.jit(apply, compiler_options=options)(variables, x)


@pytest.mark.parametrize(
    ("features", "stride", "size", "added"),
    [(8, 1, 4, True), (16, 1, 4, False), (8, 2, 4, False), (8, 2, 1, False)],
)
def test_a_block_adds_its_input_only_at_stride_1_to_as_many_channels(
    features, stride, size, added
):
    """The last case keeps its shape all the same."""
    x = np.ones((1, size, size, 8), np.float32)
    block = InvertedResidual(features, stride=stride)
    y = evaluate(block, filled(block, x), x)
    assert (y == added).all()


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


@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"drop_path": 0.5}])
def test_dropping_is_on_in_training_and_off_in_evaluation(options):
    model = MobileNetV2(
        stages=((1, 8, 2, 1),),
        stem_features=8,
        last_features=8,
        num_classes=2,
        **{"dropout": 0.0} | options,
    )
    images = np.random.default_rng(0).standard_normal((8, 4, 4, 3), np.float32)

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def run(keys):
        variables = model.init(jax.random.key(0), images)

        def train(key):
            rngs = {"dropout": key}
            return model.apply(
                variables, images, train=True, rngs=rngs, mutable=["batch_stats"]
            )[0]

        return jax.vmap(train)(keys), model.apply(variables, images)

    training, evaluation = run(jax.random.split(jax.random.key(1), 2))
    assert not np.allclose(training[0], training[1])
    np.testing.assert_array_equal(
        evaluation, run(jax.random.split(jax.random.key(2), 2))[1]
    )


@pytest.mark.parametrize(
    ("padding", "pixel"),
    [("same", (1, 1)), ("tensorflow", (0, 0))],
)
def test_stride_2_is_padded_on_both_sides_or_at_the_end_as_in_keras(padding, pixel):
    """A depthwise kernel of its first tap alone takes the pixel that it stands on."""
    block = DepthwiseSeparable(1, stride=2, padding=padding, epsilon=0.0)
    x = np.arange(1.0, 17.0, dtype=np.float32).reshape(1, 4, 4, 1) / 16
    variables = filled(block, x, 1.0)
    for layer in ("depthwise", "pointwise"):
        variables["params"][layer]["norm"]["bias"] *= 0
        variables["batch_stats"][layer]["norm"]["mean"] *= 0
    kernel = variables["params"]["depthwise"]["conv"]["kernel"]
    kernel[1:] = kernel[:, 1:] = 0
    y = evaluate(block, variables, x)
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
def test_a_single_pixel_is_enough(name):
    outputs = outputs_of(create_model(name, num_classes=3), (1, 1, 3))
    assert outputs["head"] == (1, 3)


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("mobilenet_v1", "stage1_block1 stage2_block2 stage3_block2 stage4_block6"),
        ("mobilenet_v2", "stage1_block1 stage2_block2 stage3_block3 stage5_block3"),
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
