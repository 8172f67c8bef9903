"""The races against the clock: their pieces by definition, and a race of a moment."""

import dataclasses
import importlib.util
import itertools
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.experiment import speedrun
from jaxcnn.train import TrainState
from jaxcnn.tree import count_params, flatten_named

FOLDER = Path(__file__).parents[2] / "experiments"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


cifar = load("cifar10_speedrun")
mnist = load("mnist_speedrun")


def images_of(count, size=32, channels=3):
    """Returns smooth random images, uint8: neighbours are alike, as in photos."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (count, size // 4, size // 4, channels))
    return coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)


def examples(count, size=32, channels=3):
    labels = np.arange(count, dtype=np.int32) % 10
    return {"image": images_of(count, size, channels), "label": labels}


def test_the_first_convolution_whitens_patches():
    images = cifar.normalize(images_of(64).astype(np.float32) / 255)
    kernel = np.asarray(cifar.whitening_kernel(images, eps=1e-9), np.float64)
    assert kernel.shape == (2, 2, 3, 24)
    windows = np.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(1, 2))
    patches = np.moveaxis(windows, 3, -1).reshape(-1, 12).astype(np.float64)
    out = patches @ kernel.reshape(12, 24)
    np.testing.assert_allclose(out[:, :12], -out[:, 12:], atol=1e-9)
    moments = out[:, :12].T @ out[:, :12] / len(out)
    np.testing.assert_allclose(moments, np.eye(12), atol=2e-3)


def test_whitening_damps_directions_without_variance():
    kernel = np.asarray(cifar.whitening_kernel(jnp.full((2, 4, 4, 3), 0.5), eps=0.25))
    # Constant patches vary along one direction only: 12 * 0.5^2 = 3 there, 0 elsewhere.
    lengths = np.linalg.norm(kernel.reshape(12, 24), axis=0)[:12]
    np.testing.assert_allclose(
        np.sort(lengths), [(3.25) ** -0.5] + [2.0] * 11, rtol=1e-4
    )


@pytest.mark.thorough
def test_a_dirac_kernel_gives_its_inputs_first():
    kernel = cifar.dirac(jax.random.key(0), (3, 3, 4, 6))
    x = jax.random.normal(jax.random.key(1), (1, 5, 5, 4))
    y = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_array_equal(y[..., :4], x)
    drawn = np.asarray(kernel[..., 4:])
    assert 0.9 / 6 < abs(drawn).max() <= 1 / 6  # uniform within 1/sqrt(9 * 4)
    narrow = cifar.dirac(jax.random.key(0), (3, 3, 4, 2))
    np.testing.assert_array_equal(narrow[1, 1], np.eye(4, 2))
    assert np.asarray(narrow).sum() == 2


@pytest.mark.thorough
@pytest.mark.parametrize("shape", [(6, 40), (40, 6)])
def test_muons_matrices_have_singular_values_near_one(shape):
    values = jnp.linspace(0.2, 1, 6)
    u, _, vt = jnp.linalg.svd(
        jax.random.normal(jax.random.key(0), shape), full_matrices=False
    )
    found = cifar.orthogonal((u * values.reshape(1, -1)) @ vt, steps=5)
    after = np.linalg.svd(np.asarray(found, np.float64), compute_uv=False)
    assert after.min() > 0.5
    assert after.max() < 1.5
    # The singular vectors stay.
    mixed = np.asarray(u.T @ found @ vt.T)
    np.testing.assert_allclose(mixed, np.diag(np.diag(mixed)), atol=0.05)


@pytest.mark.thorough
def test_muon_sets_the_length_of_a_kernel_and_moves_it_by_the_rate():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 4, 8))
    gradient = jax.random.normal(jax.random.key(1), kernel.shape)
    tx = cifar.normalized_muon(lambda step: 0.1 * (step + 1), 0.6)
    update, state = tx.update(gradient, tx.init(kernel), kernel)
    length = kernel * 8**0.5 / jnp.linalg.norm(kernel)
    change = cifar.orthogonal(gradient.reshape(-1, 8) * 1.6).reshape(kernel.shape)
    np.testing.assert_allclose(kernel + update, length - 0.1 * change, atol=1e-5)
    again, _ = tx.update(gradient, state, kernel)
    np.testing.assert_allclose(kernel + again, length - 0.2 * change, atol=2e-2)


@pytest.mark.thorough
def test_shifts_mirror_the_border_and_differ_by_image():
    image = jnp.arange(16.0).reshape(1, 4, 4, 1)
    batch = {"image": jnp.tile(image, (64, 1, 1, 1))}
    found = np.asarray(cifar.reflect_shift(1)(jax.random.key(0), batch)["image"])
    padded = np.pad(np.asarray(image[0]), ((1, 1), (1, 1), (0, 0)), "reflect")
    allowed = {
        padded[y : y + 4, x : x + 4].tobytes() for y in range(3) for x in range(3)
    }
    assert {moved.tobytes() for moved in found} == allowed


def test_the_test_sees_six_views():
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    parts, weights = cifar.views(images)
    assert (len(parts), sum(weights)) == (6, 1.0)
    np.testing.assert_array_equal(parts[0], images)
    np.testing.assert_array_equal(parts[1][:, 1:, 1:], images[:, :-1, :-1])
    np.testing.assert_array_equal(parts[2][:, :-1, :-1], images[:, 1:, 1:])
    np.testing.assert_array_equal(parts[3], images[:, :, ::-1])


def test_the_net_is_airbenchs():
    shapes = jax.eval_shape(
        cifar.SpeedNet().init, jax.random.key(0), jnp.zeros((1, 32, 32, 3))
    )
    widths = (24, 64, 256, 256)
    filters = sum(9 * (a * b + b * b) for a, b in itertools.pairwise(widths))
    norms = 2 * sum(widths[1:])
    whitening, head = 2 * 2 * 3 * 24 + 24, 256 * 10
    assert count_params(shapes["params"]) == whitening + filters + norms + head


@pytest.mark.parametrize("name", cifar.RECIPES)
def test_every_parameter_has_a_rate_but_the_whitening_kernel(name):
    recipe = dataclasses.replace(cifar.RECIPES[name], widths=(2, 2, 2))
    net = cifar.SpeedNet(recipe.widths)
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    params = jax.tree.map(lambda s: jnp.ones(s.shape), shapes["params"])
    tx = cifar.make_optimizer(recipe, steps=20, per_epoch=5)
    jax.eval_shape(lambda p: tx.update(p, tx.init(p), p), params)
    kinds = flatten_named(cifar.labels(params))
    assert kinds["whiten/kernel"] == "frozen"
    assert kinds["group0_norm1/bias"] == "norms"
    assert set(kinds.values()) == {"frozen", "whiten", "norms", "head", "filters"}


@pytest.mark.thorough
def test_the_bias_of_the_whitening_stops_early():
    recipe = dataclasses.replace(cifar.RECIPES["nesterov"], batch_size=10)
    params = {"whiten": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}}
    params |= {"group0_norm1": {"bias": jnp.ones(2)}, "head": {"kernel": jnp.ones(2)}}
    tx = cifar.make_optimizer(recipe, steps=20, per_epoch=2)
    state, moved = tx.init(params), []
    for _ in range(8):
        updates, state = tx.update(params, state, params)
        moved.append({k: float(v[0]) for k, v in flatten_named(updates).items()})
    assert all(each["whiten/kernel"] == 0 for each in moved)
    assert [each["whiten/bias"] != 0 for each in moved] == [True] * 6 + [False] * 2
    # The rate of a norm's bias is 64 times the head's; its decay is not.
    rate, decay = 11.5 / (1024 * (1 + 1 / 0.15)), 0.0153 * 10 / (1024 * (1 + 1 / 0.15))
    for name, times in (("head/kernel", 1), ("group0_norm1/bias", 64)):
        first = -0.2 * times * rate * 1.85 * (10 + decay / (times * rate))
        assert moved[0][name] == pytest.approx(first, rel=1e-5)


def test_lookahead_sets_the_weights_back_to_their_average():
    def step(state, batch):
        params = {"w": state.params["w"] + 1}
        return state.replace(params=params, step=state.step + 1), {}

    state = TrainState(
        step=jnp.int32(0),
        params={"w": jnp.float32(0)},
        model_state={},
        opt_state=(),
        rng=jax.random.key(0),
        extras={"slow": ({"w": jnp.float32(0)}, {})},
    )
    run = cifar.with_lookahead(step, steps=24, per_epoch=4)
    weight, slow = 0.0, None
    for count in range(1, 25):
        state, _ = run(state, {})
        weight += 1
        if count > 12 and count % 5 == 0:
            if slow is None:
                slow = weight
            else:
                rho = 0.95**5 * (count / 24) ** 3
                slow = weight = rho * slow + (1 - rho) * weight
        if slow is not None and count % 4 == 0:
            weight = slow
        assert float(state.params["w"]) == pytest.approx(weight, rel=1e-6), count


def tiny(**changes):
    recipe = dataclasses.replace(
        cifar.RECIPES["small"], epochs=1.5, batch_size=8, widths=(2, 2, 2), **changes
    )
    return cifar.make_run(recipe, 16, eval_batch_size=10)


@pytest.mark.thorough
@pytest.mark.parametrize("optimizer", ["muon", "nesterov"])
def test_one_program_and_its_pieces_give_the_same(optimizer):
    run, train, test = tiny(optimizer=optimizer), examples(16), examples(20)
    found = []
    for loop in ("scan", "unroll"):
        call = speedrun.compiled_run(run, train, test, loop=loop)
        found.append([float(call(seed, train, test)) for seed in (0, 1)])
    assert found[0] == found[1]
    assert run.num_steps == 3


@pytest.mark.thorough
def test_a_race_tells_every_seed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", "cpu", "--seeds", "2", "--epochs", "1.5"])
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--json", str(tmp_path / "r.json")])
    small = dataclasses.replace(mnist.RECIPES["cpu"], batch_size=8, widths=(2, 2, 2))
    parts = [examples(32, 28, 1), examples(20, 28, 1)]
    with pytest.raises(SystemExit) as ended:
        speedrun.main(
            mnist.__doc__,
            {"cpu": small},
            lambda recipe, count: mnist.make_run(recipe, count, eval_batch_size=10),
            lambda folder: parts,
        )
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("compiled in")
    assert lines[1].startswith("seed 0: ")
    assert "n = 2, on cpu" in lines[-1]
    values = json.loads((tmp_path / "r.json").read_text())
    assert [r["seed"] for r in values["runs"]] == [0, 1]
    assert values["recipe"]["epochs"] == "1.5"


def test_orders_cover_whole_epochs_and_a_part():
    run = dataclasses.replace(tiny(), num_steps=5, batch_size=4)
    rows = speedrun.orders(run, 11, jax.random.key(0))
    assert rows["index"].shape == (5, 4)
    assert rows["epoch"].tolist() == [0, 0, 1, 1, 2]
    first = np.asarray(rows["index"][:2]).ravel()
    assert len(set(first)) == 8


def test_what_a_race_cannot_do_is_refused(monkeypatch, capsys):
    with pytest.raises(ValueError, match=r"eval_batch_size is 10, .* the 16 test"):
        speedrun._batches(tiny(), examples(16))
    monkeypatch.setattr(sys, "argv", ["x", "--seeds", "0"])
    with pytest.raises(SystemExit) as ended:
        speedrun.main("", mnist.RECIPES, mnist.make_run, lambda folder: [])
    assert ended.value.code == 2
    assert "--seeds must be above 0, got 0" in capsys.readouterr().err


@pytest.mark.parity
def test_momentum_and_decay_are_those_of_pytorch():
    import torch

    random = np.random.default_rng(0)
    start, gradients = random.normal(size=7), random.normal(size=(4, 7))
    weights = torch.nn.Parameter(torch.tensor(start))
    theirs = torch.optim.SGD(
        [weights], lr=0.3, momentum=0.85, nesterov=True, weight_decay=0.02 / 0.3
    )
    tx = cifar.nesterov(0.3, 0.02, optax.constant_schedule(1.0))
    ours = jnp.asarray(start)
    state = tx.init(ours)
    for gradient in gradients:
        weights.grad = torch.tensor(gradient)
        theirs.step()
        update, state = tx.update(jnp.asarray(gradient), state, ours)
        ours = ours + update
        np.testing.assert_allclose(ours, weights.detach(), atol=1e-5)


@pytest.mark.parity
def test_dirac_is_that_of_pytorch():
    import torch

    theirs = torch.nn.init.dirac_(torch.zeros(4, 4, 3, 3)).permute(2, 3, 1, 0)
    ours = cifar.dirac(jax.random.key(0), (3, 3, 4, 6))[..., :4]
    np.testing.assert_array_equal(ours, theirs)
