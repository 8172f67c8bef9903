import io
import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

from jaxcnn.data import (
    LazySource,
    cache_folder,
    carve_validation,
    inspect,
    load_source,
    load_splits,
    make_crops,
)
from jaxcnn.data import tfds as reader
from jaxcnn.data.tfds_lazy import TfdsRecords

tfds = pytest.importorskip("tensorflow_datasets")
PIL = pytest.importorskip("PIL.Image")


def _png(pixels, format="PNG"):
    buffer = io.BytesIO()
    PIL.fromarray(pixels).save(buffer, format)
    buffer.seek(0)
    return buffer


def _builder(dataset, features, examples):
    """Returns a builder class for a dataset of this name."""

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        """A tiny dataset."""

        name = dataset
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            keys = ("image", "label") if "label" in features else None
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=keys,
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate(6), "test": self._generate(3)}

        def _generate(self, n):
            yield from ((i, examples(i)) for i in range(n))

        def _generate_examples(self):
            raise NotImplementedError

    return Builder


def _prepare(folder, name, features, examples, file_format="array_record"):
    tfds.disable_progress_bar()
    builder = _builder(name, features, examples)
    builder(data_dir=folder, file_format=file_format).download_and_prepare()
    return folder


def _rgb(i):
    return np.arange(36, dtype=np.uint8).reshape(4, 3, 3) + i


def _pets(folder, file_format):
    features = {
        "image": tfds.features.Image(shape=(4, 3, 3)),
        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
        "mask": tfds.features.Image(shape=(4, 3, 1)),
        "id": tfds.features.Text(),
    }

    def example(i):
        mask = np.zeros((4, 3), np.uint8)
        return {
            "image": _png(_rgb(i)),
            "label": i % 2,
            "mask": _png(mask),
            "id": f"pet {i}",
        }

    return _prepare(folder, "pets", features, example, file_format)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """The same small dataset in both formats that can be read, by format."""
    return {
        file_format: _pets(tmp_path_factory.mktemp(file_format), file_format)
        for file_format in ("array_record", "parquet")
    }


@pytest.fixture
def pets(prepared, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(prepared["array_record"], tmp_path / "tfds")


@pytest.mark.parametrize("file_format", ["array_record", "parquet"])
def test_both_formats_give_the_examples(prepared, file_format):
    folder = prepared[file_format]
    source = load_source("pets", data_dir=folder, cache=False)
    np.testing.assert_array_equal(source.images, [_rgb(i) for i in range(6)])
    assert source.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert source.class_names == ("cat", "dog")
    assert source.name == "pets"
    part = load_source("pets:1.0.0", "test[1:]", data_dir=folder, cache=False)
    np.testing.assert_array_equal(part.images, [_rgb(1), _rgb(2)])
    assert not cache_folder().exists()


def test_the_environment_names_the_folder(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared["parquet"]))
    assert len(load_source("pets")) == 6


def test_the_second_start_does_not_decode(pets, monkeypatch):
    first = load_source("pets", "train[2:]", data_dir=pets)

    def never(*args):
        raise AssertionError("decoded again")

    monkeypatch.setattr(reader, "_decode", never)
    second = load_source("pets", "train[2:]", data_dir=pets)
    assert second.fingerprint() == first.fingerprint()
    with pytest.raises(ValueError, match="decoded again"):
        load_source("pets", "train[1:]", data_dir=pets)
    with pytest.raises(ValueError, match="decoded again"):
        load_source("pets", "train[2:]", data_dir=pets, cache=False)


def test_changed_files_are_decoded_again(pets, monkeypatch):
    load_source("pets", data_dir=pets)
    (file,) = pets.rglob("pets-train*")
    os.utime(file, (1, 1))
    monkeypatch.setattr(
        reader, "_decode", lambda *a: np.eye(3, dtype=np.uint8)[..., None]
    )
    assert load_source("pets", data_dir=pets).image_shape == (3, 3, 1)


def test_images_of_many_sizes_need_a_size(tmp_path):
    features = {"image": tfds.features.Image(shape=(None, None, 3))}

    def example(i):
        return {"image": _png(np.full((4 + i, 5, 3), 40 * i, np.uint8), "JPEG")}

    _prepare(tmp_path, "photos", features, example)
    with pytest.raises(
        ValueError, match=r"'photos' differ in size \(\[4, 5, 3\], \[9, 5"
    ):
        load_source("photos", data_dir=tmp_path)
    source = load_source("photos", data_dir=tmp_path, image_size=(8, 6))
    assert source.images.shape == (6, 8, 6, 3)
    assert source.labels is None
    assert (source.images.reshape(6, -1) == 40 * np.arange(6)[:, None]).all()


def test_palettes_become_the_promised_channels(tmp_path):
    features = {
        "image": tfds.features.Image(shape=(4, 3, 3)),
        "label": tfds.features.ClassLabel(num_classes=2),
    }

    def example(i):
        buffer = io.BytesIO()
        PIL.fromarray(_rgb(i)).quantize(32).save(buffer, "PNG")
        buffer.seek(0)
        return {"image": buffer, "label": i % 2}

    _prepare(tmp_path, "palettes", features, example)
    source = load_source("palettes", data_dir=tmp_path)
    assert source.image_shape == (4, 3, 3)
    assert source.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            {
                "left": tfds.features.Image(shape=(2, 2, 1)),
                "right": tfds.features.Image(shape=(2, 2, 1)),
            },
            "'odd' is not one image and at most .* features left, right",
        ),
        (
            {"image": tfds.features.Image(shape=(2, 2, 1), dtype=np.uint16)},
            "'odd' are uint16 with 1 channels, expected uint8 with 1, 3 or 4",
        ),
    ],
)
def test_other_features_are_refused(tmp_path, features, message):
    def example(i):
        dtype = np.uint16 if "image" in features else np.uint8
        return {key: _png(np.full((2, 2), i, dtype)) for key in features}

    _prepare(tmp_path, "odd", features, example)
    with pytest.raises(ValueError, match=message):
        load_source("odd", data_dir=tmp_path)


def test_the_newest_version_is_taken(pets):
    for version in ("1.9.0", "1.10.0"):
        copy = shutil.copytree(pets / "pets" / "1.0.0", pets / "pets" / version)
        info = json.loads((copy / "dataset_info.json").read_text())
        text = json.dumps({**info, "version": version})
        (copy / "dataset_info.json").write_text(text)
    assert reader.find_folder("pets", pets).name == "1.10.0"
    assert reader.find_folder("pets:1.9.0", pets).name == "1.9.0"
    with pytest.raises(
        FileNotFoundError, match=r"'pets:3.0.0' .* \(there is 1.0.0, 1.1"
    ):
        reader.find_folder("pets:3.0.0", pets)


def test_several_configs_must_be_told_apart(pets):
    base = pets / "pets"
    shutil.copytree(base / "1.0.0", base / "small" / "1.0.0")
    shutil.move(base / "1.0.0", base / "large" / "1.0.0")
    with pytest.raises(ValueError, match="configs: 'pets/large', 'pets/small'"):
        load_source("pets", data_dir=pets)
    assert len(load_source("pets/small", data_dir=pets)) == 6
    shutil.rmtree(base / "small")
    assert len(load_source("pets", data_dir=pets)) == 6


def test_missing_data_comes_with_the_command(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=f"'mnist' is not prepared in '{tmp_path}'.* tfds build mnist "
        f"--file_format=array_record --data_dir={tmp_path}; or name another folder",
    ):
        load_source("mnist", data_dir=tmp_path)


def test_tfrecord_comes_with_the_command(pets):
    folder = pets / "pets" / "1.0.0"
    info = (folder / "dataset_info.json").read_text()
    (folder / "dataset_info.json").write_text(info.replace("array_record", "tfrecord"))
    for path in folder.glob("*array_record*"):
        path.rename(path.with_name(path.name.replace("array_record", "tfrecord")))
    with pytest.raises(
        ValueError,
        match=f"'{folder}' is prepared as tfrecord, which only TensorFlow reads.* "
        f"tfds convert_format --dataset_version_dir={folder} --out_file_format=array",
    ):
        load_source("pets", data_dir=pets)


@pytest.mark.parametrize(
    ("pattern", "change"),
    [
        ("pets-train*", lambda b: b[: len(b) // 2]),
        ("pets-train*", lambda b: b[:1000]),
        ("pets-train*", lambda b: b""),
        ("pets-train*", lambda b: b.replace(b"IHDR", b"IHXX")),
        ("features.json", lambda b: b[:50]),
        ("dataset_info.json", lambda b: b"{"),
    ],
)
def test_damaged_files_are_named(pets, pattern, change):
    (path,) = pets.rglob(pattern)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(
        ValueError, match=r"the dataset in '.*pets/1.0.0' is damaged: ."
    ):
        load_source("pets", data_dir=pets)


def test_absent_shards_are_named(pets):
    (path,) = pets.rglob("pets-train*")
    path.unlink()
    with pytest.raises(ValueError, match=r"'.*pets/1.0.0' is damaged: .*No such file"):
        load_source("pets", data_dir=pets)


def test_a_split_that_is_not_there_is_named(pets):
    with pytest.raises(
        ValueError, match=r"'pets' has no split 'tset'\. Did you mean 'test"
    ):
        load_source("pets", "tset", data_dir=pets)


@pytest.mark.thorough
def test_tensorflow_is_never_imported(pets, tmp_path):
    # A package of that name is put where it would be found.
    (tmp_path / "fake" / "tensorflow").mkdir(parents=True)
    (tmp_path / "fake" / "tensorflow" / "__init__.py").write_text("")
    code = (
        "import sys; from jaxcnn.data import load_source;"
        f"load_source('pets', data_dir={str(pets)!r});"
        "import importlib.util as u; assert u.find_spec('tensorflow');"
        "print('tensorflow' in sys.modules)"
    )
    path = [str(tmp_path / "fake"), *filter(None, sys.path)]
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )
    assert ended.stdout.strip() == "False"


@pytest.mark.parametrize("file_format", ["array_record", "parquet"])
def test_lazily_decoded_examples_are_the_same(prepared, file_format):
    folder = prepared[file_format]
    options = {"data_dir": folder, "decode": "lazy"}
    crops = make_crops((3, 3), resize=3, random=False)
    source = load_source("pets", "train[1:]", crops=crops, **options)
    assert (len(source), source.class_names) == (5, ("cat", "dog"))
    # A copy, as a worker process gets it, opens the files itself.
    batch = pickle.loads(pickle.dumps(source)).batch(np.array([4, 0]))
    np.testing.assert_array_equal(batch["image"], [_rgb(5)[:3], _rgb(1)[:3]])
    assert batch["label"].tolist() == source.labels[[4, 0]].tolist() == [1, 1]
    assert source.labels.tolist() == [1, 0, 1, 0, 1]


def test_every_split_is_looked_through_without_being_told_its_name(prepared):
    folder = prepared["array_record"]
    splits = load_splits("pets", data_dir=folder)
    report = inspect(splits)
    for split, source in splits.items():
        whole = load_source("pets", split, data_dir=folder)
        counts = np.bincount(whole.labels, minlength=whole.num_classes)
        assert list(report.splits[split].classes.values()) == counts.tolist()
        mean, _ = report.splits[split].channels[3]
        np.testing.assert_allclose(mean, whole.channel_stats()[0], rtol=1e-12)
        assert isinstance(source, LazySource)
    assert next(iter(splits)) == "train"
    assert len(splits) > 1


def test_labels_of_lazily_decoded_examples_are_read_once(pets, monkeypatch):
    options = {"data_dir": pets, "decode": "lazy", "image_size": (3, 3)}
    reads = []
    read = TfdsRecords.read
    monkeypatch.setattr(
        TfdsRecords, "read", lambda self, i: reads.append(i) or read(self, i)
    )
    source = load_source("pets", **options)
    source.fingerprint()
    assert not reads
    train, validation = carve_validation(source, 2)
    assert (len(train), len(validation)) == (4, 2)
    assert reads == [0, 1, 2, 3, 4, 5]
    assert len(load_source("pets", "validation", validation=2, **options)) == 2
    assert len(reads) == 6


def test_a_damaged_record_names_its_dataset(pets):
    options = {"data_dir": pets, "decode": "lazy", "image_size": (3, 3)}
    source = load_source("pets", **options)
    (file,) = pets.rglob("pets-train*")
    file.write_bytes(b"\0" * file.stat().st_size)
    with pytest.raises(ValueError, match=r"the dataset in '.*pets/1.0.0' is damaged"):
        source.batch(np.array([0]))


def test_the_fingerprint_of_lazily_decoded_data_is_that_of_a_copy(pets, prepared):
    options = {"decode": "lazy", "image_size": (3, 3)}
    prints = [
        load_source("pets", split, data_dir=folder, **options).fingerprint()
        for split, folder in (
            ("train", pets),
            ("train", prepared["array_record"]),
            ("train[1:]", pets),
            ("test", pets),
        )
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
