"""Gradual unfreezing in the optimizer: as if the parameters were added later."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.optim import make_optimizer

PARAMS = {"early": {"kernel": jnp.array([1.0, -2.0])}, "head": {"kernel": jnp.ones(2)}}
GRADS = {"early": {"kernel": jnp.array([0.3, 0.5])}, "head": {"kernel": jnp.ones(2)}}


def run(tx, steps, params=PARAMS, grads=GRADS):
    """Returns the parameters after each update."""
    state, found = tx.init(params), []
    for _ in range(steps):
        updates, state = tx.update(grads, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        found.append(params)
    return found


@pytest.mark.parametrize(
    "name", ["adamw", pytest.param("momentum", marks=pytest.mark.thorough)]
)
def test_a_group_wakes_as_if_it_were_added_then(name):
    def rate(step):
        return 0.1 / (1 + jnp.asarray(step, jnp.float32))

    options = {"weight_decay": 0.1}
    woken = run(make_optimizer(name, rate, wake=[("^early/", 2)], **options), 4)
    for k in (0, 1):
        np.testing.assert_array_equal(woken[k]["early"]["kernel"], [1, -2])
    # Alone, from its first update on, at the rates of steps 2 and 3 of the run.
    late = make_optimizer(name, lambda step: rate(step + 2), **options)
    alone = run(late, 2, {"early": PARAMS["early"]}, {"early": GRADS["early"]})
    for one, two in zip(woken[2:], alone, strict=True):
        np.testing.assert_allclose(one["early"]["kernel"], two["early"]["kernel"])
    plain = run(make_optimizer(name, rate, **options), 4)
    np.testing.assert_allclose(woken[3]["head"]["kernel"], plain[3]["head"]["kernel"])


def test_a_sleeping_gradient_does_not_count_in_the_norm():
    tx = make_optimizer("sgd", 1.0, clip_norm=1.0, wake=[("^early/", 1)])
    first = run(tx, 1)[0]
    moved = PARAMS["head"]["kernel"] - first["head"]["kernel"]
    np.testing.assert_allclose(moved, np.ones(2) / np.sqrt(2), rtol=1e-6)


def test_rules_and_freezing_hold_beside_it():
    tx = make_optimizer(
        "sgd", 1.0, rules=[("^early/", 0.5)], wake=[("^early/", 1)], freeze="^head/"
    )
    found = run(tx, 2)
    np.testing.assert_allclose(found[1]["early"]["kernel"], [0.85, -2.25])
    np.testing.assert_array_equal(found[1]["head"]["kernel"], [1, 1])


@pytest.mark.parametrize(
    ("wake", "message"),
    [
        (["early"], r"wake\[0\] must be a pair"),
        ([("early", 0)], "a step of 1 or more, got 0"),
        ([("(", 1)], r"wake\[0\]"),
    ],
)
def test_what_cannot_be(wake, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer("sgd", 0.1, wake=wake)


def test_a_pattern_must_match():
    with pytest.raises(ValueError, match=r"wake\[0\]='stem' matches none"):
        make_optimizer("sgd", 0.1, wake=[("stem", 3)]).init(PARAMS)
