import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.losses import margin_loss, softmax_cross_entropy


@pytest.mark.parametrize(
    ("logits", "label", "label_smoothing", "expected"),
    [
        ([0.0, 0.0, 0.0, 0.0], 2, 0.0, np.log(4)),
        ([0.0, 0.0, 0.0, 0.0], 2, 0.3, np.log(4)),
        # Probabilities 1/4 and 3/4.
        ([0.0, np.log(3)], 0, 0.0, np.log(4)),
        ([0.0, np.log(3)], 1, 0.0, np.log(4 / 3)),
        ([0.0, np.log(3)], 1, 0.2, 0.9 * np.log(4 / 3) + 0.1 * np.log(4)),
        ([1e4, 0.0], 1, 0.0, 1e4),
        ([1e4, 0.0], 0, 0.0, 0.0),
        ([-np.inf, 0.0, 0.0], 1, 0.0, np.log(2)),
        ([-np.inf, 0.0, 0.0], 0, 0.0, np.inf),
    ],
)
def test_value(logits, label, label_smoothing, expected):
    logits, labels = jnp.array([logits], jnp.float32), jnp.array([label])
    loss = softmax_cross_entropy(logits, labels, label_smoothing=label_smoothing)
    np.testing.assert_allclose(loss, [expected], rtol=1e-6)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.9])
def test_equals_optax(key, label_smoothing):
    logits = 5 * jax.random.normal(key, (32, 7))
    labels = jax.random.randint(jax.random.key(1), (32,), 0, 7)
    targets = optax.smooth_labels(jax.nn.one_hot(labels, 7), label_smoothing)

    def ours(logits):
        loss = softmax_cross_entropy(logits, labels, label_smoothing=label_smoothing)
        return loss.mean(), loss

    def theirs(logits):
        loss = optax.softmax_cross_entropy(logits, targets)
        return loss.mean(), loss

    got, loss = jax.jit(jax.grad(ours, has_aux=True))(logits)
    expected, reference = jax.jit(jax.grad(theirs, has_aux=True))(logits)
    np.testing.assert_allclose(loss, reference, rtol=1e-5)
    np.testing.assert_allclose(got, expected, atol=1e-7)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_computes_in_float32(dtype):
    logits = jnp.array([[200.0, 0.0, 199.0]], dtype)
    loss = softmax_cross_entropy(logits, jnp.array([0]))
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, [np.log1p(np.exp(-1.0))], rtol=1e-6)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_gradients_of_extreme_logits_are_finite(label_smoothing):
    logits = jnp.array([[1e4, -1e4, 0.0], [3e38, 0.0, -3e38]])

    def loss(logits):
        return softmax_cross_entropy(
            logits, jnp.array([1, 1]), label_smoothing=label_smoothing
        )[0]

    assert np.isfinite(jax.jit(jax.grad(loss))(logits)).all()


def test_labels_outside_the_classes_give_nan_and_no_gradient():
    labels = jnp.array([-1, 3, 0])
    loss = softmax_cross_entropy(jnp.zeros((3, 3)), labels)
    np.testing.assert_array_equal(jnp.isnan(loss), [True, True, False])

    def masked(logits):
        loss = softmax_cross_entropy(logits, labels)
        return jnp.where(jnp.isnan(loss), 0, loss).sum()

    gradient = jax.grad(masked)(jnp.zeros((3, 3)))
    np.testing.assert_allclose(gradient[:2], 0)
    np.testing.assert_allclose(gradient[2], [-2 / 3, 1 / 3, 1 / 3], rtol=1e-6)


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0, 1.5, float("nan")])
def test_refuses_label_smoothing(label_smoothing):
    with pytest.raises(ValueError, match=r"label_smoothing=.* is not in \[0, 1\)"):
        softmax_cross_entropy(
            jnp.zeros((2, 3)), jnp.array([0, 1]), label_smoothing=label_smoothing
        )


@pytest.mark.parametrize(
    ("logits", "labels", "dtype", "message"),
    [
        ((2, 3), (2, 1), "int32", r"logits \(2, 3\) and labels \(2, 1\) do not fit"),
        ((2, 3), (3,), "int32", r"logits \(2, 3\) and labels \(3,\) do not fit"),
        ((2, 4, 3), (2,), "int32", r"\[batch, classes\] and \[batch\] are needed"),
        ((2, 3), (2,), "float32", "labels must be integer class indices, not float32"),
    ],
)
def test_refuses(logits, labels, dtype, message):
    with pytest.raises(ValueError, match=message):
        softmax_cross_entropy(jnp.zeros(logits), jnp.zeros(labels, dtype))


def numpy_margin_loss(lengths, present):
    """Sabour et al. 2017, equation 4, class by class."""
    losses = []
    for row, there in zip(lengths, present, strict=True):
        total = 0.0
        for length, t in zip(row, there, strict=True):
            total += t * max(0, 0.9 - length) ** 2
            total += 0.5 * (1 - t) * max(0, length - 0.1) ** 2
        losses.append(total)
    return np.array(losses)


def test_margin_loss_is_the_equation_of_the_paper():
    random = np.random.default_rng(0)
    lengths = random.random((16, 5)).astype(np.float32)
    present = random.integers(0, 2, (16, 5))
    expected = numpy_margin_loss(lengths, present)
    np.testing.assert_allclose(margin_loss(lengths, present), expected, rtol=1e-5)
    found = margin_loss(lengths, present.astype(bool))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_margin_loss_takes_indices_as_one_class_each():
    lengths = np.random.default_rng(0).random((6, 4)).astype(np.float32)
    labels = np.array([0, 3, 1, 2, 2, 0])
    np.testing.assert_array_equal(
        margin_loss(lengths, labels), margin_loss(lengths, np.eye(4)[labels])
    )


def test_margin_loss_within_the_margins_is_zero():
    lengths = jnp.array([[0.9, 0.1, 0.0], [0.95, 0.95, 0.05]])
    present = jnp.array([[1, 0, 0], [1, 1, 0]])
    np.testing.assert_array_equal(margin_loss(lengths, present), [0, 0])


def test_margin_loss_takes_its_three_constants():
    loss = margin_loss(
        jnp.array([[0.2, 0.7]]), jnp.array([0]), upper=0.8, lower=0.3, absent_weight=2.0
    )
    np.testing.assert_allclose(loss, [0.6**2 + 2 * 0.4**2], rtol=1e-5)


def test_margin_loss_of_a_label_outside_the_classes_is_nan():
    loss = margin_loss(jnp.full((3, 4), 0.5), jnp.array([-1, 4, 0]))
    np.testing.assert_array_equal(np.isnan(loss), [True, True, False])


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (np.zeros((3,), int), {}, r"lengths \(2, 4\) and labels \(3,\) do not fit"),
        (np.zeros((2, 3), int), {}, r"lengths \(2, 4\) and labels \(2, 3\) do not"),
        (np.zeros(2), {}, "labels must be integer class indices, not float"),
        (np.zeros(2, int), {"lower": 0.95}, "lower <= upper is needed, got 0.95"),
        (np.zeros(2, int), {"lower": -0.1}, "0 <= lower <= upper is needed, got -0.1"),
        (np.zeros(2, int), {"absent_weight": -1}, "absent_weight=-1 must be 0 or more"),
    ],
)
def test_margin_loss_explains_bad_arguments(labels, options, message):
    with pytest.raises(ValueError, match=message):
        margin_loss(jnp.zeros((2, 4)), jnp.asarray(labels), **options)


@pytest.mark.parametrize(
    ("logits", "labels", "options", "expected"),
    [
        # Probabilities 1/4 and 3/4.
        ([0.0, np.log(3)], [0.5, 0.5], {}, (np.log(4) + np.log(4 / 3)) / 2),
        ([0.0, np.log(3)], [0.0, 1.0], {}, np.log(4 / 3)),
        ([-np.inf, 0.0], [0.0, 1.0], {}, 0.0),
        ([0.0, np.log(3)], 0, {"class_weights": [2.0, 5.0]}, 2 * np.log(4)),
        (
            [0.0, np.log(3)],
            0,
            {"class_weights": [2.0, 5.0], "label_smoothing": 0.2},
            0.9 * 2 * np.log(4) + 0.1 * 5 * np.log(4 / 3),
        ),
        (
            [0.0, np.log(3)],
            [0.5, 0.5],
            {"class_weights": [2.0, 0.0]},
            0.5 * 2 * np.log(4),
        ),
        ([0.0, -np.inf], 0, {"class_weights": [1.0, 0.0]}, 0.0),
    ],
)
def test_value_of_soft_labels_and_weights(logits, labels, options, expected):
    loss = softmax_cross_entropy(jnp.array([logits]), jnp.array([labels]), **options)
    np.testing.assert_allclose(loss, [expected], rtol=1e-6)


def scores(*shape):
    return 5 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_soft_labels_equal_optax():
    logits = scores(9, 7)
    labels = np.random.default_rng(1).dirichlet(np.ones(7), 9).astype(np.float32)
    got = softmax_cross_entropy(logits, labels)
    expected = optax.softmax_cross_entropy(logits, labels)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_soft_labels_that_are_one_hot_equal_hard_ones():
    logits, labels = scores(9, 7), np.arange(9) % 7
    options = {"label_smoothing": 0.1, "class_weights": np.arange(7.0)}
    loss = jax.jit(lambda *pair: softmax_cross_entropy(*pair, **options))
    hard, soft = loss(logits, labels), loss(logits, np.eye(7, dtype="f")[labels])
    np.testing.assert_allclose(soft, hard, rtol=1e-6)


def test_refuses_soft_labels_of_integers():
    with pytest.raises(ValueError, match=r"soft labels .* must be floats, not int32"):
        softmax_cross_entropy(jnp.zeros((2, 3)), jnp.zeros((2, 3), jnp.int32))
