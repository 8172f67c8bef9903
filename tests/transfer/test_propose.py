"""The four cases: which strategy, and why."""

import pytest

from jaxcnn.models import Cnn
from jaxcnn.transfer import propose_transfer
from jaxcnn.transfer.propose import propose_strategy


@pytest.mark.parametrize(
    ("examples", "similar", "case", "strategy", "freeze"),
    [
        (1998, True, "small and similar", "new_head", "all"),
        (1998, False, "small and different", "cut_early", "all"),
        (2000, True, "large and similar", "fine_tune", "none"),
        (2000, False, "large and different", "retrain", "none"),
    ],
)
def test_the_four_cases(examples, similar, case, strategy, freeze):
    found = propose_transfer(examples, similar, num_classes=2)
    assert (found.case, found.strategy, found.freeze) == (case, strategy, freeze)
    each = "999" if examples < 2000 else "1,000"
    assert f"{examples:,} training images are {each} a class" in found.reason


def test_what_is_small_is_an_option():
    assert propose_transfer(100, True, 2, small_below=50).strategy == "fine_tune"


def test_the_cut_is_behind_the_middle_stage():
    model = Cnn(features=(2, 3, 4), num_classes=5)
    found = propose_transfer(9, False, 3, model=model, image_shape=(8, 8, 1))
    assert found.cut_at == "before:stage3_conv1"  # so behind activation and pool
    last = propose_strategy(
        "cut_early", model=Cnn(features=(2,)), image_shape=(8, 8, 1)
    )
    assert last.cut_at == "stage1_conv1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, True, 2), "examples must be a whole number of at least 1, got 0"),
        ((9, True, 0), "num_classes must be"),
    ],
)
def test_bad_numbers(arguments, message):
    with pytest.raises(ValueError, match=message):
        propose_transfer(*arguments)


def test_a_model_needs_the_shape_and_a_strategy_a_name():
    with pytest.raises(ValueError, match="needs image_shape"):
        propose_transfer(9, False, 3, model=Cnn())
    with pytest.raises(ValueError, match="strategy='all' is unknown"):
        propose_strategy("all")
    with pytest.raises(ValueError, match="no submodule in front of its head"):
        propose_strategy("cut_early", model=Cnn(features=()), image_shape=(8, 8, 1))
