import pytest

from jaxcnn.optim import parse_duration


@pytest.mark.parametrize(
    ("value", "steps"),
    [
        (7, 7),
        ("500", 500),
        ("500 steps", 500),
        ("1step", 1),
        ("5 epochs", 100),
        ("5ep", 100),
        ("0.5 epoch", 10),
        (".25 EP", 5),
        ("10%", 30),
        (" 12.5 % ", 38),
        ("100 percent", 300),
    ],
)
def test_durations(value, steps):
    assert parse_duration(value, total_steps=300, steps_per_epoch=20) == steps


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("soon", "warmup='soon' is not a duration: give steps"),
        ("-5", "warmup='-5' is not a duration"),
        (2.5, "warmup=2.5 is not a duration"),
        (True, "warmup=True is not a duration"),
        (None, "warmup=None is not a duration"),
        ("", "warmup='' is not a duration"),
        ("5 epocs", r"unknown unit 'epocs'\. Did you mean 'epochs'\? Allowed: steps"),
        ("2.5 steps", "warmup='2.5 steps' is not a whole number of steps"),
        ("120%", "warmup='120%' is more than the whole run"),
        ("2 epochs", "warmup='2 epochs' counts in epochs: steps_per_epoch is needed"),
    ],
)
def test_what_is_no_duration(value, message):
    with pytest.raises(ValueError, match=message):
        parse_duration(value, total_steps=300, argument="warmup")
