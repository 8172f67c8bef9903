import jax
import numpy as np
import pytest

import tests.train.nets as nets
from jaxcnn.checkpoint import Checkpoints
from jaxcnn.optim import PlateauRule, make_optimizer, set_rate_factor
from jaxcnn.train import (
    Hook,
    ReduceOnPlateau,
    SaveCheckpoints,
    TrainLog,
    classification,
    fit,
    init_state,
    make_train_step,
    parallelize,
)

TX = make_optimizer("sgd", 0.1, rate_factor=True)
MODEL = nets.Linear(3)
LOSSES = [5, 4, 4, 4, 4, 3, 3, 3]
# Two bad evaluations in a row halve the rate: after steps 4 and 8.
RATES = [0.1] * 4 + [0.05] * 4


class Scores(Hook):
    """Makes a validation record a step, and keeps the rates of the training records."""

    def __init__(self, losses=LOSSES):
        self.losses = losses
        self.rates = []

    def on_step(self, loop):
        loop.record("validation", {"loss": self.losses[loop.step - 1]})

    def on_record(self, loop, record):
        if record["split"] == "train":
            self.rates.append(record["learning_rate"])


@pytest.fixture(scope="module")
def step():
    return parallelize(make_train_step(MODEL, TX, classification()), donate=False)


def start(tx=TX):
    return init_state(MODEL, tx, jax.random.key(0), nets.EXAMPLE)


def hooks(*others):
    rule = PlateauRule(factor=0.5, patience=1)
    plateau = ReduceOnPlateau(rule, 0.1)
    scores = Scores()
    log = TrainLog(1, schedule=plateau.rate)
    return scores, [scores, plateau, log, *others]


def test_the_rate_falls_and_is_logged_as_used(step):
    scores, list_of_hooks = hooks()
    end = fit(start(), step, nets.Batches(), num_steps=8, hooks=list_of_hooks)
    np.testing.assert_allclose(scores.rates, RATES, rtol=1e-6)
    assert list_of_hooks[1].factor == 0.25
    by_hand = start()
    for k, rate in enumerate(RATES):
        state = set_rate_factor(by_hand.opt_state, rate / 0.1)
        by_hand, _ = step(by_hand.replace(opt_state=state), nets.Batches()[k])
    equal = jax.tree.map(np.array_equal, end.params, by_hand.params)
    assert all(jax.tree.leaves(equal))


@pytest.mark.parametrize("stop", [3, 4, 5])
def test_a_resumed_run_equals_an_unbroken_one(step, tmp_path, stop):
    scores, list_of_hooks = hooks()
    whole = fit(start(), step, nets.Batches(), num_steps=8, hooks=list_of_hooks)
    rates = []
    for length in (stop, 8):
        with Checkpoints(tmp_path) as checkpoints:
            saver = SaveCheckpoints(checkpoints, every=1)
            scores, list_of_hooks = hooks(saver)
            state = saver.resume(start())
            end = fit(
                state, step, nets.Batches(), num_steps=length, hooks=list_of_hooks
            )
            rates += scores.rates
    np.testing.assert_allclose(rates, RATES, rtol=1e-6)
    equal = jax.tree.map(
        np.array_equal, (end.params, end.opt_state), (whole.params, whole.opt_state)
    )
    assert all(jax.tree.leaves(equal))


def test_the_step_is_compiled_once(step):
    fresh = parallelize(make_train_step(MODEL, TX, classification()), donate=False)
    fit(start(), fresh, nets.Batches(), num_steps=8, hooks=hooks()[1])
    assert fresh.compiled._cache_size() == 1


def test_a_metric_that_is_not_there(step):
    plateau = ReduceOnPlateau(PlateauRule(metric="los"), 0.1)
    with pytest.raises(ValueError, match=r"watches 'los'.*Did you mean 'loss'\?"):
        fit(start(), step, nets.Batches(), num_steps=2, hooks=[Scores(), plateau])


def test_an_optimizer_without_a_factor():
    tx = make_optimizer("sgd", 0.1)
    plain = parallelize(make_train_step(MODEL, tx, classification()), donate=False)
    plateau = ReduceOnPlateau(PlateauRule(patience=0), 0.1)
    with pytest.raises(ValueError, match="no factor of the learning rate"):
        fit(start(tx), plain, nets.Batches(), num_steps=3, hooks=[Scores(), plateau])
