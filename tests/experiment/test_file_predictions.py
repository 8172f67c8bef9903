import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    FilePredictions,
    predict_files,
)
from jaxcnn.experiment.sources import load_data
from jaxcnn.run import Run, RunConfig, read_image

from .untrained import untrained

CLASSES = ("cat", "dog")


def write_folder(root, draw, ends=(".png",), count=5):
    """Writes `root/CLASS/k.png`, or several files an example, of various sizes."""
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for k in range(count):
            size = (20 + k, 24)
            for end in ends:
                draw(rng, size, root / name / f"{k}{end}")
    return root


def rgb(rng, size, path):
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)


def rgba(rng, size, path):
    Image.fromarray(rng.integers(0, 256, (*size, 4), np.uint8)).save(path)


def deep(rng, size, path):
    Image.fromarray(rng.integers(0, 4000, size, np.uint16)).save(path)


def bands(rng, size, path):
    np.save(path, rng.integers(0, 256, (*size, 5), np.uint8))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("pictures"), rgb)


@pytest.fixture(scope="module")
def run(pictures):
    return untrained(DataConfig(f"folder:{pictures}", image_size=8, validation=0))[0]


STACK = ("{}_a.png:RGB", "{}_b.png:L")


@pytest.mark.parametrize(
    ("draw", "ends", "data"),
    [
        (rgb, (".png",), {}),
        (rgb, (".jpg",), {"mode": "L", "stretch": True}),
        (rgb, (".jpg",), {"resize": 18, "decode": "lazy"}),
        (rgba, (".png",), {"mode": "RGBA"}),
        (deep, (".png",), {"mode": "L", "window": (1000.0, 2000.0)}),
        (bands, (".npy",), {"mode": "5"}),
        (rgb, ("_a.png", "_b.png"), {"stack": STACK, "edges": True}),
    ],
    ids=["rgb", "stretched", "resized", "rgba", "window", "npy", "stack"],
)
def test_files_are_read_as_evaluation_reads_them(draw, ends, data, tmp_path):
    root = write_folder(tmp_path / "data", draw, ends, count=2)
    config = DataConfig(f"folder:{root}", image_size=8, test_share=0, **data)
    config = ExperimentConfig(data=dataclasses.replace(config, validation=0))
    source = load_data(config, "train")
    run = of_shape(source.image_shape, experiment=config.to_json())
    expected = source.batch(np.arange(4))["image"]
    predictions = predict_files(run, str(root))
    with ThreadPoolExecutor(1) as pool:
        images, reasons = predictions.decode(0, pool)
    assert reasons == [None] * 4
    np.testing.assert_array_equal(images, expected)


def test_the_predictions_are_those_of_the_run(run, pictures):
    found = list(predict_files(run, [pictures / "dog", pictures / "cat"]))
    names = [prediction.files[0] for prediction in found]
    assert names[0] == str(pictures / "dog" / "0.png")
    assert len(names) == 10
    source = load_data_of(run)
    order = [*range(5, 10), *range(5)]
    expected = run.predict(source.batch(np.array(order))["image"])
    got = np.stack([prediction.probabilities for prediction in found])
    np.testing.assert_allclose(got, expected, atol=1e-6)


def load_data_of(run):
    config = ExperimentConfig.from_json(run.config.experiment)
    data = dataclasses.replace(config.data, test_share=0, validation=0.0, decode="lazy")
    return load_data(dataclasses.replace(config, data=data), "train")


def test_batches_are_of_one_size_and_broken_files_change_no_other(
    run, pictures, tmp_path, monkeypatch
):
    good = sorted(map(str, (pictures / "cat").iterdir()))
    (tmp_path / "cut.png").write_bytes((pictures / "cat" / "0.png").read_bytes()[:60])
    (tmp_path / "words.png").write_text("no picture")
    paths = [good[0], str(tmp_path / "cut.png"), good[1], str(tmp_path / "words.png")]
    paths += [str(tmp_path / "gone.png"), *good[2:]]
    shapes = []
    real = Run.predict

    def predict(self, images, **options):
        shapes.append(images.shape)
        return real(self, images, **options)

    monkeypatch.setattr(Run, "predict", predict)
    found = list(predict_files(run, paths, batch_size=3, listed=True))
    assert set(shapes) == {(3, 8, 8, 3)}
    assert [p.files[0] for p in found if p.broken] == [paths[1], paths[3], paths[4]]
    assert "there is no file" in found[4].broken
    assert all(p.probabilities is None for p in found if p.broken)
    expected = [p.probabilities for p in predict_files(run, good)]
    got = [p.probabilities for p in found if not p.broken]
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_few_files_are_read_ahead(run, pictures, monkeypatch):
    many = [(str(pictures / "cat" / f"{k % 5}.png"),) for k in range(200)]
    predictions = FilePredictions(run, many, batch_size=4)
    read = []
    one = predictions._one
    monkeypatch.setattr(predictions, "_one", lambda f: read.append(f) or one(f))
    iterator = iter(predictions)
    next(iterator)
    iterator.close()
    # The first batch, two that wait, one in the making, and one begun at the end.
    assert len(read) <= 5 * 4


def test_views_are_averaged(run, pictures):
    path = str(pictures / "cat" / "0.png")
    flipped, plain = predict_files(run, path, views="flip"), predict_files(run, path)
    images, _ = plain.decode(0, ThreadPoolExecutor(1))
    mirrored = run.predict(images[:, :, ::-1])[0]
    expected = (next(iter(plain)).probabilities + mirrored) / 2
    np.testing.assert_allclose(next(iter(flipped)).probabilities, expected, atol=1e-6)


def of_shape(shape, task="classification", **changes):
    config = RunConfig("mlp", {}, task, shape, CLASSES, **changes)
    return Run(None, {}, config, 1)


def decoded(run, path):
    with ThreadPoolExecutor(1) as pool:
        images, reasons = predict_files(run, str(path)).decode(0, pool)
    return images[0], reasons[0]


def test_pictures_for_a_run_on_arrays_are_brought_to_their_size(tmp_path):
    rng = np.random.default_rng(1)
    rgb(rng, (9, 14), tmp_path / "a.png")
    pixels, _ = decoded(of_shape((4, 6, 1)), tmp_path / "a.png")
    np.testing.assert_array_equal(pixels, read_image(tmp_path / "a.png", (4, 6, 1)))
    bands(rng, (9, 14), tmp_path / "b.npy")
    assert decoded(of_shape((4, 6, 5)), tmp_path / "b.npy")[0].shape == (4, 6, 5)
    _, reason = decoded(of_shape((4, 6, 3)), tmp_path / "b.npy")
    assert "it has 5 channels, expected 3" in reason


@pytest.mark.parametrize("shape", [(6, 2), (3, 4, 5, 1)])
def test_sequences_and_volumes_are_arrays(shape, tmp_path):
    values = np.linspace(-5, 5, np.prod(shape)).reshape(shape)
    np.save(tmp_path / "a.npy", values)
    found, reason = decoded(of_shape(shape), tmp_path / "a.npy")
    assert reason is None
    np.testing.assert_array_equal(found, values.astype(np.float32))
    np.save(tmp_path / "bytes.npy", np.full(shape, 51, np.uint8))
    np.testing.assert_allclose(decoded(of_shape(shape), tmp_path / "bytes.npy")[0], 0.2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((5, 2)), "it has shape [5, 2], expected [6, 2]"),
        (np.zeros((6, 2), np.int64), "it holds int64, expected uint8 or floats"),
        (np.full((6, 2), np.nan), "it holds NaN"),
        (None, "give them as .npy files"),
    ],
)
def test_arrays_that_do_not_fit(values, message, tmp_path):
    path = tmp_path / "a.npy"
    path.write_text("words") if values is None else np.save(path, values)
    assert message in decoded(of_shape((6, 2)), path)[1]


def test_an_autoencoder_names_no_classes(tmp_path):
    with pytest.raises(ValueError, match=r"autoencoder .*predict\(images\)"):
        FilePredictions(of_shape((4, 4, 1), "reconstruction"), [("a.png",)])


@pytest.mark.parametrize("size", [0, 2.5, True])
def test_bad_batch_sizes(size):
    with pytest.raises(ValueError, match="batch_size must be a whole number of at lea"):
        FilePredictions(of_shape((4, 4, 1)), [("a.png",)], batch_size=size)
