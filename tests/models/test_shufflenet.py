"""ShuffleNets: counts by formula, a unit in NumPy from the paper, messages."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import create_model, summarize
from jaxcnn.models import ShuffleNetV1, ShuffleNetV2, feature_info
from jaxcnn.models.shufflenet_v1 import ShuffleUnit
from jaxcnn.models.shufflenet_v2 import SplitUnit

pytestmark = pytest.mark.thorough


GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "params" / "shufflenet.json"
#: Channels of the paper's stage 2 for each number of groups (table 1).
FEATURES = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}


quick_jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)


def by_formula(groups):
    """Returns parameters and multiply-adds at 224 from table 1 and figure 2.

    A convolution has no bias; each is followed by a norm, with two parameters a
    channel. Of a unit from i to o channels: i/g * o/4 and then, over the new size,
    9 * o/4 and o/4 * n/g, where n = o, or o - i beside the pooled input.
    """
    params, macs = 27 * 24 + 2 * 24, 27 * 24 * 112**2
    inputs, size = 24, 56
    for stage, units in enumerate((4, 8, 4)):
        out = FEATURES[groups] * 2**stage
        for unit in range(units):
            split = 1 if stage == unit == 0 else groups
            inner, new = out // 4, out - inputs if unit == 0 else out
            reduce, expand = inputs * inner // split, inner * new // groups
            params += reduce + 9 * inner + expand + 2 * (inner + inner + new)
            macs += reduce * size**2
            size //= 2 if unit == 0 else 1
            macs += (9 * inner + expand) * size**2
            inputs = out
    return params + inputs * 1000 + 1000, macs + inputs * 1000


@pytest.mark.parametrize("groups", FEATURES)
def test_counts_are_those_of_the_formula_and_of_the_golden_file(groups):
    params, macs = by_formula(groups)
    name = f"shufflenet_v1_g{groups}"
    summary = summarize(create_model(name), (1, 224, 224, 3))
    assert (summary.params, summary.macs) == (params, macs)
    golden = json.loads(GOLDEN.read_text())[name]
    assert (golden["params"], golden["macs"]) == (params, f"{macs / 1e6:.2f} M")


def test_three_groups_are_the_default():
    assert create_model("shufflenet_v1") == create_model("shufflenet_v1_g3")


def norm(x, layer, stats):
    """Evaluation: with the running statistics."""
    scaled = (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
    return scaled * layer["scale"] + layer["bias"]


def grouped_1x1(x, kernel, groups):
    """Each group of outputs sees its own group of inputs."""
    parts = zip(
        np.split(x, groups, -1), np.split(kernel[0, 0], groups, -1), strict=True
    )
    return np.concatenate([part @ weights for part, weights in parts], -1)


def windows(x, stride):
    """Yields (row, column, patch) of every 3x3 window, a pixel of zeros around."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for row in range(0, x.shape[1], stride):
        for column in range(0, x.shape[2], stride):
            patch = padded[:, row : row + 3, column : column + 3]
            yield row // stride, column // stride, patch


def over_windows(x, stride, function):
    values = {(r, c): function(patch) for r, c, patch in windows(x, stride)}
    rows, columns = (max(axis) + 1 for axis in zip(*values, strict=True))
    return np.stack(
        [np.stack([values[r, c] for c in range(columns)], 1) for r in range(rows)], 1
    )


def unit_by_the_paper(x, params, stats, groups, stride, grouped):
    """Figure 2b (stride 1) and 2c (stride 2), for one image after the other."""
    conv = {name: layer["conv"]["kernel"] for name, layer in params.items()}

    def normed(y, name):
        return norm(y, params[name]["norm"], stats[name]["norm"])

    y = grouped_1x1(x, conv["reduce"], groups if grouped else 1)
    y = np.maximum(normed(y, "reduce"), 0)
    # "we first reshape the output channel dimension into (g, n), transposing and then
    # flattening it back" (section 3.1).
    order = np.arange(y.shape[-1]).reshape(groups, -1).T.ravel()
    y = y[..., order]
    weights = conv["depthwise"][:, :, 0]
    y = over_windows(y, stride, lambda patch: (patch * weights).sum((1, 2)))
    y = grouped_1x1(normed(y, "depthwise"), conv["expand"], groups)
    y = normed(y, "expand")
    if stride == 1:
        return np.maximum(x + y, 0)
    pooled = over_windows(x, 2, lambda patch: patch.mean((1, 2)))
    return np.maximum(np.concatenate([pooled, y], -1), 0)


def random_like(tree, seed):
    """Returns values in [0.5, 1.5], which serve as variances too."""
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: random.uniform(0.5, 1.5, leaf.shape).astype(np.float32), tree
    )


@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
@pytest.mark.parametrize(
    ("stride", "channels", "grouped"), [(1, 24, True), (2, 12, True), (2, 4, False)]
)
def test_a_unit_is_the_papers(stride, channels, grouped, size):
    unit = ShuffleUnit(24, groups=3, stride=stride, grouped_reduce=grouped)
    if stride == 2 and not grouped:
        unit = unit.clone(groups=2)
    x = np.random.default_rng(0).standard_normal((2, *size, channels), np.float32)
    shapes = jax.eval_shape(lambda: unit.init(jax.random.key(0), x, train=False))
    variables = random_like(shapes, 1)
    # Kernels of both signs, or nothing would be cut off.
    variables["params"] = jax.tree.map(
        lambda leaf: leaf - 1 if leaf.ndim == 4 else leaf, variables["params"]
    )
    got = quick_jit(functools.partial(unit.apply, train=False))(variables, x)
    expected = unit_by_the_paper(
        x, variables["params"], variables["batch_stats"], unit.groups, stride, grouped
    )
    assert (expected == 0).any()
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_half_of_the_channels_pass_a_unit_of_version_two():
    """They come out at the even places, where the shuffle puts the first half."""
    unit = SplitUnit(8)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 3, 3, 8), np.float32))
    y, _ = quick_jit(functools.partial(unit.init_with_output, train=False))(
        jax.random.key(0), x
    )
    np.testing.assert_array_equal(y[..., ::2], x[..., :4])


@pytest.mark.parametrize("name", ["shufflenet_v1", "shufflenet_v2_x0_5"])
def test_endpoints(name):
    reductions = [f.reduction for f in feature_info(name, (64, 64, 3))]
    assert reductions == [2, 8, 16, 32]


@pytest.mark.parametrize("name", ["shufflenet_v1", "shufflenet_v2_x0_5"])
def test_a_single_pixel_is_enough(name):
    model = create_model(name, num_classes=3)
    images = jax.ShapeDtypeStruct((2, 1, 1, 3), jnp.float32)
    logits, _ = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x), images
    )
    assert logits.shape == (2, 3)


def first_unit(channels):
    x = jax.ShapeDtypeStruct((1, 4, 4, channels), jnp.float32)
    jax.eval_shape(lambda x: SplitUnit(8).init(jax.random.key(0), x, train=False), x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ShuffleNetV1(groups=5), "groups=5 is unknown.* 1, 2, 3, 4, 8"),
        (lambda: ShuffleNetV1(width=0), "width must be .* at least 0.01, got 0"),
        (
            lambda: ShuffleNetV1(groups=8, width=0.5),
            "groups=8 and width=0.5 do not go together: .* 192 .* stem's 12 a",
        ),
        (lambda: ShuffleNetV1(groups=4, width=0.5), "groups=4 .* first stage's 136"),
        (lambda: ShuffleNetV1(stage_sizes=4), "stage_sizes must be a sequence"),
        (lambda: ShuffleUnit(20, groups=2), "features=20 must be a multiple of .* 8"),
        (lambda: ShuffleUnit(16, groups=2, stride=3), "stride=3 is unknown.* 1, 2"),
        (lambda: ShuffleNetV2((8, 16)), "features and stage_sizes .* a number for"),
        (lambda: ShuffleNetV2((8, 1, 8)), "features must be .* at least 2, got 1"),
        (lambda: SplitUnit(7), "features must be even, got 7"),
        (lambda: SplitUnit(8, stride=0), "stride=0 is unknown"),
        (lambda: first_unit(6), "keeps its channels at stride 1: features=8, .* 6"),
    ],
)
def test_wrong_choices_are_explained(make, message):
    with pytest.raises(ValueError, match=message):
        make()
