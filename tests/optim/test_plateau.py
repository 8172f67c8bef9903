import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.optim import PlateauProgress, PlateauRule, make_optimizer, set_rate_factor
from jaxcnn.tree import flatten_named


def rates(rule, values, rate=1.0):
    progress = PlateauProgress(rate)
    steps = itertools.accumulate(values, rule.after, initial=progress)
    return [progress.rate for progress in steps][1:]


@pytest.mark.parametrize(
    ("options", "values", "expected"),
    [
        # Two bad ones are borne, the third reduces, and the count starts anew.
        ({"patience": 2}, [5, 5, 5, 5, 5, 5, 5], [1, 1, 1, 0.5, 0.5, 0.5, 0.25]),
        ({"patience": 1}, [5, 4, 4, 3, 3, 3], [1, 1, 1, 1, 1, 0.5]),
        # Better by less than a tenth is not better.
        ({"patience": 0, "threshold": 0.1}, [10, 9.5, 8.9], [1, 0.5, 0.5]),
        (
            {"patience": 0, "threshold": 0.1, "threshold_mode": "abs"},
            [10, 9.95, 9.8],
            [1, 0.5, 0.5],
        ),
        ({"patience": 0, "mode": "max"}, [0.1, 0.2, 0.2, 0.3], [1, 1, 0.5, 0.5]),
        ({"patience": 0, "cooldown": 2}, [1] * 5, [1, 0.5, 0.5, 0.5, 0.25]),
        ({"patience": 0, "min_lr": 0.4}, [1] * 4, [1, 0.5, 0.4, 0.4]),
        ({"patience": 0}, [float("nan"), 1, float("nan")], [0.5, 0.5, 0.25]),
    ],
)
def test_rates_by_hand(options, values, expected):
    assert rates(PlateauRule(factor=0.5, **options), values) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "mix"}, r"mode='mix' is unknown\..*Allowed: min, max"),
        ({"threshold_mode": "real"}, r"threshold_mode='real'.*Did you mean 'rel'\?"),
        ({"factor": 1.0}, "factor=1.0 must be > 0 and < 1"),
        ({"patience": -1}, "patience=-1 must be >= 0"),
        ({"threshold": -1}, "threshold=-1 must be >= 0"),
        ({"cooldown": -1}, "cooldown=-1 must be >= 0"),
        ({"min_lr": -1}, "min_lr=-1 must be >= 0"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        PlateauRule(**options)


@pytest.mark.parametrize("options", [{}, {"lookahead": 9}, {"rules": [("b", None)]}])
def test_the_factor_scales_every_update_without_a_new_compilation(options):
    params = {"a": jnp.ones(2), "b": jnp.ones(1)}
    tx = make_optimizer("momentum", 0.1, momentum=0.0, rate_factor=True, **options)
    traces = []

    @jax.jit
    def update(state):
        traces.append(1)
        return tx.update(params, state, params)

    updates, state = update(tx.init(params))
    np.testing.assert_allclose(updates["a"], [-0.1, -0.1])
    for factor in (0.5, 0.25):
        state = set_rate_factor(state, factor)
        updates, state = update(state)
        np.testing.assert_allclose(updates["a"], [-0.1 * factor] * 2)
    assert len(traces) == update._cache_size() == 1
    [found] = [v for k, v in flatten_named(state).items() if k.endswith("factor")]
    assert found == 0.25


def test_a_state_without_a_factor():
    state = make_optimizer("adam", 0.1).init({"a": jnp.ones(1)})
    with pytest.raises(ValueError, match="has no factor of the learning rate: make it"):
        set_rate_factor(state, 0.5)
