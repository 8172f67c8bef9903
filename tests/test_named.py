import pytest

from jaxcnn.named import call_named


def scale(x, *, by, plus=0):
    return x * by + plus


TABLE = {"scale": scale, "negate": lambda x: -x}


def test_calls_the_function_of_that_name():
    assert call_named("change", TABLE, "scale", 3, by=2, plus=1) == 7
    assert call_named("change", TABLE, "negate", 3) == -3


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "scael",
            {},
            r"^Unknown change 'scael'\. Did you mean 'scale'\? "
            r"Allowed: negate, scale\.$",
        ),
        ("xyzzy", {}, r"^Unknown change 'xyzzy'\. Allowed: negate, scale\.$"),
        (None, {}, r"^Unknown change None\."),
        (
            "scale",
            {"by": 2, "pluss": 1},
            r"^The change 'scale' has no argument 'pluss'\. Did you mean 'plus'\? "
            r"Allowed: by, plus\.$",
        ),
        (
            "negate",
            {"x": 1},
            r"^The change 'negate' has no argument 'x'\. Allowed: no arguments\.$",
        ),
        ("scale", {}, r"^The change 'scale' needs the argument 'by'\.$"),
        (
            "scale",
            {"by": None},
            r"^The change 'scale' cannot take \{'by': None\}: unsupported operand",
        ),
    ],
)
def test_refuses(name, options, message):
    with pytest.raises(ValueError, match=message):
        call_named("change", TABLE, name, 3, **options)
