import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import jaxcnn
import tests.train.nets as nets
from jaxcnn.metrics import Mean
from jaxcnn.train import (
    Task,
    classification,
    init_state,
    make_eval_step,
    make_train_step,
    reconstruction,
)

SQUARES = Task(
    loss=lambda outputs, batch: (outputs[:, 0] - batch["label"]) ** 2,
    metrics=lambda outputs, batch: {},
)


def linear_state(tx, weights):
    state = init_state(
        nets.Linear(), tx, jax.random.key(0), jnp.zeros((1, len(weights), 1, 1))
    )
    kernel = jnp.asarray(weights, jnp.float32)[:, None]
    return state.replace(params={"head": {"kernel": kernel}})


def linear_batch(rows, labels, **more):
    images = jnp.asarray(rows, jnp.float32).reshape(len(rows), -1, 1, 1)
    return {"image": images, "label": jnp.asarray(labels, jnp.float32), **more}


def test_one_step_of_gradient_descent_by_hand():
    tx = optax.sgd(0.1)
    state = linear_state(tx, [1.0, 2.0])
    batch = linear_batch([[1.0, 0.0], [1.0, 1.0]], [0.0, 1.0])
    state, metrics = make_train_step(nets.Linear(), tx, SQUARES)(state, batch)
    # Outputs 1 and 3, errors 1 and 2: loss (1 + 4) / 2, gradient the mean of
    # 2 * 1 * [1, 0] and 2 * 2 * [1, 1], that is [3, 2].
    assert metrics["loss"].compute() == pytest.approx(2.5)
    np.testing.assert_allclose(
        state.params["head"]["kernel"][:, 0], [1 - 0.3, 2 - 0.2], rtol=1e-6
    )
    assert state.step == 1


def test_masked_rows_change_nothing():
    tx = optax.sgd(0.1)
    step = make_train_step(nets.Linear(), tx, SQUARES)
    rows, labels = [[1.0, 0.0], [1.0, 1.0]], [0.0, 1.0]
    plain, _ = step(linear_state(tx, [1.0, 2.0]), linear_batch(rows, labels))
    padded = linear_batch(
        [*rows, [9.0, 9.0]], [*labels, 5.0], mask=jnp.array([1.0, 1.0, 0.0])
    )
    masked, metrics = step(linear_state(tx, [1.0, 2.0]), padded)
    nets.assert_same(plain, masked)
    assert metrics["loss"].count == 2


def test_the_penalty_is_added_and_logged_apart():
    tx = optax.sgd(0.1)
    step = make_train_step(
        nets.Linear(),
        tx,
        SQUARES,
        penalty=lambda params: 0.5 * jnp.sum(params["head"]["kernel"] ** 2),
    )
    batch = linear_batch([[1.0, 0.0]], [1.0])  # no error: the penalty alone acts
    state, metrics = step(linear_state(tx, [1.0, 2.0]), batch)
    assert metrics["loss"].compute() == 0
    assert metrics["penalty"].compute() == pytest.approx(2.5)
    np.testing.assert_allclose(state.params["head"]["kernel"][:, 0], [0.9, 1.8])


@pytest.mark.parametrize(("label", "finite"), [(1.0, 1.0), (np.nan, 0.0), (1e30, 0.0)])
def test_the_finite_flag(label, finite):
    tx = optax.sgd(0.1)
    step = make_train_step(nets.Linear(), tx, SQUARES)
    _, metrics = step(linear_state(tx, [1.0]), linear_batch([[1.0]], [label]))
    assert metrics["finite"].compute() == finite


def test_integers_are_scaled_before_the_augmentation_and_floats_pass():
    seen = {}

    def augment(key, batch):
        seen.update(batch)
        return {**batch, "image": batch["image"] + 1}

    def preprocess(images):
        seen["preprocessed"] = images
        return images

    tx = optax.sgd(0.1)
    step = make_train_step(
        nets.Linear(), tx, SQUARES, augment=augment, preprocess=preprocess
    )
    images = np.array([0, 51, 255], np.uint8).reshape(3, 1, 1, 1)
    step(linear_state(tx, [1.0]), {"image": images, "label": np.zeros(3, np.float32)})
    np.testing.assert_allclose(seen["image"].ravel(), [0, 0.2, 1], rtol=1e-6)
    np.testing.assert_allclose(seen["preprocessed"].ravel(), [1, 1.2, 2], rtol=1e-6)
    np.testing.assert_array_equal(seen["position"], [0, 1, 2])
    np.testing.assert_array_equal(seen["mask"], [1, 1, 1])


def test_dropout_is_a_function_of_seed_and_step():
    model, tx = nets.ConvNet(dropout=0.5), optax.sgd(0.0)
    step = jax.jit(make_train_step(model, tx, classification()))
    state = init_state(model, tx, jax.random.key(0), nets.EXAMPLE)
    other = init_state(model, tx, jax.random.key(1), nets.EXAMPLE)
    batch = nets.batch_of(0)
    later = state.replace(step=state.step + 1)
    losses = [float(step(s, batch)[1]["loss"].total) for s in (state, state, later)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
    seeded = other.replace(params=state.params, model_state=state.model_state)
    assert float(step(seeded, batch)[1]["loss"].total) != losses[0]


def test_evaluation_changes_nothing_and_counts_each_example_once():
    model, tx = nets.ConvNet(dropout=0.5), optax.sgd(0.1)
    state = init_state(model, tx, jax.random.key(0), nets.EXAMPLE)
    step = jax.jit(make_eval_step(model, classification(top_k=2)))
    batch = nets.batch_of(0, 10)
    whole = step(state, batch)
    assert set(whole) == {"loss", "accuracy", "top_2"}
    padded = {k: np.concatenate([v, v[:6]]) for k, v in batch.items()}
    padded["mask"] = np.repeat([1.0, 0.0], [10, 6]).astype(np.float32)
    masked = step(state, padded)
    for name in whole:
        assert masked[name].count == 10
        np.testing.assert_allclose(masked[name].total, whole[name].total, rtol=1e-6)


class Odd(nn.Module):
    """Two inputs, two outputs, a collection of its own, a random stream of its own."""

    @nn.compact
    def __call__(self, image, extra, *, train=False):
        calls = self.variable("counters", "calls", lambda: jnp.zeros((), jnp.int32))
        if train:
            calls.value += 1
            image = image + jax.random.normal(self.make_rng("noise"), image.shape)
        x = jnp.concatenate([image.reshape(len(image), -1), extra], axis=-1)
        return {"class": nn.Dense(3, name="a")(x), "sum": nn.Dense(1, name="b")(x)}


def test_a_module_of_several_inputs_outputs_and_collections_trains():
    def loss(outputs, batch):
        one = optax.softmax_cross_entropy_with_integer_labels(
            outputs["class"], batch["label"]
        )
        return one + (outputs["sum"][:, 0] - batch["extra"].sum(-1)) ** 2

    task = Task(
        loss=loss,
        metrics=lambda outputs, batch: {
            "sum": Mean.of(outputs["sum"][:, 0], batch["mask"])
        },
        inputs=lambda batch: (batch["image"], batch["extra"]),
    )
    model, tx = Odd(), optax.adam(0.01)
    examples = (nets.EXAMPLE, jnp.zeros((1, 2)))
    state = init_state(model, tx, jax.random.key(0), examples)
    assert set(state.model_state) == {"counters"}
    step = jax.jit(make_train_step(model, tx, task))
    batch = {**nets.batch_of(0), "extra": np.ones((16, 2), np.float32)}
    losses = []
    for _ in range(30):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"].compute()))
    assert losses[-1] < losses[0] / 2
    assert state.model_state["counters"]["calls"] == 30


def test_reconstruction_aims_at_the_target_where_there_is_one():
    task = reconstruction()
    images = jnp.zeros((2, 4, 4, 1))
    batch = {"image": images, "mask": jnp.ones(2)}
    outputs = images + 0.1
    np.testing.assert_allclose(task.loss(outputs, batch), 0.01, rtol=1e-5)
    # 10 log10(1 / 0.01) dB
    assert task.metrics(outputs, batch)["psnr"].compute() == pytest.approx(20, abs=1e-3)
    np.testing.assert_allclose(
        task.loss(outputs, {**batch, "target": outputs}), 0, atol=1e-7
    )


class NoTrain(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x


@pytest.mark.parametrize(
    "make",
    [
        lambda m: make_train_step(m, optax.sgd(0.1), SQUARES),
        lambda m: make_eval_step(m, SQUARES),
        lambda m: init_state(m, optax.sgd(0.1), jax.random.key(0), nets.EXAMPLE),
    ],
)
def test_a_module_without_train_is_refused(make):
    with pytest.raises(ValueError, match=r"NoTrain.__call__ has no argument 'train'"):
        make(NoTrain())


def test_a_loss_that_is_not_per_example_is_refused():
    task = Task(lambda outputs, batch: jnp.mean(outputs), lambda outputs, batch: {})
    tx = optax.sgd(0.1)
    step = make_train_step(nets.Linear(), tx, task)
    with pytest.raises(ValueError, match=r"one value per example, \[1\], got \[\]"):
        step(linear_state(tx, [1.0]), linear_batch([[1.0]], [1.0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\), got 1.0"),
        ({"top_k": 0}, "top_k must be 1 or more, got 0"),
        ({"aux_weight": -0.1}, "aux_weight must be 0 or more, got -0.1"),
    ],
)
def test_bad_options_of_classification(options, message):
    with pytest.raises(ValueError, match=message):
        classification(**options)


def test_auxiliary_heads_count_in_the_loss_and_not_in_the_metrics():
    task = classification(aux_weight=0.4, top_k=2)
    # Two classes of equal logits have log(2), one a logit of 100 ahead nothing.
    even, right, wrong = jnp.zeros((1, 2)), jnp.array([[100.0, 0]]), [[0, 100.0]]
    batch = {"label": jnp.array([0]), "mask": jnp.ones(1)}
    outputs = {"logits": right, "aux": [even, jnp.array(wrong)]}
    loss = task.loss(outputs, batch)
    np.testing.assert_allclose(loss, [0.4 * (np.log(2) + 100)], rtol=1e-6)
    assert task.metrics(outputs, batch)["accuracy"].compute() == 1
    np.testing.assert_allclose(task.loss(right, batch), [0], atol=1e-6)


def test_outputs_that_are_no_logits_are_named():
    with pytest.raises(
        ValueError, match=r"got one of \['aux', 'logit'\].*mean 'logit'"
    ):
        classification().loss({"logit": 0, "aux": []}, {"label": jnp.array([0])})


class TwoHeads(nn.Module):
    """Logits, and in training auxiliary ones."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = x.reshape(len(x), -1)
        logits, aux = nn.Dense(3, name="head")(x), nn.Dense(3, name="aux")(x)
        return {"logits": logits, "aux": [aux]} if train else logits


@pytest.mark.thorough
def test_a_step_with_auxiliary_heads_trains_them():
    model, tx = TwoHeads(), optax.sgd(0.1)
    state = init_state(model, tx, jax.random.key(0), nets.EXAMPLE)
    batch = nets.batch_of(0)
    new, metrics = make_train_step(model, tx, classification())(state, batch)
    for head in ("head", "aux"):
        before, after = (s.params[head]["kernel"] for s in (state, new))
        assert not np.allclose(before, after)
    evaluated = make_eval_step(model, classification())(state, batch)
    assert evaluated["accuracy"].compute() == metrics["accuracy"].compute()
    assert evaluated["loss"].compute() < metrics["loss"].compute()


def test_images_of_other_channels_than_the_parameters_are_refused():
    model, tx = nets.ConvNet(), optax.sgd(0.1)
    state = init_state(model, tx, jax.random.key(0), nets.EXAMPLE)
    batch = nets.batch_of(0)
    batch["image"] = np.repeat(batch["image"], 3, axis=-1)
    for make in (
        lambda: make_train_step(model, tx, classification())(state, batch),
        lambda: make_eval_step(model, classification())(state, batch),
    ):
        with pytest.raises(
            ValueError, match=r"Input of shape \[16, 6, 6, 3\] does not fit .*ConvNet"
        ):
            make()


def test_a_shape_is_no_example():
    with pytest.raises(ValueError, match=r"example_images must be arrays .* got 1"):
        init_state(nets.Linear(), optax.sgd(0.1), jax.random.key(0), (1, 6, 6, 1))


class Growing(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        self.sow("seen", "mean", x.mean())
        return nn.Dense(3, name="head")(x.reshape(len(x), -1))


def test_collections_that_grow_are_refused():
    model, tx = Growing(), optax.sgd(0.1)
    state = init_state(model, tx, jax.random.key(0), nets.EXAMPLE)
    step = make_train_step(model, tx, classification())
    with pytest.raises(ValueError, match=r"collections must keep .*seen/mean/1"):
        step(state, nets.batch_of(0))


def test_an_untyped_key_is_refused():
    with pytest.raises(ValueError, match="key must be a typed key"):
        init_state(nets.Linear(), optax.sgd(0.1), jax.random.PRNGKey(0), nets.EXAMPLE)


@pytest.mark.parametrize(("scale", "finite"), [(1.0, 1.0), (1e25, 0.0)])
def test_an_optimizer_that_overflows_is_not_finite(scale, finite):
    """Adam's second moment is the first to: the parameters stop, and stay finite."""
    task = classification()
    loud = task._replace(loss=lambda *args: scale * task.loss(*args))
    model, tx = nets.Linear(3), optax.adam(1e-3)
    state = init_state(model, tx, jax.random.key(0), nets.EXAMPLE)
    step = jax.jit(make_train_step(model, tx, loud))
    state, metrics = step(state, nets.batch_of(0))
    assert np.isfinite(state.params["head"]["kernel"]).all()
    assert metrics["finite"].total == finite


def test_an_optimizer_may_start_with_infinity():
    tx = optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau())

    def update(grads, opt_state, params):
        return tx.update(grads, opt_state, params, value=jnp.float32(1))

    own = optax.GradientTransformation(tx.init, update)
    model = nets.Linear(3)
    state = init_state(model, own, jax.random.key(0), nets.EXAMPLE)
    assert not np.isfinite(jax.tree.leaves(state.opt_state)).all()
    _, metrics = jax.jit(make_train_step(model, own, classification()))(
        state, nets.batch_of(0)
    )
    assert metrics["finite"].total == 1


def traced(task, batch, model=None, state_of=None):
    """Traces a train step, which is when it finds what is wrong."""
    model, tx = model or nets.Linear(3), optax.sgd(0.1)
    state = init_state(state_of or model, tx, jax.random.key(0), nets.EXAMPLE)
    return jax.eval_shape(make_train_step(model, tx, task), state, batch)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "labels"}, r"no 'label', .*has \['image', 'labels', 'mask'\]. Did"),
        ({"image": "images"}, r"no 'image', .*Did you mean 'images'\?"),
    ],
)
def test_a_batch_without_what_the_task_needs(changes, message):
    batch = {changes.get(name, name): x for name, x in nets.batch_of(0).items()}
    with pytest.raises(ValueError, match=message):
        traced(classification(), batch)


def test_a_metric_that_is_no_mean():
    task = classification()._replace(metrics=lambda *args: {"score": jnp.float32(1)})
    with pytest.raises(ValueError, match=r"metric 'score' must be a jaxcnn\.metrics"):
        traced(task, nets.batch_of(0))


def test_a_state_of_another_model():
    with pytest.raises(ValueError, match="The state is not one of ConvNet: "):
        traced(classification(), nets.batch_of(0), nets.ConvNet(), nets.Linear(3))


def test_a_class_is_not_a_model():
    with pytest.raises(ValueError, match=r"must be a Linen module, .*nets\.Linear"):
        make_train_step(nets.Linear, optax.sgd(0.1), classification())


def test_the_state_is_the_one_that_model_init_makes():
    model, tx = jaxcnn.create_model("lenet5"), optax.sgd(0.1)
    key = jax.random.key(3)
    made = init_state(model, tx, key, jnp.zeros((1, 28, 28, 1)))
    params_key, _ = jax.random.split(jax.random.split(key)[0])
    init = jax.jit(functools.partial(model.init, train=False))
    wanted = init({"params": params_key}, jnp.zeros((1, 28, 28, 1)))
    chex.assert_trees_all_close(made.params, wanted["params"], atol=2e-7)
