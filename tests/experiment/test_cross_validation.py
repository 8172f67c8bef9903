import dataclasses
import io
import json
import shutil
import statistics

import numpy as np
import pytest

from jaxcnn import cli
from jaxcnn.data import load_source, stratified_folds
from jaxcnn.experiment import cross_validate, training
from jaxcnn.experiment.cross_validation import fold_config, table
from jaxcnn.lock import RunLock
from jaxcnn.run import load_run
from jaxcnn.train import Hook, read_metrics
from tests.experiment.conftest import small


def quietly(config, **options):
    """Cross-validates without pictures, which take most of the time."""
    file = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "draw_results", lambda *args: None)
        patch.setattr("jaxcnn.plotting.learning_curves", lambda *a, **o: None)
        return cross_validate(config, file=file, **options), file.getvalue()


def config_of(directory, **changes):
    config = small(directory, steps=4, eval_every=2, save_every=2)
    return dataclasses.replace(config, **changes)


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    """Returns the folder of a finished cross-validation, and what it found."""
    folder = tmp_path_factory.mktemp("folds") / "cv"
    found, _ = quietly(config_of(folder), folds=2)
    return folder, found


@pytest.mark.thorough
def test_mean_and_deviation_are_those_of_the_folds(validated):
    folder, found = validated
    values = []
    for k in (1, 2):
        records = read_metrics(folder / f"fold-{k}" / "metrics")
        last = [r for r in records if r["split"] == "validation"][-1]
        assert last["step"] == 4
        values.append(last["accuracy"])
    assert found.means["accuracy"] == pytest.approx(statistics.fmean(values))
    assert found.deviations["accuracy"] == pytest.approx(statistics.stdev(values))
    assert [result.examples for result in found.folds] == [120, 120]
    kept = json.loads((folder / "cross_validation.json").read_text())
    assert kept["mean"] == found.means
    assert [run["metrics"]["accuracy"] for run in kept["runs"]] == values
    lines = table(found).splitlines()
    assert lines[0].split() == ["examples", "accuracy", "loss"]
    assert [line.split()[0] for line in lines[2:]] == "fold fold mean deviation".split()


def test_each_fold_is_trained_on_the_others_and_the_test_part_is_not_touched(
    validated,
):
    folder, _ = validated
    for k in (1, 2):
        results = json.loads((folder / f"fold-{k}" / "results.json").read_text())
        assert results["split"] == "validation"
        config = json.loads((folder / f"fold-{k}" / "config.json").read_text())
        assert config["experiment"]["data"]["test_split"] == ""
        assert config["data"]["examples"] == 120


def test_out_of_fold_predictions_are_by_the_run_that_has_not_seen_them(validated):
    folder, found = validated
    source = load_source("digits", "train[:240]")
    kept = np.load(folder / "out_of_fold.npz")
    assert kept["probabilities"].shape == (1, 240, 10)
    np.testing.assert_array_equal(kept["labels"], source.labels)
    right = kept["probabilities"][0].argmax(axis=1) == source.labels
    for k, positions in enumerate(stratified_folds(source.labels, 2), 1):
        assert (kept["fold"][0, positions] == k).all()
        accuracy = found.folds[k - 1].metrics["accuracy"]
        assert right[positions].mean() == pytest.approx(accuracy)


def test_a_finished_fold_is_not_trained_again(validated, monkeypatch):
    folder, found = validated

    def never(*args, **options):
        raise AssertionError("a fold was trained again")

    monkeypatch.setattr("jaxcnn.experiment.cross_validation.train", never)
    again, printed = quietly(config_of(folder), folds=2)
    assert again == found
    assert "fold 2 of 2" in printed


def test_other_settings_are_refused(validated):
    folder, _ = validated
    with pytest.raises(ValueError, match=r"label_smoothing: was 0\.0, now 0\.2"):
        quietly(config_of(folder, label_smoothing=0.2), folds=2)


class Abort(Hook):
    """Ends the process, as it were, after a step of the second fold."""

    def on_step(self, loop):
        if loop.step == 3:
            raise KeyboardInterrupt


@pytest.mark.thorough
def test_what_was_killed_amid_a_fold_goes_on_there(validated, tmp_path, monkeypatch):
    folder, found = validated
    shutil.copytree(folder / "fold-1", tmp_path / "cv" / "fold-1")
    plain = training._hooks
    with monkeypatch.context() as patch:
        patch.setattr(training, "_hooks", lambda *args: [*plain(*args), Abort()])
        with pytest.raises(KeyboardInterrupt):
            quietly(config_of(tmp_path / "cv"), folds=2)
    assert not (tmp_path / "cv" / "cross_validation.json").exists()
    again, printed = quietly(config_of(tmp_path / "cv"), folds=2)
    assert "from step 2 of 4" in printed
    assert again.means == found.means


@pytest.mark.thorough
def test_a_time_limit_stops_it_and_the_command_says_so(tmp_path, capsys):
    args = ["--data.split", "train[:100]", "--data.batch-size", "32", "--folds", "2"]
    args += ["--model", "cnn", "--model.args", '{"features": [4]}', "--steps", "3"]
    args += ["--run", str(tmp_path / "cv")]
    assert cli.dispatch(["cross-validate", *args, "--time-limit", "1e-9"]) == 0
    assert "fold-1: time limit of 1e-09 s. The same command goes on from" in (
        capsys.readouterr().out
    )
    assert cli.dispatch(["cross-validate", *args, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert len(values["runs"]) == 2
    assert cli.dispatch(["cross-validate", *args, "--select", "best"]) == 0
    assert "the test part was not measured" in capsys.readouterr().out


@pytest.mark.thorough
def test_repeats_have_other_folds_and_seeds(tmp_path):
    found, _ = quietly(config_of(tmp_path / "cv", steps=1), folds=2, repeats=2)
    assert [(r.repeat, r.fold) for r in found.folds] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    kept = np.load(tmp_path / "cv" / "out_of_fold.npz")
    assert kept["probabilities"].shape == (2, 240, 10)
    assert not np.array_equal(kept["fold"][0], kept["fold"][1])
    assert load_run(tmp_path / "cv" / "repeat-2" / "fold-1").step == 1


def test_folds_and_seeds_of_the_runs():
    config = config_of("cv", seed=5)
    part = fold_config(config, 2, 3, repeat=4, repeats=4)
    assert (part.data.fold, part.data.folds, part.data.fold_seed) == (2, 3, 3)
    assert (part.seed, part.run) == (8, "cv/repeat-4/fold-2")


def test_a_fold_in_use_is_left_alone(tmp_path):
    with RunLock(tmp_path / "cv" / "fold-1"), pytest.raises(OSError, match="in use by"):
        quietly(config_of(tmp_path / "cv"), folds=2)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"folds": 1}, "folds must be 2 or more, got 1"),
        ({}, {"repeats": 0}, "repeats must be 1 or more, got 0"),
        ({}, {"select": "worst"}, "select is 'last' or 'best', got 'worst'"),
        ({}, {"folds": 100}, r"folds is 100, but class \d has \d+ examples"),
        ({"fast_dev_run": 1}, {}, "are for one run, not a cross-validation"),
    ],
)
def test_bad_arguments(tmp_path, changes, options, message):
    with pytest.raises(ValueError, match=message):
        quietly(config_of(tmp_path / "cv", **changes), **options)
    assert not (tmp_path / "cv").exists()


def test_folds_are_set_by_the_cross_validation(tmp_path):
    config = config_of(tmp_path / "cv")
    data = dataclasses.replace(config.data, folds=3)
    with pytest.raises(ValueError, match=r"sets data\.folds itself"):
        quietly(dataclasses.replace(config, data=data), folds=3)
