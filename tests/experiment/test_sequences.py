"""Sequences and volumes through all that images go through."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.data import TrainData, from_arrays
from jaxcnn.data.preprocess import PreprocessConfig, make_preprocess
from jaxcnn.experiment import DataConfig, ModelConfig, OptimizerConfig, train
from jaxcnn.models import Cnn
from jaxcnn.run import load_run
from jaxcnn.train import classification, init_state, make_eval_step, make_train_step
from tests.experiment.conftest import small


def waves(count, seed):
    """Slow and fast waves of two channels around 1000, `[count, 32, 2]`, and labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    phase = random.uniform(0, 2 * np.pi, (count, 1, 2))
    time = np.arange(32)[None, :, None]
    speed = np.where(labels, 1.5, 0.3)[:, None, None]
    return (1000 + 40 * np.sin(speed * time + phase)).astype(np.float32), labels


@pytest.mark.thorough
def test_a_run_on_sequences_from_a_file_to_predictions(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxcnn.plotting.learning_curves", lambda *args, **options: 0)
    values, labels = waves(200, 0)
    tests, test_labels = waves(64, 1)
    path = tmp_path / "waves.npz"
    arrays = {"train_images": values, "train_labels": labels, "rank": 1}
    arrays |= {"test_images": tests, "test_labels": test_labels}
    np.savez(path, **arrays, class_names=["slow", "fast"])
    config = small(
        tmp_path / "run",
        model=ModelConfig("cnn1d", {"features": [8], "norm": None}),
        data=DataConfig(f"npz:{path}", batch_size=32, eval_batch_size=64),
        optimizer=OptimizerConfig("adam", 0.02),
        steps=30,
        eval_every=30,
        save_every=30,
    )
    file = io.StringIO()
    result = train(config, file=file)
    assert "180 sequences, 30 steps" in file.getvalue()
    assert result.metrics["accuracy"] > 0.95
    run = load_run(tmp_path / "run")
    assert (run.config.image_shape, run.class_names) == ((32, 2), ("slow", "fast"))
    probabilities = run.predict(tests)
    assert probabilities.shape == (64, 2)
    accuracy = (probabilities.argmax(1) == test_labels).mean()
    assert accuracy == pytest.approx(result.metrics["accuracy"])
    with pytest.raises(ValueError, match=r"must be \['n', 32, 2\] with n"):
        run.predict(tests[..., None])
    with pytest.raises(ValueError, match="input holds NaN or infinity"):
        run.predict(np.full_like(tests, np.nan))
    again = train(dataclasses.replace(config, steps=30), file=file)
    assert again.step == 30  # the finished run is found, its results kept


def test_volumes_through_the_steps():
    random = np.random.default_rng(0)
    volumes = random.normal(0, 30, (8, 4, 6, 5, 2)).astype(np.float32)
    source = from_arrays(volumes, np.arange(8) % 2)
    data = TrainData(source, batch_size=4)
    assert data[0]["image"].shape == (4, 4, 6, 5, 2)
    preprocess = make_preprocess(PreprocessConfig(*source.channel_stats()))
    standard = preprocess(jnp.asarray(volumes))
    np.testing.assert_allclose(standard.mean((0, 1, 2, 3)), 0, atol=1e-5)
    model, tx, task = Cnn(rank=3, features=(4,)), optax.sgd(0.1), classification()
    state = jax.eval_shape(
        lambda: init_state(model, tx, jax.random.key(0), data[0]["image"])
    )
    step = make_train_step(model, tx, task, preprocess=preprocess)
    _, metrics = jax.eval_shape(step, state, data[0])
    evaluate = make_eval_step(model, task, preprocess=preprocess)
    batch = next(iter(data.eval_batches()))
    evaluated = jax.eval_shape(evaluate, state, batch)
    assert metrics.keys() == {"accuracy", "loss", "finite"} == {*evaluated, "finite"}


def test_a_size_is_for_images_alone():
    preprocess = make_preprocess(PreprocessConfig(size=(8, 8)))
    with pytest.raises(ValueError, match=r"size needs images .* got \[2, 9, 3\]"):
        preprocess(jnp.ones((2, 9, 3)))
