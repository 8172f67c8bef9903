import os
import subprocess
import sys

import numpy as np
import pytest

from jaxcnn.data import load, load_source


def test_load_gives_batches_of_the_split():
    data = load("digits", "train[:100]", batch_size=32, seed=1)
    assert data.steps_per_epoch == 3
    assert data.source.split == "train[:100]"
    assert data[5]["image"].shape == (32, 28, 28, 1)
    assert len(list(data.eval_batches(30))) == 4
    assert load("digits", batch_size=8, shuffle=False)[0]["label"].tolist() == (
        data.source.labels[:8].tolist()
    )


def test_processes_are_passed_on():
    parts = [
        load("digits", batch_size=8, process_index=p, process_count=2)[0]["label"]
        for p in range(2)
    ]
    whole = load("digits", batch_size=8)[0]["label"]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_validation_is_carved_from_train_and_leaves_test_alone():
    train, validation, test = (
        load_source("digits", split, validation=0.1)
        for split in ("train", "validation", "test")
    )
    assert [len(part) for part in (train, validation, test)] == [1293, 144, 360]
    assert test.fingerprint() == load_source("digits", "test").fingerprint()
    parts = [sorted(i.tobytes() for i in s.images) for s in (train, validation)]
    whole = load_source("digits", "train")
    assert sorted(parts[0] + parts[1]) == sorted(i.tobytes() for i in whole.images)
    other = load_source("digits", "validation", validation=0.1, validation_seed=1)
    assert other.fingerprint() != validation.fingerprint()


def test_slices_of_what_was_carved_stay_apart():
    part = load_source("digits", "train[:50%]", validation=100)
    held = load_source("digits", "validation[:50]", validation=100)
    assert (len(part), len(held)) == (668, 50)
    images = {image.tobytes() for image in part.images}
    assert not images & {image.tobytes() for image in held.images}


def test_any_source_can_be_resized(idx_folder):
    source = load_source(f"idx:{idx_folder}", image_size=(8, 6))
    assert source.image_shape == (8, 6, 1)


@pytest.mark.parametrize("size", [(28,), (0, 28), (28.0, 28)])
def test_a_bad_image_size_is_refused(size):
    with pytest.raises(
        ValueError, match=r"image_size is .*, expected \(height, width\)"
    ):
        load_source("digits", image_size=size)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "digitz",
            "unknown dataset 'digitz'. Did you mean 'digits'? Allowed are 'digi",
        ),
        ("mnits", "unknown dataset 'mnits'. Did you mean 'mnist'?"),
        (
            "ixd:/data",
            "'ixd:/data' is of unknown kind 'ixd'. Did you mean 'idx'? Allow",
        ),
    ],
)
def test_unknown_names_get_the_nearest_one(tmp_path, name, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        load_source(name, data_dir=tmp_path)


def test_a_source_fit_for_nothing_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((4, 2, 2), np.uint8))
    with pytest.raises(ValueError, match="are constant: every pixel is 0"):
        load_source(f"npz:{tmp_path}/x.npz")


def test_a_sorted_file_and_a_short_slice_make_one_class(tmp_path):
    images = np.arange(40, dtype=np.uint8).reshape(10, 2, 2)
    np.savez(tmp_path / "x.npz", images=images, labels=np.repeat([0, 1], 5))
    with pytest.raises(
        ValueError, match=r"split 'train\[:40%\]' .* one class only, '0'"
    ):
        load_source(f"npz:{tmp_path}/x.npz", "train[:40%]")


def test_importing_loads_nothing_heavy():
    heavy = "tensorflow tensorflow_datasets grain sklearn PIL matplotlib pyarrow torch"
    code = f"import sys, jaxcnn.data; print(set({heavy.split()}) & set(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert ended.stdout.strip() == "set()"
