import dataclasses
import io
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcnn.checkpoint import Checkpoints
from jaxcnn.data import load_source
from jaxcnn.experiment import (
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    train,
    training,
)
from jaxcnn.experiment.measure import measure_run
from jaxcnn.lock import RunLock
from jaxcnn.run import RunConfig, load_run
from jaxcnn.train import Hook, read_metrics
from tests.experiment.conftest import small
from tests.train.nets import assert_same


@pytest.fixture
def copied(finished, tmp_path):
    """Returns the folder of a finished run that a test may change."""
    directory = tmp_path / "run"
    shutil.copytree(finished[0].directory, directory)
    return directory


def quietly(config, *, pictures=False):
    """Trains without a word, and without pictures, which take most of the time."""
    file = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        if not pictures:
            patch.setattr(training, "draw_results", lambda *args: None)
            patch.setattr("jaxcnn.plotting.learning_curves", lambda *a, **o: None)
        return train(config, file=file), file.getvalue()


def test_a_finished_run_leaves_all_that_its_use_needs(finished):
    result, printed = finished
    folder = Path(result.directory)
    assert result.complete
    assert result.step == 12
    assert result.split == "test"
    assert "cnn on digits" in printed
    for name in ("config.json", "curves.png", "predictions.png", "results.json"):
        assert (folder / name).stat().st_size > 0
    splits = {r["split"] for r in read_metrics(folder / "metrics")}
    assert splits == {"train", "validation"}  # the test part is measured once, after it
    results = json.loads((folder / "results.json").read_text())
    assert results["metrics"] == result.metrics
    assert results["versions"]["jax"] == jax.__version__


def test_predictions_agree_with_the_evaluation(finished):
    result, _ = finished
    run = load_run(result.directory)
    test = load_source("digits", "test[:100]")
    predicted = run.predict(test.images, batch_size=30).argmax(axis=1)
    assert np.mean(predicted == test.labels) == pytest.approx(
        result.metrics["accuracy"]
    )
    floats = run.predict(test.images[:5] / np.float32(255))
    np.testing.assert_allclose(floats, run.predict(test.images[:5]), atol=1e-6)


def test_the_best_on_validation_is_what_is_used(finished):
    result, _ = finished
    records = read_metrics(Path(result.directory) / "metrics")
    scores = {r["step"]: r["accuracy"] for r in records if r["split"] == "validation"}
    best = max(scores, key=lambda step: (scores[step], -step))
    assert load_run(result.directory).step == result.tested_step == best
    assert load_run(result.directory, step="latest").step == 12


def test_measuring_a_run_again_gives_its_result(finished):
    result, _ = finished
    step, metrics = measure_run(result.directory, "test[:100]")
    assert step == result.tested_step
    assert metrics == pytest.approx(result.metrics, rel=1e-5)


def test_the_same_command_again_does_nothing_twice(copied, monkeypatch):
    def never(*args):
        raise AssertionError("the test part was measured twice")

    monkeypatch.setattr("jaxcnn.experiment.training.evaluate", never)
    result, printed = quietly(small(copied))
    assert "from step 12 of 12" in printed
    assert result.metrics["accuracy"] > 0


def test_a_longer_run_goes_on(copied):
    result, printed = quietly(small(copied, steps=15))
    assert "from step 12 of 15" in printed
    assert result.step == 15


@pytest.mark.thorough
def test_a_time_limit_leaves_a_run_to_go_on_with(tmp_path):
    config = small(tmp_path / "run", time_limit=1e-6)
    result, _ = quietly(config)
    assert not result.complete
    assert result.metrics == {}
    assert result.stop_reason == "time limit of 1e-06 s"
    result, printed = quietly(dataclasses.replace(config, time_limit=None))
    assert "from step 1 of 12" in printed
    assert result.complete


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": ModelConfig("cnn", args={"features": [4, 16], "norm": "batch"})},
            r"model.args: was .*4, 8.*now .*4, 16",
        ),
        ({"seed": 1}, "seed: was 0, now 1"),
        (
            {"optimizer": OptimizerConfig("adam", 0.1)},
            "learning_rate: was 0.005, now 0.1",
        ),
        (
            {"data": DataConfig("digits", batch_size=16)},
            "data.batch_size: was 32, now 16",
        ),
    ],
)
def test_a_run_does_not_go_on_under_other_settings(finished, changes, message):
    with pytest.raises(ValueError, match=message):
        quietly(small(finished[0].directory, **changes))


def test_a_run_does_not_go_on_with_other_data(copied):
    config = json.loads((copied / "config.json").read_text())
    config["data"]["fingerprint"] = "another"
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"data: was .*'another'.*now "):
        quietly(small(copied))


def test_a_run_from_before_a_field_existed_goes_on(copied):
    config = json.loads((copied / "config.json").read_text())
    del config["experiment"]["min_delta"]
    (copied / "config.json").write_text(json.dumps(config))
    result, _ = quietly(small(copied))
    assert result.complete


@pytest.mark.thorough
def test_the_length_matters_under_a_schedule(tmp_path):
    optimizer = OptimizerConfig("adam", 5e-3, schedule="cosine")
    config = small(tmp_path / "run", optimizer=optimizer, steps=2)
    quietly(config)
    with pytest.raises(ValueError, match="the length, which the schedule 'cosine'"):
        quietly(dataclasses.replace(config, steps=3))


@pytest.mark.thorough
def test_a_warm_up_that_was_cut_short_cannot_grow_later(tmp_path):
    optimizer = OptimizerConfig("adam", 5e-3, warmup_epochs=0.5)  # 4 of 7 steps
    config = small(tmp_path / "run", optimizer=optimizer, steps=4)
    quietly(config)
    with pytest.raises(ValueError, match=r"the warm-up, .*was 2 steps, now 3"):
        quietly(dataclasses.replace(config, steps=6))
    # Four steps have room in both of these.
    config = dataclasses.replace(config, run=str(tmp_path / "longer"), steps=8)
    quietly(config)
    assert quietly(dataclasses.replace(config, steps=9))[0].step == 9


@pytest.mark.thorough
@pytest.mark.parametrize("text", ['{"split": "te', "[]", "{}"])
def test_damaged_results_are_made_again(copied, text):
    before = json.loads((copied / "results.json").read_text())
    (copied / "results.json").write_text(text)
    result, _ = quietly(small(copied))
    assert result.metrics == pytest.approx(before["metrics"])
    assert json.loads((copied / "results.json").read_text())["metrics"]


def test_checkpoints_without_a_config_are_not_gone_on_with(copied):
    (copied / "config.json").unlink()
    with pytest.raises(ValueError, match=r"holds checkpoints but no config\.json"):
        quietly(small(copied))
    with pytest.raises(ValueError, match="add --overwrite"):
        quietly(small(copied, fresh=True))


def test_fresh_deletes_a_run_only_when_told_twice(copied):
    with pytest.raises(ValueError, match="add --overwrite"):
        quietly(small(copied, fresh=True))
    assert (copied / "config.json").exists()
    (copied / "notes.txt").write_text("mine")
    result, printed = quietly(small(copied, fresh=True, overwrite=True, steps=2))
    assert "from the start" in printed
    assert result.step == 2
    assert (copied / "notes.txt").read_text() == "mine"


@pytest.mark.thorough
def test_fresh_in_an_empty_folder_needs_no_more(tmp_path):
    result, _ = quietly(small(tmp_path / "run", fresh=True, steps=1))
    assert result.step == 1


@pytest.mark.thorough
def test_early_stopping_ends_with_the_best(tmp_path):
    config = small(tmp_path / "run", patience=1, eval_every=4, steps=400)
    result, _ = quietly(config)
    assert result.complete
    assert "early stopping" in result.stop_reason
    assert result.step < 400
    best = load_run(result.directory)
    for one, two in zip(
        jax.tree.leaves(result.state.params),
        jax.tree.leaves(best.variables["params"]),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)
    again, _ = quietly(config)
    assert again.step == result.step


class AbortAtEnd(Hook):
    def on_end(self, loop):
        raise KeyboardInterrupt


@pytest.mark.thorough
def test_early_stopping_killed_after_its_last_save_loses_no_record(
    tmp_path, monkeypatch
):
    config = small(
        tmp_path / "whole", patience=1, eval_every=4, log_every=1000, steps=400
    )
    quietly(config)
    broken = dataclasses.replace(config, run=str(tmp_path / "broken"))
    plain = training._hooks
    with monkeypatch.context() as patch:
        patch.setattr(training, "_hooks", lambda *args: [AbortAtEnd(), *plain(*args)])
        with pytest.raises(KeyboardInterrupt):
            quietly(broken)
    assert quietly(broken)[0].complete
    ends = [
        [(r["step"], r["split"]) for r in read_metrics(tmp_path / name / "metrics")]
        for name in ("whole", "broken")
    ]
    assert ends[0] == ends[1]
    assert ends[0][-1][1] == "train"


@pytest.mark.parametrize("parallel", ["mesh", "pmap"])
@pytest.mark.thorough
def test_all_devices_give_the_same_run(finished, tmp_path, parallel):
    result, printed = quietly(small(tmp_path / "run", parallel=parallel))
    assert "8 cpu device(s)" in printed
    losses = [
        [r["loss"] for r in read_metrics(Path(d) / "metrics") if r["split"] == "train"]
        for d in (finished[0].directory, result.directory)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


@pytest.mark.thorough
def test_a_run_continues_on_another_number_of_devices(copied):
    result, _ = quietly(small(copied, steps=14, parallel="mesh"))
    assert result.step == 14


@pytest.mark.thorough
@pytest.mark.parametrize(
    "precision", ["bfloat16", pytest.param("float16", marks=pytest.mark.thorough)]
)
def test_half_precision_computes_in_it_and_keeps_float32(tmp_path, precision):
    result, _ = quietly(small(tmp_path / "run", precision=precision, steps=2))
    run = load_run(result.directory)
    assert run.model.dtype == jax.numpy.dtype(precision)
    kinds = {leaf.dtype.name for leaf in jax.tree.leaves(run.variables)}
    assert kinds == {"float32"}
    assert np.isfinite(run.predict(np.zeros((1, 28, 28, 1), np.uint8))).all()
    assert ("loss_scale" in result.state.extras) == (precision == "float16")


@pytest.mark.thorough
def test_float16_learns_and_resumes_exactly(tmp_path):
    data = DataConfig(
        "digits", test_split="", validation=0.2, batch_size=32, eval_batch_size=64
    )
    half = {"precision": "float16", "accumulate": 2, "data": data, "log_every": 60}
    half |= {"eval_every": 120, "save_every": 60}
    whole, _ = quietly(small(tmp_path / "whole", steps=120, **half))
    assert whole.metrics["accuracy"] > 0.9
    quietly(small(tmp_path / "run", steps=60, **half))
    resumed, _ = quietly(small(tmp_path / "run", steps=120, **half))
    assert_same(whole.state, resumed.state)
    records = read_metrics(tmp_path / "run" / "metrics")
    scales = [r["loss_scale"] for r in records if r["split"] == "train"]
    assert scales == [2**15] * 2
    assert sum(r["skipped"] for r in records if r["split"] == "train") == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": "bfloat16"}, "precision: was 'float32', now 'bfloat16'"),
        ({"accumulate": 2}, "accumulate: was 1, now 2"),
    ],
)
def test_a_run_goes_on_with_its_own_precision_and_accumulation(copied, change, message):
    with pytest.raises(ValueError, match=message):
        quietly(small(copied, **change))


@pytest.mark.thorough
def test_a_run_from_before_precision_goes_on(copied):
    path = copied / "config.json"
    values = json.loads(path.read_text())
    assert values["experiment"].pop("precision") == "float32"
    del values["experiment"]["accumulate"]
    values["experiment"]["bfloat16"] = False
    path.write_text(json.dumps(values))
    assert quietly(small(copied))[0].complete
    values["experiment"]["bfloat16"] = True
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match="precision: was 'bfloat16', now 'float32'"):
        quietly(small(copied))


@pytest.mark.thorough
def test_denoising_draws_what_it_cleaned(tmp_path):
    config = small(
        tmp_path / "run",
        task="reconstruction",
        model=ModelConfig("denoising_autoencoder", args={"features": [4, 8]}),
        steps=2,
    )
    data = dataclasses.replace(config.data, noise=0.5, standardize=False)
    result, _ = quietly(dataclasses.replace(config, data=data), pictures=True)
    assert set(result.metrics) == {"loss", "psnr"}
    assert (Path(result.directory) / "reconstructions.png").exists()


@pytest.mark.thorough
def test_a_capsule_network_trains_and_names_classes(tmp_path):
    args = {"features": 4, "kernel_size": 5, "primary_capsules": 2, "primary_dims": 4}
    args |= {"capsule_dims": 4, "decoder_hidden": [8]}
    config = small(
        tmp_path / "run",
        task="capsules",
        model=ModelConfig("capsnet", args=args),
        steps=2,
    )
    data = dataclasses.replace(config.data, standardize=False)
    result, _ = quietly(dataclasses.replace(config, data=data), pictures=True)
    assert set(result.metrics) == {"accuracy", "loss", "margin_loss", "squared_error"}
    assert (Path(result.directory) / "predictions.png").exists()
    run = load_run(result.directory)
    lengths = run.predict(np.zeros((1, 28, 28, 1), np.uint8))
    assert lengths.shape == (1, 10)
    assert RunConfig.load(result.directory).best == "accuracy"
    assert run.class_names[3] == "3"


@pytest.mark.thorough
def test_a_run_without_validation_uses_its_last_state(tmp_path):
    config = small(tmp_path / "run", steps=2)
    data = dataclasses.replace(config.data, validation=0)
    result, _ = quietly(dataclasses.replace(config, data=data))
    assert result.tested_step == 2
    assert RunConfig.load(result.directory).best is None


@pytest.mark.thorough
def test_more_logits_than_classes_have_names_too(tmp_path):
    model = ModelConfig("cnn", args={"features": [4], "num_classes": 12})
    result, _ = quietly(small(tmp_path / "run", model=model, steps=1), pictures=True)
    run = load_run(result.directory)
    assert run.class_names[9:] == ("9", "class 10", "class 11")
    assert run.predict(np.zeros((1, 28, 28, 1), np.uint8)).shape == (1, 12)


@pytest.mark.thorough
def test_a_test_part_is_optional(tmp_path):
    config = small(tmp_path / "run", steps=2)
    data = dataclasses.replace(config.data, test_split="")
    result, _ = quietly(dataclasses.replace(config, data=data))
    assert result.split == "validation"


@pytest.mark.parametrize("parallel", ["jit", "mesh"])
@pytest.mark.thorough
def test_the_steps_are_compiled_once_in_a_whole_run(tmp_path, caplog, parallel):
    with jax.log_compiles():
        quietly(small(tmp_path / "run", parallel=parallel))
    compiled = [
        record.getMessage().split()[1]
        for record in caplog.records
        if record.getMessage().startswith("Compiling jit(")
    ]
    assert compiled.count("jit(train_step)") == 1
    assert compiled.count("jit(eval_step)") == 1


@pytest.mark.thorough
def test_a_damaged_newest_checkpoint_costs_only_its_steps(copied, caplog):
    newest = copied / "checkpoints" / "step_00000012" / "step.json"
    newest.write_bytes(newest.read_bytes()[:-1])
    result, printed = quietly(small(copied))
    assert "from step 8 of 12" in printed
    assert "is damaged" in caplog.text
    assert result.step == 12


def test_a_run_whose_checkpoints_are_all_damaged_says_so(copied):
    for path in (copied / "checkpoints").glob("*/step.json"):
        path.unlink()
    with pytest.raises(ValueError, match="no good checkpoint"):
        quietly(small(copied))


def test_a_second_process_on_the_folder_is_refused(copied):
    with RunLock(copied), pytest.raises(OSError, match="in use by process"):
        quietly(small(copied))


def test_a_run_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"run folder .* cannot be made"):
        quietly(small(tmp_path / "file" / "run"))


class Full:
    """A disk that is full from the second checkpoint on."""

    def __init__(self):
        self.saves = 0
        self.save = Checkpoints.save

    def __call__(self, checkpoints, step, *args, **options):
        self.saves += 1
        if self.saves == 2:
            raise OSError(28, "No space left on device")
        return self.save(checkpoints, step, *args, **options)


@pytest.mark.thorough
def test_a_full_disk_ends_the_run_and_the_earlier_checkpoint_serves(
    tmp_path, monkeypatch
):
    full = Full()
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", lambda *a, **o: full(*a, **o))
        with pytest.raises(OSError, match="No space left"):
            quietly(small(tmp_path / "run"))
    _, printed = quietly(small(tmp_path / "run"))
    assert "from step 4 of 12" in printed


def bad(**changes):
    return lambda directory: small(directory, **changes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            bad(model=ModelConfig("lenett")),
            r"Unknown model 'lenett'. Did you mean 'lenet",
        ),
        (
            bad(model=ModelConfig("cnn", args={"feature": [1]})),
            r"no keyword 'feature'. Did you mean 'features'",
        ),
        (bad(data=DataConfig("digit")), r"'digit'"),
        (bad(data=DataConfig("digits", split="trian")), "trian"),
        (
            bad(data=DataConfig("digits", augment=("flip",))),
            "Unknown augmentation 'flip'",
        ),
        (bad(optimizer=OptimizerConfig("adan")), r"'adan'. Did you mean 'adam'"),
        (
            bad(optimizer=OptimizerConfig(schedule="cosin")),
            r"'cosin'. Did you mean 'cosine'",
        ),
        (
            bad(model=ModelConfig("cnn", args={"num_classes": "10"})),
            "num_classes must be a whole number of at least 0, got '10'",
        ),
        (
            bad(model=ModelConfig("cnn", args={"dtype": "bfloat"})),
            r"dtype='bfloat' is unknown. Did you mean 'bfloat16'\? Allowed: 'float32'",
        ),
        (
            bad(
                precision="float16",
                model=ModelConfig("cnn", args={"dtype": "bfloat16"}),
            ),
            "precision is 'float16', but model.args has the dtype 'bfloat16'",
        ),
        (bad(precision="float15"), r"'float15' is unknown. Did you mean 'float16'"),
        (
            bad(accumulate=5),
            r"batch_size is 32, .* over 1 device\(s\) into accumulate=5 microbatches",
        ),
        (
            bad(optimizer=OptimizerConfig(options={"momentum": "much"})),
            r"optimizer 'sgd' cannot take \{'momentum': 'much'\}",
        ),
        (
            bad(model=ModelConfig("cnn", args={"num_classes": 5})),
            "num_classes is 5, but 'digits' has 10 classes",
        ),
        (
            bad(model=ModelConfig("mlp_autoencoder")),
            "The task 'classification' needs a classifier; 'mlp_autoencoder' is a",
        ),
        (
            bad(
                task="capsules",
                model=ModelConfig("lenet"),
                data=DataConfig("digits", standardize=False),
            ),
            "'capsules' needs a model that is called with labels too, .*'lenet' is not",
        ),
        (
            bad(
                task="capsules",
                model=ModelConfig("mlp_autoencoder"),
                data=DataConfig("digits", standardize=False),
            ),
            "The task 'capsules' needs a classifier; 'mlp_autoencoder' is a",
        ),
        (
            bad(parallel="mesh", data=DataConfig("digits", batch_size=12)),
            "batch_size is 12, which 8 devices cannot share",
        ),
        (bad(data=DataConfig("digits", batch_size=5000)), "batch_size is 5000, but"),
        (bad(data=DataConfig("digits", validation=1.5)), "1.5"),
    ],
)
def test_a_bad_configuration_is_one_clear_error_and_leaves_no_run(
    make, message, tmp_path
):
    with pytest.raises(ValueError, match=message):
        quietly(make(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not a run folder: it has no config.json"),
        ("{", "config.json is damaged"),
        ('{"model": "cnn"}', "config.json is damaged"),
    ],
)
def test_a_folder_that_is_no_run(tmp_path, text, message):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 28, 28, 3), np.uint8), r"must be \['n', 28, 28, 1\]"),
        (np.zeros((28, 28, 1), np.uint8), r"got \[28, 28, 1\]"),
        (np.zeros((0, 28, 28, 1), np.uint8), "n of 1 or more"),
        (np.zeros((1, 28, 28, 1), np.int64), "must be uint8 or float .*, got int64"),
        (np.full((1, 28, 28, 1), 7.0, np.float32), r"must be in \[0, 1\]"),
        (np.full((1, 28, 28, 1), np.nan, np.float32), r"must be in \[0, 1\]"),
    ],
)
def test_images_that_a_run_cannot_take(finished, images, message):
    with pytest.raises(ValueError, match=message):
        load_run(finished[0].directory).predict(images)


def test_a_run_that_names_no_data_cannot_be_measured(copied):
    config = RunConfig.load(copied)
    dataclasses.replace(config, experiment={}).save(copied)
    with pytest.raises(ValueError, match="does not say on which data"):
        measure_run(copied)


class Abort(Hook):
    def on_step(self, loop):
        raise KeyboardInterrupt


@pytest.mark.thorough
def test_an_aborted_run_frees_its_folder(tmp_path, monkeypatch):
    plain = training._hooks
    with monkeypatch.context() as patch:
        patch.setattr(training, "_hooks", lambda *args: [*plain(*args), Abort()])
        with pytest.raises(KeyboardInterrupt):
            quietly(small(tmp_path / "run"))
    result, _ = quietly(small(tmp_path / "run"))
    assert result.complete
