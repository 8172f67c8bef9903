"""Every registered model by shapes alone: counts, logits, features, wrong input.

`GOLDEN_WRITE=1 python -m pytest -m "" tests/models/test_zoo.py -k counts` writes the
table of counts that `jaxcnn models` shows again. A few models are traced by
default, all of them by `make parity`.
"""

import json
import os
import re
from importlib import resources

import jax
import jax.numpy as jnp
import pytest

from jaxcnn.layers.checks import KINDS
from jaxcnn.models import counts
from jaxcnn.registry import create_model
from jaxcnn.tree import count_params
from tests.models.zoo import (
    CLASSIFIERS,
    FAMILIES,
    GOLDEN,
    NAMES,
    counted,
    one_of_each_family,
    shapes_of,
    shown_first,
)

COUNTS = resources.files("jaxcnn.models").joinpath("counts.json")


def test_every_model_has_a_golden_row_and_no_other():
    assert set(GOLDEN) == set(NAMES)


def as_printed(macs, printed):
    """Returns multiply-adds with the digits and the unit of `"4.089 G"`."""
    number, unit = printed.split()
    decimals = len(number.partition(".")[2])
    return f"{macs / {'M': 1e6, 'G': 1e9}[unit]:,.{decimals}f} {unit}"


@pytest.mark.parametrize(
    ("macs", "printed"),
    [(4_089_184_256, "4.089 G"), (40_551_040, "40.55 M"), (5_243_315_648, "5,243.3 M")],
)
def test_multiply_adds_are_compared_to_the_last_printed_digit(macs, printed):
    assert as_printed(macs, printed) == printed
    assert as_printed(macs + 10**6, printed) != printed


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_counts_says_what_the_references_count(name):
    assert name in counts.model_counts(), "write its row as test_counts says"
    row, golden = counts.model_counts()[name], GOLDEN[name]
    assert row.params == golden["params"], golden["source"]
    assert row.image_shape == tuple(golden["image"])
    if "macs" in golden:
        assert as_printed(row.macs, golden["macs"]) == golden["macs"]


@pytest.mark.parametrize("name", shown_first(NAMES))
def test_counts(name):
    golden, summary = GOLDEN[name], counted(name)
    assert summary.params == golden["params"], golden["source"]
    if "macs" in golden:
        assert as_printed(summary.macs, golden["macs"]) == golden["macs"]
    write_counts(name, summary)
    assert counts.model_counts().get(name) == counts.Counts(
        tuple(golden["image"]), summary.params, summary.macs
    ), (
        f"{COUNTS.name} is what `jaxcnn models` shows, and {name} has other counts. "
        'Write it again: GOLDEN_WRITE=1 python -m pytest -m "" '
        "tests/models/test_zoo.py -k counts"
    )
    if name in CLASSIFIERS:
        # A dense layer, SqueezeNet's convolution, or the capsules of each class.
        assert summary.rows[-1].path == "head"
        assert create_model(name).num_classes in summary.rows[-1].output_shape[1:]


def write_counts(name, summary):
    """Writes the row of a model if asked to, and drops rows of models that are gone."""
    if os.environ.get("GOLDEN_WRITE"):
        table = json.loads(COUNTS.read_text())
        table[name] = {
            "image": GOLDEN[name]["image"],
            "params": summary.params,
            "macs": summary.macs,
        }
        lines = [
            f' "{each}": {json.dumps(table[each])}' for each in NAMES if each in table
        ]
        COUNTS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        counts.model_counts.cache_clear()


def test_the_table_of_counts_has_no_other_rows():
    assert set(counts.model_counts()) <= set(NAMES)


@pytest.mark.thorough
@pytest.mark.parametrize("name", shown_first(FAMILIES))
def test_training_with_one_channel_and_an_image_that_is_not_square(name):
    *sizes, last, _ = GOLDEN[name]["image"]
    model = create_model(name, num_classes=7, dtype=jnp.bfloat16)
    logits, variables = shapes_of(model, (*sizes, last + 8, 1), train=True)
    assert (logits.shape, logits.dtype) == ((2, 7), jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_families_hold_every_classifier():
    classes = {type(create_model(name)) for name in CLASSIFIERS}
    assert {type(create_model(name)) for name in FAMILIES} == classes
    assert one_of_each_family(["resnet50", "resnet18", "resnet34", "lenet"]) == [
        "lenet",
        "resnet18",
        "resnet50",
    ]


@pytest.mark.parametrize("name", shown_first(FAMILIES))
def test_logits_in_evaluation(name):
    model = create_model(name, num_classes=7, dtype=jnp.bfloat16)
    logits, variables = shapes_of(model, GOLDEN[name]["image"])
    assert (logits.shape, logits.dtype) == ((2, 7), jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.thorough
@pytest.mark.parametrize("name", shown_first(FAMILIES))
def test_no_classes_returns_what_the_head_would_get(name):
    image = GOLDEN[name]["image"]
    _, whole = shapes_of(create_model(name), image)
    features, headless = shapes_of(create_model(name, num_classes=0), image)
    head = whole["params"].pop("head")
    whole["params"].pop("decoder", None)  # a capsule network's, which reads the head
    assert features.shape == (2, head["kernel"].shape[-2])
    assert features.dtype == jnp.float32
    assert headless == whole


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_wrong_rank_is_explained(name):
    spatial = GOLDEN[name]["image"][:-1]
    kind, axes = KINDS[len(spatial)]
    shape = (2, *spatial)  # the channels are missing
    message = f"needs {kind} of shape {axes}, got shape {shape}"
    with pytest.raises(ValueError, match=re.escape(message)):
        shapes_of(create_model(name), spatial)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("resnet20_cifar", 272_474),
        ("resnet56_cifar", 855_770),
        ("resnet110_cifar", 1_730_714),
    ],
)
def test_parameters_with_option_b_shortcuts(name, params):
    _, variables = shapes_of(create_model(name, shortcut="B"), (32, 32, 3))
    assert count_params(variables["params"]) == params


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_wrong_number_of_classes_is_explained(name):
    message = "num_classes must be a whole number of at least 0, got -1"
    with pytest.raises(ValueError, match=message):
        create_model(name, num_classes=-1)


@pytest.mark.parametrize("name", shown_first(FAMILIES))
def test_an_unknown_initialiser_is_explained(name):
    message = "kernel_init='he_norma' is unknown. Did you mean 'he_normal'"
    with pytest.raises(ValueError, match=re.escape(message)):
        shapes_of(create_model(name, kernel_init="he_norma"), GOLDEN[name]["image"])


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "kwargs", "smallest"),
    [
        ("lenet", {}, 16),
        ("lenet5", {}, 12),
        ("lenet5", {"padding": 0}, 16),
        ("inception_small", {}, 16),
        ("inception_small", {"features": (4, 4, 4)}, 36),
        ("cnn", {}, 4),
        ("cnn", {"kernel_size": 5, "padding": "valid"}, 16),
        ("cnn", {"convs_per_stage": (1, 2), "padding": "valid"}, 14),
        ("cnn", {"pool": "stride", "padding": "valid"}, 7),
        ("cnn", {"pool": "average", "kernel_size": (7, 3), "padding": 1}, 8),
        ("alexnet", {}, 63),
        ("vgg11", {}, 32),
        ("squeezenet1_0", {}, 21),
        ("squeezenet1_1", {}, 17),
        ("googlenet", {}, 15),
        ("googlenet", {"stages": (((8,) * 6,),)}, 7),
        ("inception_v3", {}, 75),
        ("inception_v4", {}, 75),
        ("inception_resnet_v2", {}, 75),
        ("xception", {}, 7),
    ],
)
def test_images_too_small_for_the_pools_are_refused(name, kwargs, smallest):
    model = create_model(name, num_classes=3, **kwargs)
    assert shapes_of(model, (smallest, smallest + 1, 1))[0].shape == (2, 3)
    message = rf"images of at least {smallest}x{smallest}, got shape \(2, \d+, \d+, 1\)"
    with pytest.raises(ValueError, match=message):
        shapes_of(model, (smallest + 1, smallest - 1, 1))


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet20_cifar"])
@pytest.mark.parametrize("size", [(1, 1), (33, 17)])
def test_residual_networks_take_any_size(name, size):
    assert shapes_of(create_model(name, num_classes=3), (*size, 3))[0].shape == (2, 3)
