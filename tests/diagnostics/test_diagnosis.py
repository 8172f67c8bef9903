"""Verdicts on curves whose answer is known: they are made by a formula."""

import dataclasses

import numpy as np
import pytest

from jaxcnn.diagnostics import (
    ADVICE,
    CASES,
    Curve,
    Thresholds,
    curves_of,
    diagnose,
    measure,
)

CHANCE = np.log(10)


def falling(at, end, time=4.0):
    """Returns a loss that falls from chance to `end`, by 1/e in each `time`."""
    return end + (CHANCE - end) * np.exp(-at / time)


#: Training and validation loss over the epoch, by case.
SHAPES = {
    "underfitting_flat": lambda at: (falling(at, 1.5, 2), falling(at, 1.55, 2)),
    "underfitting_improving": lambda at: (falling(at, 0, 25), falling(at, 0.1, 25)),
    "overfitting": lambda at: (
        falling(at, 0.02, 3),
        falling(at, 0.5, 2) + 0.04 * np.maximum(at - 12, 0),
    ),
    "good_fit": lambda at: (falling(at, 0.05, 2), falling(at, 0.1, 2)),
    "train_too_small": lambda at: (falling(at, 0.02, 3), falling(at, 0.8, 3)),
    "validation_too_small": lambda at: (
        falling(at, 0.1, 2),
        falling(at, 0.3, 2) + 0.15 * (-1.0) ** np.arange(len(at)),
    ),
    "validation_easier": lambda at: (falling(at, 0.9, 3), falling(at, 0.4, 3)),
    "diverging": lambda at: (falling(at, 0.3, 2) + 0.15 * at, falling(at, 1, 2)),
}


def curves(case, points=30, *, unit=1.0, noise=0.0, seed=0):
    """Returns the two curves of a case."""
    at = np.linspace(1, 30, points)
    rng = np.random.default_rng(seed)
    shaped = [values * np.exp(noise * rng.normal(size=points)) for values in
              SHAPES[case](at)]  # fmt: skip
    return [Curve(unit * at, values) for values in shaped]


@pytest.mark.parametrize("case", SHAPES)
def test_the_case_of_a_formula_is_named(case):
    found = diagnose(*curves(case), chance=CHANCE)
    assert found.case == case
    assert found.advice == ADVICE[case]
    assert found.enough
    assert found.evidence


@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("points", [10, 100])
def test_the_number_of_points_does_not_matter(case, points):
    assert diagnose(*curves(case, points), chance=CHANCE).case == case


@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_a_little_noise_does_not_matter(case, seed):
    noisy = curves(case, noise=0.01, seed=seed)
    assert diagnose(*noisy, chance=CHANCE).case == case


@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("unit", [0.05, 750.0])
def test_the_unit_of_the_axis_does_not_matter(case, unit):
    one, other = (diagnose(*curves(case, unit=u), chance=CHANCE) for u in (1, unit))
    assert other.case == one.case
    measured, again = (dataclasses.asdict(found.measures) for found in (one, other))
    assert again.pop("points") == measured.pop("points")
    measured["best_at"] *= unit
    assert again == pytest.approx(measured)


@pytest.mark.parametrize("case", SHAPES)
def test_the_start_and_the_unit_of_the_loss_do_not_matter(case):
    def changed(curve):
        return Curve(curve.at + 40, 0.7 + 3 * curve.values)

    train, validation = curves(case)
    one = diagnose(train, validation, chance=CHANCE)
    other = diagnose(
        changed(train), changed(validation), chance=0.7 + 3 * CHANCE, floor=0.7
    )
    assert other.case == one.case
    assert other.measures.gap == pytest.approx(one.measures.gap)
    if one.begins is not None:
        assert other.begins == one.begins + 40


def test_overfitting_begins_where_the_validation_loss_turns():
    found = diagnose(*curves("overfitting"), chance=CHANCE)
    assert found.begins == pytest.approx(12, abs=1)
    assert f"from epoch {found.begins:g} on" in found.line
    assert f"lowest at epoch {found.begins:g}" in found.evidence[0]


def test_the_numbers_are_those_of_the_curves():
    at = np.arange(1.0, 13)
    train = Curve(at, 2 - 0.1 * at)  # the last third: 1.1 at 9 to 0.8 at 12
    validation = Curve(at, np.full(12, 1.0) + 0.05 * (-1.0) ** at)
    m = measure(train, validation, scale=2.0)
    assert m.train == pytest.approx(0.4)
    assert m.train_fall == pytest.approx(1 - 0.8 / 1.1)
    assert m.train_noise == pytest.approx(0)
    # Points lie 0.1 from the mean of their neighbours, that is 0.05 of the scale.
    assert m.noise == pytest.approx(0.05 * np.sqrt(2 / 3))
    assert m.gap == pytest.approx(m.validation - 0.4)


def test_nan_and_infinity_are_divergence():
    train, validation = curves("good_fit")
    train.values[20] = np.nan
    found = diagnose(train, validation, chance=CHANCE)
    assert found.case == "diverging"
    assert "training loss is nan at epoch 21" in found.evidence[0]
    short = diagnose(Curve([1, 2], [2.0, 1.0]), Curve([2], [np.inf]))
    assert short.case == "diverging"


def test_a_run_that_was_ended_by_nan_diverges_whatever_its_curves():
    found = diagnose(*curves("good_fit"), chance=CHANCE, stopped=True)
    assert found.case == "diverging"
    assert "not finite" in found.evidence[0]


def test_dropout_is_no_easier_validation_set():
    train, validation = curves("validation_easier")
    found = diagnose(train, validation, chance=CHANCE, raised=["dropout"])
    assert found.case != "validation_easier"
    assert "raised by dropout" in found.evidence[-1]
    low = Curve(train.at, falling(train.at, 0.75, 3))
    found = diagnose(low, Curve(train.at, falling(train.at, 0.3, 3)), chance=CHANCE,
                     raised=["dropout"])  # fmt: skip
    # Its true training loss is not above that of validation, which is that of a fit.
    assert found.case == "good_fit"


def test_without_validation_only_the_fit_is_judged():
    train, _ = curves("underfitting_flat")
    found = diagnose(train, chance=CHANCE)
    assert found.case == "underfitting_flat"
    assert found.enough
    assert "no validation part" in found.evidence[1]
    found = diagnose(curves("overfitting")[0], chance=CHANCE)
    assert found.case == "not_clear"
    assert not found.enough
    assert "--data.validation" in found.evidence[0]


def test_too_few_points_are_not_clear():
    train, validation = curves("overfitting")
    few = Curve(validation.at[:5], validation.values[:5])
    found = diagnose(train, few, chance=CHANCE)
    assert found.case == "not_clear"
    assert not found.enough
    assert (
        "30 training points and 5 of validation; a verdict needs 4 and 6"
        in found.evidence[0]
    )
    assert found.to_json()["measures"] is None


def test_noise_of_many_examples_is_not_for_their_number():
    noisy = curves("validation_too_small")
    assert diagnose(*noisy, chance=CHANCE, examples=50).case == "validation_too_small"
    found = diagnose(*noisy, chance=CHANCE, examples=5000)
    assert found.case != "validation_too_small"


def test_of_few_examples_no_verdict_on_them_is_made():
    for case in ("overfitting", "good_fit", "validation_easier"):
        found = diagnose(*curves(case), chance=CHANCE, examples=20)
        assert found.case == "validation_too_small"
        assert "has 20 examples: one is 5.0% of the accuracy" in found.evidence[0]
    flat = diagnose(*curves("underfitting_flat"), chance=CHANCE, examples=20)
    assert flat.case == "underfitting_flat"


def test_without_a_known_chance_high_is_not_clear():
    train, validation = curves("underfitting_flat")
    assert diagnose(train, validation).case == "not_clear"
    found = diagnose(*curves("good_fit"))
    assert found.case == "good_fit"
    assert "start" in found.evidence[0]


def test_other_thresholds_are_taken():
    strict = Thresholds(rise=1e9)
    found = diagnose(*curves("overfitting"), chance=CHANCE, thresholds=strict)
    assert found.case == "train_too_small"


def test_every_case_has_advice():
    assert set(ADVICE) == set(CASES)
    assert all(ADVICE.values())


def test_a_verdict_as_text_and_json():
    found = diagnose(*curves("overfitting"), chance=CHANCE)
    text = str(found)
    assert text.startswith("Overfitting, from epoch ")
    assert all(sentence in text for sentence in found.evidence)
    assert all(f"  - {a.what}: {a.how}" in text for a in found.advice)
    assert "\n" not in found.line
    values = found.to_json()
    assert values["case"] == "overfitting"
    assert values["measures"]["points"] == (30, 30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": Curve([], [])}, "no training point"),
        ({"chance": 0.0}, r"chance must be above floor=0\.0, got 0\.0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    train, validation = curves("good_fit")
    with pytest.raises(ValueError, match=message):
        diagnose(**{"train": train, "validation": validation, **arguments})


@pytest.mark.parametrize(
    ("at", "values", "message"),
    [
        ([1, 2], [1.0], r"of one length, got \[2\] and \[1\]"),
        ([[1]], [[1.0]], r"must be \[n\]"),
        ([1, 1], [1.0, 2.0], "grow from point to point"),
        ([1, np.inf], [1.0, 2.0], "must be finite"),
    ],
)
def test_bad_curves_are_named(at, values, message):
    with pytest.raises(ValueError, match=message):
        Curve(at, values)


def record(split, step, **values):
    return {"split": split, "step": step, "epoch": step / 10, **values}


def test_training_means_are_placed_in_the_middle_of_their_steps():
    records = [
        record("train", 10, loss=2.0, accuracy=0.25),
        record("validation", 10, loss=1.5, accuracy=0.5),
        record("train", 30, loss=1.0, accuracy=0.75),
        record("train", 35, loss=0.5, accuracy=1.0),
    ]
    found = curves_of(records)
    assert found.train.at.tolist() == [0.5, 2.0, 3.25]
    assert found.train.values.tolist() == [2.0, 1.0, 0.5]
    assert found.validation.at.tolist() == [1.0]
    errors = curves_of(records, metric="accuracy")
    assert errors.train.values.tolist() == [0.75, 0.25, 0.0]
    steps = [{k: v for k, v in r.items() if k != "epoch"} for r in records]
    assert curves_of(steps).axis == "step"
    assert curves_of(steps).train.at.tolist() == [5, 20, 32.5]


def test_steps_that_were_not_finite_are_counted():
    events = [record("nonfinite", 3, batch=2, action=a) for a in ("skip", "skip")]
    known = [record("train", 10, loss=2.0)]
    found = curves_of([*events, *known])
    assert (found.left_out, found.stopped) == (2, False)
    stop = record("nonfinite", 12, batch=11, action="stop")
    assert curves_of([*known, stop]).stopped
    remark = diagnose(*curves("good_fit"), chance=CHANCE, left_out=2).evidence[-1]
    assert remark == "2 steps were not finite, and left out."


def test_records_without_the_metric_are_refused():
    records = [record("train", 10, psnr=20.0)]
    with pytest.raises(ValueError, match="No training or validation record has the"):
        curves_of(records)
    with pytest.raises(ValueError, match=r"metric must be .* Did you mean 'loss'"):
        curves_of(records, metric="los")


def test_a_training_curve_alone_is_never_a_good_fit():
    at = np.arange(1, 31)
    for end in (0.02, 0.22, 0.3):
        found = diagnose(Curve(at, falling(at, end * CHANCE, 2)), chance=CHANCE)
        assert found.case == "not_clear"


def test_a_slow_steady_fall_is_one_that_improves():
    at = np.arange(1, 13)
    slow = Curve(at, CHANCE * (1 - 0.005 * at))
    found = diagnose(slow, slow, chance=CHANCE)
    assert found.case == "underfitting_improving"
    assert found.measures.train_fall < 0.03
    assert "of its whole fall" in found.evidence[0]


@pytest.mark.parametrize("case", sorted({*SHAPES} - {"validation_too_small"}))
def test_training_is_recorded_less_often_than_validation_is_measured(case):
    train, validation = curves(case)
    means = train.values[:28].reshape(4, 7).mean(axis=1)
    rare = Curve(train.at[:28].reshape(4, 7).mean(axis=1), means)
    assert diagnose(rare, validation, chance=CHANCE).case == case
