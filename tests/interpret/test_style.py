"""Style transfer: losses by hand, transfers whose end is known, bad input."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcnn.interpret import (
    StyleOptions,
    content_loss,
    gram_matrix,
    style_loss,
    style_transfer,
)
from jaxcnn.interpret.style_layers import (
    default_content_layers,
    default_style_layers,
    layer_path,
    layer_weights,
)
from jaxcnn.interpret.style_losses import (
    StyleObjective,
    in_the_colours_of,
    with_the_luminance_of,
)
from jaxcnn.registry import create_model


class Net(nn.Module):
    """Two convolutions and a dense layer."""

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        x = nn.relu(nn.Conv(4, (3, 3), name="first")(images - 0.5))
        x = nn.relu(nn.Conv(5, (3, 3), strides=2, name="second")(x))
        return nn.Dense(2, name="head")(x.mean((1, 2)))


NET = Net()
PIXELS = np.random.default_rng(0).uniform(size=(3, 12, 10, 3)).astype(np.float32)
CONTENT, STYLE, OTHER = PIXELS
SMALL = StyleOptions(
    content_layers=["second"],
    style_layers=["first", "second"],
    sizes=(12,),
    steps=5,
    margin=0,
    tv_weight=0.0,
)


@pytest.fixture(scope="module")
def variables():
    return jax.jit(NET.init)(jax.random.key(0), jnp.zeros((1, 12, 10, 3)))


def transfer(variables, content=CONTENT, styles=STYLE, *, mix=None, **changes):
    options = dataclasses.replace(SMALL, **changes)
    return style_transfer(NET, variables, content, styles, options=options, mix=mix)


def test_gram_matrix_by_hand():
    """Three positions with channels (1, 0), (2, 1), (0, 3), whatever the axes."""
    features = jnp.array([[1.0, 0.0], [2.0, 1.0], [0.0, 3.0]])
    expected = np.array([[5, 2], [2, 10]]) / 3
    for shape in ((1, 3, 1, 2), (1, 1, 3, 2), (1, 3, 2)):
        np.testing.assert_allclose(gram_matrix(features.reshape(shape))[0], expected)


def test_gram_matrix_does_not_depend_on_the_size():
    features = jax.random.normal(jax.random.key(0), (1, 4, 5, 3))
    tiled = jnp.tile(features, (1, 2, 3, 1))
    np.testing.assert_allclose(gram_matrix(tiled), gram_matrix(features), 1e-5)


def test_losses_by_hand():
    """The differences are 2 and 1; the targets' squares add up to 10."""
    target, other = jnp.array([[1.0, 3.0]]), jnp.array([[3.0, 4.0]])
    assert content_loss(other, target) == pytest.approx(5 / 10)
    assert content_loss(other, target, "paper") == 5 / 2
    gram, wanted = jnp.zeros((1, 2, 2)), jnp.array([[[1.0, 2.0], [2.0, 4.0]]])
    assert style_loss(gram, wanted) == 1
    assert style_loss(gram, wanted, "paper") == 25 / (4 * 2**2)
    assert content_loss(other, 0 * target) == 25  # of nothing there is no share


def test_style_loss_is_the_papers_for_one_size():
    """Eq. 3 and 4 with their sums, against the mean that stands in our matrix."""
    one, two = np.random.default_rng(1).uniform(size=(2, 6, 3))
    sums = ((one.T @ one - two.T @ two) ** 2).sum() / (4 * 3**2 * 6**2)
    grams = [gram_matrix(jnp.asarray(x, jnp.float32)[None]) for x in (one, two)]
    assert style_loss(*grams, "paper") == pytest.approx(sums, rel=1e-5)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_an_image_in_its_own_style_stays_as_it_is(variables, optimizer):
    result = transfer(variables, CONTENT, CONTENT, optimizer=optimizer)
    assert result.losses["total"].max() < 1e-9
    # Adam divides a gradient that is all rounding by its size.
    np.testing.assert_allclose(
        result.image, CONTENT, atol={"lbfgs": 1e-4, "adam": 0.1}[optimizer]
    )


@pytest.mark.parametrize(
    ("optimizer", "factor"),
    [("lbfgs", 30), pytest.param("adam", 10, marks=pytest.mark.thorough)],
)
def test_content_alone_is_found_from_noise(variables, optimizer, factor):
    options = {"content_layers": ["first"], "style_weight": 0.0, "start": "noise"}
    options |= {"optimizer": optimizer, "steps": 40, "learning_rate": 0.1}
    losses = transfer(variables, **options).losses
    assert losses["content"][-1] < losses["content"][0] / factor
    np.testing.assert_allclose(losses["total"], losses["content"])


@pytest.mark.thorough
def test_both_optimizers_go_the_same_way(variables):
    changes = [
        transfer(variables, optimizer=name, steps=20).image - CONTENT
        for name in ("lbfgs", "adam")
    ]
    one, two = (change.ravel() / np.linalg.norm(change) for change in changes)
    assert one @ two > 0.5


def test_the_style_gets_nearer_and_the_content_farther(variables):
    result = transfer(variables)
    assert result.losses["content"][0] < 1e-9
    assert result.losses["style"][-1] < 0.8 * result.losses["style"][0]
    assert (np.diff(result.losses["total"]) < 0).all()  # each step is a descent
    layers = [result.losses[f"style/{path}"] for path in ("first", "second")]
    np.testing.assert_allclose(result.losses["style"], sum(layers) / 2, 1e-5)


def test_noise_comes_from_the_seed(variables):
    options = {"start": "noise", "steps": 1}
    one, same, other = (
        transfer(variables, seed=seed, **options).image for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


@pytest.mark.thorough
def test_sizes_from_coarse_to_fine(variables):
    seen = []
    result = style_transfer(
        NET,
        variables,
        (255 * CONTENT).astype(np.uint8),
        STYLE,
        options=dataclasses.replace(SMALL, sizes=(6, 12), steps=(2, 3), margin=2),
        on_step=lambda now: seen.append((now.step, now.shape, now.picture().shape)),
    )
    coarse, fine = ((6, 5), (6, 5, 3)), ((12, 10), (12, 10, 3))
    assert [step for step, *_ in seen] == [0, 1, 2, 2, 3, 4, 5]
    assert [tuple(rest) for _, *rest in seen] == [coarse] * 3 + [fine] * 4
    assert result.sizes.tolist() == [6] * 3 + [12] * 4
    assert result.image.shape == (12, 10, 3)
    assert result.image.min() >= 0
    assert result.image.max() <= 1


@pytest.mark.thorough
def test_the_style_has_a_scale_of_its_own(variables):
    """A style of half the size: its Gram matrices are those of the smaller image."""
    one = transfer(variables, styles=STYLE, style_scale=0.5, steps=1)
    two = transfer(variables, styles=STYLE, style_scale=1.0, steps=1)
    assert one.losses["style"][0] != pytest.approx(two.losses["style"][0], rel=0.01)


@pytest.mark.thorough
def test_mixed_styles_lie_between(variables):
    """The weight 0 leaves a style out; Gram matrices are averaged."""
    options = {"steps": 1, "content_weight": 0.0}
    pair = [STYLE, OTHER[:8]]
    alone = transfer(variables, styles=STYLE, **options)
    first = transfer(variables, styles=pair, mix=[2, 0], **options)
    np.testing.assert_allclose(alone.losses["total"], first.losses["total"], 1e-5)
    both = transfer(variables, styles=pair, **options)
    assert both.losses["total"][0] != pytest.approx(alone.losses["total"][0], rel=1e-3)


@pytest.mark.thorough
def test_colours_of_the_content_stay(variables):
    """Only the luminance moves: differences of channels are those of the content."""
    grey_blue = 0.3 + 0.4 * CONTENT  # far enough from 0 and 1 that nothing is cut off
    result = transfer(variables, content=grey_blue, colours="content", steps=3)
    change = result.image - grey_blue
    inside = ((result.image > 0) & (result.image < 1)).all(-1)
    assert np.abs(change[inside]).max() > 0.01
    np.testing.assert_allclose(
        change[inside], change[inside][:, :1].repeat(3, 1), atol=1e-6
    )


def test_luminance_by_hand():
    picture = jnp.full((1, 1, 1, 1), 0.5)
    red = jnp.array([[[[0.5, 0.2, 0.2]]]])  # 0.299 * 0.5 + 0.701 * 0.2 = 0.2897
    np.testing.assert_allclose(
        in_the_colours_of(red, picture)[0, 0, 0], [0.7103, 0.4103, 0.4103], 1e-5
    )
    matched = with_the_luminance_of(PIXELS[:1], 0.1 * PIXELS[1:2])
    ours = PIXELS[:1] @ np.array([0.299, 0.587, 0.114], np.float32)
    assert float(matched.mean()) == pytest.approx(ours.mean(), abs=1e-5)
    assert float(matched.std()) == pytest.approx(ours.std(), abs=1e-5)


def test_names_that_courses_give_the_layers_of_vgg():
    vgg, lenet = create_model("vgg19"), create_model("lenet")
    names = ["conv4_2", "relu4_2", "block4_conv2", "conv4_2/conv"]
    paths = [layer_path(vgg, name) for name in names]
    assert paths == ["conv4_2", "conv4_2", "conv4_2", "conv4_2/conv"]
    assert layer_path(lenet, "relu1_1") == "relu1_1"


def test_usual_layers():
    """Gatys et al. 2016, section 3, for VGG-19; endpoints where nothing is known."""
    vgg = create_model("vgg19")
    assert default_content_layers(vgg) == {"conv4_2": 1}
    styles = default_style_layers(vgg)
    assert styles == dict.fromkeys([f"conv{n}_1" for n in range(1, 6)], 0.2)
    assert default_content_layers(create_model("vgg11")) == {"conv4_2": 1}
    assert "fire3" in default_content_layers(create_model("squeezenet1_0"))
    assert list(default_style_layers(create_model("resnet18")))[-1] == "stage4_block2"
    with pytest.raises(ValueError, match=r"Net has no usual layers .* content_layers="):
        default_content_layers(NET)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"content_weight": -1}, "content_weight must be a number of at least 0"),
        ({"style_weight": float("nan")}, "style_weight must be a number .* got nan"),
        ({"tv_weight": "1"}, "tv_weight must be a number of at least 0, got '1'"),
        ({"content_weight": 0, "style_weight": 0}, "both 0: nothing is left to do"),
        ({"learning_rate": 0}, "learning_rate must be a number above 0, got 0"),
        ({"style_scale": -1.0}, "style_scale must be a number above 0, got -1.0"),
        ({"scale": "papers"}, "scale='papers' is unknown. Did you mean 'paper'"),
        ({"optimizer": "adma"}, "optimizer='adma' is unknown. Did you mean 'adam'"),
        ({"start": "image"}, "start='image' is unknown.*'content', 'noise'"),
        ({"colours": "both"}, "colours='both' is unknown.*'style', 'content'"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"margin": 1.5}, "margin must be a whole number .* got 1.5"),
        ({"sizes": ()}, r"sizes must grow from coarse to fine, got \(\)"),
        ({"sizes": (64, 32)}, r"sizes must grow .*, got \(64, 32\)"),
        ({"sizes": 64}, "sizes must be a sequence of whole numbers, got 64"),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"sizes": (8, 16), "steps": (1, 2, 3)}, "steps must be .* the 2 sizes"),
    ],
)
def test_wrong_options_are_explained(changes, message):
    with pytest.raises(ValueError, match=message):
        StyleOptions(**changes)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("conv1", "style_layers must be names of layers.* got 'conv1'"),
        ([], r"style_layers must be names of layers.* got \[\]"),
        ({"conv1_1": 1, "relu1_1": 1}, "names the layer 'conv1_1' twice"),
        ({"conv1_1": "1"}, "the weight of 'conv1_1' is '1'"),
        ({"conv1_1": 0}, "weight of 'conv1_1' must be above 0, got 0; leave out"),
    ],
)
def test_wrong_layers_are_explained(layers, message):
    with pytest.raises(ValueError, match=message):
        layer_weights(create_model("vgg19"), "style_layers", layers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"content": CONTENT[0]}, r"content must be an image .* got shape \(10, 3\)"),
        ({"content": CONTENT[..., :1]}, r"content must be .* got shape \(12, 10, 1\)"),
        ({"styles": [255 * STYLE]}, r"styles must be uint8 or floats in \[0, 1\]"),
        ({"styles": []}, "styles is empty"),
        ({"mix": [1, 2]}, "mix must be a weight .* each of 1 style images"),
        ({"mix": [-1]}, "mix must be a weight of at least 0"),
        ({"style_layers": ["firs"]}, "calls no submodule 'firs'. Did you mean 'first'"),
        ({"style_layers": ["head"]}, r"layer 'head' gives \(1, 2\); style and content"),
    ],
)
def test_wrong_arguments_are_explained(variables, arguments, message):
    with pytest.raises(ValueError, match=message):
        transfer(variables, **arguments)


def test_a_network_that_is_not_finite_is_named(variables):
    broken = jax.tree.map(lambda x: x * jnp.nan, variables)
    with pytest.raises(ValueError, match=r"The loss .* is nan: check the variables"):
        transfer(broken)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["vgg19", "squeezenet1_1", "resnet18"])
def test_usual_layers_are_maps_of_the_network(name):
    model = create_model(name)
    images = jax.ShapeDtypeStruct((1, 64, 80, 3), jnp.float32)
    content, style = default_content_layers(model), default_style_layers(model)
    objective = StyleObjective(model, None, tuple(content), tuple(style), "relative")
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    grams = jax.eval_shape(objective.style_targets, variables, images)
    assert set(grams) == set(style)
    maps = jax.eval_shape(objective.content_targets, variables, images)
    assert all(layer.ndim == 4 for layer in maps.values())


def test_a_dense_layer_behind_the_maps_need_not_fit():
    """LeNet's takes 28 pixels; the picture has other sides."""
    lenet = create_model("lenet")
    images = jax.ShapeDtypeStruct((1, 28, 28, 3), jnp.float32)
    made = jax.eval_shape(lenet.init, jax.random.key(0), images)
    objective = StyleObjective(lenet, None, ("conv2",), ("conv1",), "relative")
    picture = jax.ShapeDtypeStruct((1, 20, 24, 3), jnp.float32)
    assert objective_shapes(objective, made, picture) == {
        "content": (1, 4, 6, 20),
        "style": (1, 10, 10),
    }


def objective_shapes(objective, variables, picture):
    content = jax.eval_shape(objective.content_targets, variables, picture)
    style = jax.eval_shape(objective.style_targets, variables, picture)
    (content,), (style,) = content.values(), style.values()
    return {"content": content.shape, "style": style.shape}
