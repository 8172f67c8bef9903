"""Optimizers, schedules and reduce on plateau against PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.optim import PlateauProgress, PlateauRule, make_optimizer, make_schedule

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

# Our name and options, PyTorch's class and options. PyTorch's NAdam warms its momentum
# up unless momentum_decay is large; its RMSprop has eps outside the root.
OPTIMIZERS = {
    "sgd": ({}, "SGD", {}),
    "sgd, coupled decay": ({"weight_decay": 0.1}, "SGD", {"weight_decay": 0.1}),
    "momentum": ({"momentum": 0.8}, "SGD", {"momentum": 0.8}),
    "nesterov": ({"momentum": 0.8}, "SGD", {"momentum": 0.8, "nesterov": True}),
    "adagrad": ({}, "Adagrad", {}),
    "adadelta": ({}, "Adadelta", {}),
    "rmsprop": (
        {"decay_rate": 0.99, "eps_in_sqrt": False},
        "RMSprop",
        {"alpha": 0.99, "eps": 1e-8},
    ),
    "rmsprop, momentum": (
        {"decay_rate": 0.99, "eps_in_sqrt": False, "momentum": 0.5},
        "RMSprop",
        {"momentum": 0.5},
    ),
    "adam": ({}, "Adam", {}),
    "adam, coupled decay": ({"weight_decay": 0.1}, "Adam", {"weight_decay": 0.1}),
    "adamw": ({"weight_decay": 0.1}, "AdamW", {"weight_decay": 0.1}),
    "nadam": ({}, "NAdam", {"momentum_decay": 1e6}),
    "radam": ({"b2": 0.9}, "RAdam", {"betas": (0.9, 0.9)}),
}


def gradients(params, step):
    return np.cos(3 * params + step).astype(np.float32) + np.float32(0.1)


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_ten_steps(case):
    ours, kind, theirs = OPTIMIZERS[case]
    start = np.linspace(-2, 2, 12, dtype=np.float32)
    weights = torch.nn.Parameter(torch.tensor(start.copy()))
    optimizer = getattr(torch.optim, kind)([weights], lr=0.05, **theirs)
    tx = make_optimizer(case.split(",")[0], 0.05, decay_mask="", **ours)
    params = {"kernel": jnp.asarray(start)}
    state = tx.init(params)
    for step in range(10):
        weights.grad = torch.tensor(gradients(weights.detach().numpy(), step))
        optimizer.step()
        grads = {"kernel": jnp.asarray(gradients(np.asarray(params["kernel"]), step))}
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(
            params["kernel"], weights.detach().numpy(), rtol=2e-5, atol=2e-6
        )
    assert np.abs(np.asarray(params["kernel"]) - start).max() > 1e-4


def scheduled(make, steps, rate=1.0):
    weights = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weights], lr=rate)
    scheduler, rates = make(torch.optim.lr_scheduler, optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


STEPS = 40
SCHEDULES = {
    "constant": ({}, lambda s, o: s.LambdaLR(o, lambda _: 1.0)),
    "linear": (
        {"final_factor": 0.2},
        lambda s, o: s.LinearLR(o, 1.0, 0.2, total_iters=STEPS),
    ),
    "step": ({"every": 7, "factor": 0.5}, lambda s, o: s.StepLR(o, 7, 0.5)),
    "multistep": (
        {"boundaries": [10, 25], "factor": 0.3},
        lambda s, o: s.MultiStepLR(o, [10, 25], 0.3),
    ),
    "exponential": ({"factor": 0.9}, lambda s, o: s.ExponentialLR(o, 0.9)),
    "polynomial": (
        {"power": 1.7},
        lambda s, o: s.PolynomialLR(o, total_iters=STEPS, power=1.7),
    ),
    "cosine": (
        {"final_factor": 0.1},
        lambda s, o: s.CosineAnnealingLR(o, STEPS, eta_min=0.1),
    ),
    "cosine_restarts": (
        {"period": 6, "multiplier": 2, "final_factor": 0.1},
        lambda s, o: s.CosineAnnealingWarmRestarts(o, 6, 2, eta_min=0.1),
    ),
    # PyTorch counts to total_steps - 1, and puts the peak a step before its share.
    "one_cycle": (
        {},
        lambda s, o: s.OneCycleLR(
            o, 1.0, total_steps=STEPS + 1, pct_start=13 / 41, cycle_momentum=False
        ),
    ),
    "cosine after a warm-up": (
        {"warmup_steps": 4},
        lambda s, o: s.SequentialLR(
            o,
            [s.LinearLR(o, 1 / 5, total_iters=4), s.CosineAnnealingLR(o, STEPS - 4)],
            milestones=[4],
        ),
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", SCHEDULES)
def test_schedules(case):
    options, make = SCHEDULES[case]
    schedule = make_schedule(case.split()[0], 1.0, STEPS, **options)
    ours = jax.vmap(schedule)(jnp.arange(STEPS))
    np.testing.assert_allclose(ours, scheduled(make, STEPS), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patience": 2, "factor": 0.5},
        {"patience": 1, "threshold": 0.05, "cooldown": 2},
        {"patience": 0, "threshold": 0.02, "threshold_mode": "abs", "min_lr": 0.01},
        {"mode": "max", "patience": 1, "threshold": 0.01, "factor": 0.7},
        {"mode": "max", "patience": 3, "threshold_mode": "abs", "cooldown": 1},
        {"patience": 0, "eps": 0.01, "factor": 0.6},
    ],
)
def test_reduce_on_plateau(options):
    values = np.random.default_rng(0).normal(1, 0.1, 60) + np.linspace(0.6, 0, 60)
    values[[7, 30]] = np.nan
    weights = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weights], lr=0.3)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    rule, progress, seen = PlateauRule(**options), PlateauProgress(0.3), set()
    for value in values:
        scheduler.step(float(value))
        progress = rule.after(progress, float(value))
        assert progress.rate == optimizer.param_groups[0]["lr"]
        seen.add(progress.rate)
    assert len(seen) > 1
