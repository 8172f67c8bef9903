"""The parameters of a model by depth."""

import re

import pytest
from flax import linen as nn

from jaxcnn.models import CifarResNet
from jaxcnn.models.depth import Depth, freeze_pattern, pattern_of, rates_by_depth
from jaxcnn.transfer import stages, with_head

SHAPE = (8, 8, 3)


class Branches(nn.Module):
    """A branch from the stem past `middle` to the end, and no field num_classes."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.Conv(2, (1, 1), name="stem")(x)
        side = nn.Conv(3, (1, 1), name="side")(x)
        x = nn.Conv(3, (1, 1), name="middle")(x)
        return nn.Conv(4, (1, 1), name="last")(x + side)


@pytest.fixture(scope="module")
def resnet():
    return CifarResNet(1, width=4)


@pytest.fixture(scope="module")
def depth(resnet):
    return Depth(resnet, SHAPE)


def test_all_is_everything_but_the_head(depth):
    pattern = re.compile(depth.frozen("all"))
    rest = [name for name in depth.names if not pattern.search(name)]
    assert rest == ["head/bias", "head/kernel"]
    assert pattern.search("stem/norm/mean")  # batch statistics too


def test_through_is_what_an_output_depends_on():
    depth = Depth(Branches(), SHAPE)
    assert depth.through("middle") == [
        *("middle/bias", "middle/kernel", "stem/bias", "stem/kernel")
    ]
    assert depth.frozen("through:side") == "^(?:side/|stem/)"


def test_stages_end_with_the_endpoints(depth):
    assert [len(part) for part in depth.stages] == [9, 6, 6, 2]
    assert {name for part in depth.stages for name in part} == set(depth.names)


def test_a_model_without_endpoints_has_its_submodules_for_stages():
    assert [part[0].split("/")[0] for part in stages(Branches(), SHAPE)] == [
        *("stem", "side", "middle", "last")
    ]


def test_rates_fall_towards_the_stem(depth):
    rates = depth.rates(0.5)
    assert [factor for _, factor in rates] == [0.125, 0.25, 0.5]
    assert re.search(rates[0][0], "stem/conv/kernel")
    assert not any(re.search(pattern, "head/kernel") for pattern, _ in rates)
    assert rates_by_depth(Branches(), SHAPE, 1.0) == []


def test_behind_a_cut_there_is_nothing(resnet):
    cut = Depth(with_head(resnet, 3, cut_at="stage2_block1"), SHAPE)
    assert cut.paths == ["stage1_block1", "stage2_block1"]
    assert [len(part) for part in cut.stages] == [9, 6, 2]
    assert cut.head == ["head/bias", "head/kernel"]


def test_none_and_a_regex_are_what_they_are(depth):
    assert depth.frozen("none") is None
    assert depth.frozen("^stem/.*kernel") == "^stem/.*kernel"


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        ("trough:stem", "matches no parameter. Did you mean 'through:"),
        ("through:stage1", "calls no submodule 'stage1'. Did you mean"),
        ("(", "is no regular expression"),
    ],
)
def test_what_is_not_known(depth, freeze, message):
    with pytest.raises(ValueError, match=message):
        depth.frozen(freeze)


def test_a_model_without_a_head_cannot_freeze_all_but_it():
    with pytest.raises(ValueError, match="neither a field num_classes nor a part"):
        freeze_pattern(Branches(), SHAPE, "all")


def test_bad_numbers_and_empty_patterns():
    with pytest.raises(ValueError, match=r"decay must be in \(0, 1\]"):
        rates_by_depth(Branches(), SHAPE, 0)
    with pytest.raises(ValueError, match="no parameter to match"):
        pattern_of([], ["a"])
