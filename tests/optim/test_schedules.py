import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.optim import list_schedules, make_schedule

# Name, arguments, the rate (peak 1) at some steps: worked out by hand.
CASES = {
    "constant": ("constant", {}, 10, {0: 1, 5: 1, 10: 1, 99: 1}),
    "constant with warm-up": (
        "constant",
        {"warmup_steps": 4},
        10,
        {0: 0.2, 1: 0.4, 2: 0.6, 3: 0.8, 4: 1, 9: 1},
    ),
    "linear": ("linear", {}, 10, {0: 1, 1: 0.9, 5: 0.5, 9: 0.1, 10: 0, 99: 0}),
    "linear to a tenth": (
        "linear",
        {"final_factor": 0.1},
        9,
        {0: 1, 1: 0.9, 8: 0.2, 9: 0.1, 99: 0.1},
    ),
    "linear with warm-up": (
        "linear",
        {"warmup_steps": 1},
        5,
        {0: 0.5, 1: 1, 2: 0.75, 4: 0.25, 5: 0},
    ),
    "cosine": (
        "cosine",
        {},
        12,
        {0: 1, 2: (1 + np.sqrt(3) / 2) / 2, 3: (1 + np.sqrt(0.5)) / 2, 4: 0.75}
        | {6: 0.5, 8: 0.25, 12: 0, 99: 0},
    ),
    "cosine to a half, with warm-up": (
        "cosine",
        {"final_factor": 0.5, "warmup_steps": 3},
        9,
        {0: 0.25, 2: 0.75, 3: 1, 5: 0.875, 6: 0.75, 7: 0.625, 9: 0.5, 10: 0.5},
    ),
    "step": (
        "step",
        {"boundaries": [3, 6]},
        9,
        {0: 1, 2: 1, 3: 0.1, 5: 0.1, 6: 0.01, 8: 0.01, 99: 0.01},
    ),
    "step with warm-up, boundaries of the whole run": (
        "step",
        {"boundaries": (4, 6), "factor": 0.5, "warmup_steps": 1},
        9,
        {0: 0.5, 1: 1, 3: 1, 4: 0.5, 5: 0.5, 6: 0.25, 8: 0.25},
    ),
    "step, every so many": (
        "step",
        {"every": 4, "factor": 0.5, "warmup_steps": 1},
        9,
        {0: 0.5, 1: 1, 3: 1, 4: 0.5, 7: 0.5, 8: 0.25, 99: 0.25},
    ),
    "multistep by epochs and per cent": (
        "multistep",
        {"boundaries": ["1.5 epochs", "60%"], "steps_per_epoch": 2},
        10,
        {0: 1, 2: 1, 3: 0.1, 5: 0.1, 6: 0.01, 99: 0.01},
    ),
    "polynomial": ("polynomial", {}, 10, {0: 1, 1: 0.81, 5: 0.25, 9: 0.01, 99: 0}),
    "polynomial to a half": (
        "polynomial",
        {"power": 3, "final_factor": 0.5},
        4,
        {0: 1, 1: 0.5 + 0.5 * 27 / 64, 2: 0.5625, 4: 0.5, 99: 0.5},
    ),
    "exponential": (
        "exponential",
        {"factor": 0.25, "every": 2},
        6,
        {0: 1, 1: 0.5, 3: 0.125},
    ),
    "exponential by stairs an epoch": (
        "exponential",
        {"factor": 0.5, "every": "1 epoch", "steps_per_epoch": 3, "staircase": True},
        9,
        {0: 1, 2: 1, 3: 0.5, 5: 0.5, 6: 0.25, 8: 0.25, 99: 0.125},
    ),
    "cosine_restarts": (
        "cosine_restarts",
        {"period": 4},
        10,
        {0: 1, 2: 0.5, 3: (1 - np.sqrt(0.5)) / 2, 4: 1, 6: 0.5, 8: 1, 10: 0.5, 99: 0.5},
    ),
    "cosine_restarts, longer and lower": (
        "cosine_restarts",
        {"period": "2 epochs", "steps_per_epoch": 1, "multiplier": 2}
        | {"peak_factor": 0.5, "final_factor": 0.1, "warmup_steps": 1},
        15,
        {0: 0.5, 1: 1, 2: 0.55, 3: 0.5, 5: 0.3, 7: 0.25, 11: 0.175, 15: 0.1},
    ),
    "flat_cosine": (
        "flat_cosine",
        {"flat": "60%"},
        10,
        {0: 1, 6: 1, 7: (1 + np.sqrt(0.5)) / 2, 8: 0.5, 10: 0, 99: 0},
    ),
    "flat_cosine after a warm-up": (
        "flat_cosine",
        {"flat": 4, "warmup_steps": "10%", "final_factor": 0.5},
        10,
        {0: 0.5, 1: 1, 4: 1, 7: 0.75, 10: 0.5},
    ),
    "explore_exploit": (
        "explore_exploit",
        {"warmup": "30%", "warmdown": 4},
        10,
        {0: 1 / 3, 1: 2 / 3, 2: 1, 6: 1, 7: 0.75, 9: 0.25, 10: 0},
    ),
    "explore_exploit, as fast as Adam's second moment allows": (
        "explore_exploit",
        {"warmup": 8, "warmdown": 2, "b2": 0.5},
        10,
        {0: 0.25, 1: 0.5, 3: 1, 8: 1, 9: 0.5},
    ),
    "one_cycle": (
        "one_cycle",
        {"peak_at": 0.4, "start_factor": 0.2, "final_factor": 0.1},
        10,
        {0: 0.2, 2: 0.6, 4: 1, 6: 0.775, 7: 0.55, 8: 0.325, 10: 0.1, 99: 0.1},
    ),
    "one_cycle by default": (
        "one_cycle",
        {},
        10,
        {0: 0.04, 3: 1, 10: 4e-6},
    ),
    "one_cycle after a warm-up": (
        "one_cycle",
        {"warmup_steps": 1, "peak_at": 0.5},
        5,
        {0: 0.02, 1: 0.04, 3: 1, 5: 4e-6},
    ),
}


def test_every_schedule_has_a_case():
    assert {case[0] for case in CASES.values()} == set(list_schedules())


@pytest.mark.parametrize(
    ("name", "options", "total", "rates"), CASES.values(), ids=CASES
)
def test_values(name, options, total, rates):
    schedule = make_schedule(name, 1.0, total, **options)
    every_step = jax.jit(jax.vmap(schedule))(jnp.arange(100))
    expected = list(rates.values())
    np.testing.assert_allclose(
        every_step[np.array(list(rates))], expected, rtol=2e-6, atol=1e-7
    )
    assert ((every_step >= 0) & (every_step <= 1)).all()
    first = schedule(0)
    assert first.dtype == every_step.dtype == jnp.float32
    assert first.shape == ()
    np.testing.assert_allclose(first, expected[0], rtol=2e-6)


@pytest.mark.parametrize(
    ("name", "options", "total", "rates"), CASES.values(), ids=CASES
)
def test_is_proportional_to_the_peak(name, options, total, rates):
    schedule = make_schedule(name, 0.03, total, **options)
    for step, rate in list(rates.items())[:2]:
        np.testing.assert_allclose(schedule(step), 0.03 * rate, rtol=1e-5, atol=1e-9)


def test_one_cycle_equals_optax():
    ours = jax.jit(jax.vmap(make_schedule("one_cycle", 0.2, 20)))
    theirs = jax.jit(jax.vmap(optax.cosine_onecycle_schedule(20, 0.2)))
    steps = jnp.arange(21)
    np.testing.assert_allclose(ours(steps), theirs(steps), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "rate", "total", "options", "message"),
    [
        ("cosin", 0.1, 9, {}, r"Unknown schedule 'cosin'\. Did you mean 'cosine'\?"),
        (
            "cosine",
            0.1,
            9,
            {"final_facto": 0},
            r"'cosine' has no argument 'final_facto'\. Did you mean 'final_factor'\?",
        ),
        ("step", 0.1, 9, {}, "schedule 'step' needs the argument 'boundaries'"),
        (
            "step",
            0.1,
            9,
            {"boundaries": [3], "every": 3},
            "'boundaries', or 'every' instead: got both",
        ),
        ("step", 0.1, 9, {"every": 0}, "every=0 is shorter than one step"),
        (
            "step",
            0.1,
            9,
            {"every": 2, "warmup_steps": 3},
            "every=2 must be more than warmup_steps=3",
        ),
        (
            "multistep",
            0.1,
            9,
            {"boundaries": ["2 epochs"]},
            "boundaries='2 epochs' counts in epochs: steps_per_epoch is needed",
        ),
        (
            "exponential",
            0.1,
            9,
            {},
            "schedule 'exponential' needs the argument 'factor",
        ),
        ("exponential", 0.1, 9, {"factor": 2}, "factor=2 is not between 0 and 1"),
        ("polynomial", 0.1, 9, {"power": 0}, "power=0 must be > 0"),
        (
            "cosine_restarts",
            0.1,
            9,
            {"period": "0%"},
            "period='0%' is shorter than one",
        ),
        (
            "cosine_restarts",
            0.1,
            9,
            {"period": 3, "multiplier": 0.5},
            "multiplier=0.5 must be >= 1",
        ),
        (
            "cosine_restarts",
            0.1,
            9,
            {"period": 3, "peak_factor": 2},
            "peak_factor=2 is not between 0 and 1",
        ),
        (
            "flat_cosine",
            0.1,
            9,
            {"flat": "100%"},
            "flat='100%' must end after warmup_steps=0 and before total_steps=9",
        ),
        (
            "explore_exploit",
            0.1,
            9,
            {"warmup_steps": 2},
            "'explore_exploit' has a warm-up of its own: leave warmup_steps=2 out",
        ),
        (
            "explore_exploit",
            0.1,
            9,
            {"warmup": "80%"},
            "warmup='80%' and warmdown='28%' are more than the run",
        ),
        ("explore_exploit", 0.1, 9, {"b2": 1}, "b2=1 must be >= 0 and < 1"),
        ("step", 0.1, 9, {"boundaries": 3}, "boundaries=3 must be a list of steps"),
        ("constant", -0.1, 9, {}, "learning_rate=-0.1 is not a finite number >= 0"),
        ("constant", float("nan"), 9, {}, "learning_rate=nan is not a finite"),
        ("constant", 0.1, 0, {}, "total_steps=0 is not a positive number"),
        (
            "cosine",
            0.1,
            9,
            {"warmup_steps": 9},
            "warmup_steps=9 is not between 0 and total_steps=9",
        ),
        ("cosine", 0.1, 9, {"warmup_steps": -1}, "warmup_steps=-1 is not between"),
        (
            "linear",
            0.1,
            9,
            {"final_factor": 2},
            "final_factor=2 is not between 0 and 1",
        ),
        ("cosine", 0.1, 9, {"final_factor": -1}, "final_factor=-1 is not between"),
        (
            "step",
            0.1,
            9,
            {"boundaries": [3], "factor": 10},
            "factor=10 is not between 0 and 1",
        ),
        (
            "step",
            0.1,
            9,
            {"boundaries": [6, 3]},
            r"boundaries=\(6, 3\) must increase and lie after warmup_steps=0 and "
            "before total_steps=9",
        ),
        ("step", 0.1, 9, {"boundaries": [9]}, r"boundaries=\(9,\) must increase"),
        (
            "step",
            0.1,
            9,
            {"boundaries": [2], "warmup_steps": 2},
            "lie after warmup_steps=2",
        ),
        ("one_cycle", 0.1, 9, {"start_factor": 2}, "start_factor=2 is not between"),
        ("one_cycle", 0.1, 9, {"final_factor": 2}, "final_factor=2 is not between"),
        (
            "one_cycle",
            0.1,
            9,
            {"peak_at": 1.0},
            "peak_at=1.0 of 9 steps leaves no step",
        ),
        (
            "one_cycle",
            0.1,
            9,
            {"peak_at": 0.0},
            "peak_at=0.0 of 9 steps leaves no step",
        ),
    ],
)
def test_refuses(name, rate, total, options, message):
    with pytest.raises(ValueError, match=message):
        make_schedule(name, rate, total, **options)
