"""Hand-made folders and arrays with planted duplicates, leaks, conflicts, damages."""

import io
import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data import (
    LazySource,
    Source,
    class_samples,
    inspect,
    load_source,
    load_splits,
    make_crops,
    near_pairs,
    perceptual_hash,
    pixel_digest,
)
from jaxcnn.data.hashes import NEAR_BITS
from jaxcnn.data.resize import resize_image
from jaxcnn.data.whole import decode_whole


def photo(seed, size=(64, 80), channels=3):
    """Returns a smooth random picture, uint8: what a photograph is to a hash."""
    coarse = np.random.default_rng(seed).integers(0, 256, (16, 20, channels))
    return resize_image(coarse.astype(np.uint8), size)


def encoded(pixels, form="png", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, form, **options)
    return buffer.getvalue()


def distance(a, b):
    return int(np.unpackbits(perceptual_hash(a) ^ perceptual_hash(b)).sum())


def test_digests_are_of_pixels_not_of_files():
    x = photo(0)
    png, _ = decode_whole(encoded(x))
    webp, _ = decode_whole(encoded(x, "webp", lossless=True))
    jpeg, _ = decode_whole(encoded(x, "jpeg"))
    assert pixel_digest(png) == pixel_digest(webp) == pixel_digest(x)
    assert pixel_digest(jpeg) != pixel_digest(x)
    changed = x.copy()
    changed[3, 4, 1] ^= 1
    assert pixel_digest(changed) != pixel_digest(x)
    # The same bytes in another shape are another picture.
    assert pixel_digest(x.reshape(80, 64, 3)) != pixel_digest(x)
    assert pixel_digest(x.view(np.int8)) != pixel_digest(x)


def test_gray_and_opaque_alpha_change_no_digest():
    gray = photo(1, channels=1)
    rgb = np.repeat(gray, 3, axis=2)
    opaque = np.concatenate([rgb, np.full_like(gray, 255)], axis=2)
    clear = np.concatenate([rgb, np.full_like(gray, 254)], axis=2)
    assert pixel_digest(gray) == pixel_digest(rgb) == pixel_digest(opaque)
    assert pixel_digest(clear) != pixel_digest(gray)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: decode_whole(encoded(x, "jpeg", quality=75))[0],
        lambda x: (x * 0.8).astype(np.uint8),
        lambda x: x // 2 + 60,
        lambda x: resize_image(x, (40, 50)),
        lambda x: resize_image(x, (128, 160)),
        lambda x: x.mean(axis=2, keepdims=True).round().astype(np.uint8),
        lambda x: x.astype(np.float32) / 255,
        lambda x: x.astype(np.uint16) * 257,
    ],
    ids=["jpeg", "darker", "flatter", "smaller", "larger", "gray", "float", "deep"],
)
def test_a_changed_copy_looks_alike(change):
    distances = [distance(photo(seed), change(photo(seed))) for seed in range(10)]
    assert max(distances) <= NEAR_BITS, distances


def test_others_mirrored_and_shifted_do_not_look_alike():
    x = photo(0)
    assert distance(x, x) == 0
    others = [x[:, ::-1], x[::-1], np.roll(x, 8, axis=1), *map(photo, range(1, 30))]
    assert min(distance(x, other) for other in others) > 4 * NEAR_BITS


def test_too_small_and_too_plain_pictures_have_no_hash():
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None], (64, 64, 1))
    assert perceptual_hash(photo(0, (15, 64))) is None
    assert perceptual_hash(photo(0, (16, 16))) is not None
    assert perceptual_hash(np.full((64, 64, 3), 90, np.uint8)) is None
    assert perceptual_hash(ramp) is None


@pytest.mark.parametrize("bits", [0, 1, 3, 16, 40])
def test_near_pairs_are_those_of_all_comparisons(bits):
    rng = np.random.default_rng(0)
    # Few originals, each copied with a few flipped bits: distances of all sizes.
    flips = rng.random((120, 256)) < rng.choice([0, 0.003, 0.03, 0.1], (120, 1))
    rows = (rng.random((12, 256)) < 0.5)[rng.integers(0, 12, 120)] ^ flips
    wide = (rows[:, None] ^ rows[None]).sum(-1)
    expected = np.argwhere(np.triu(wide <= bits, 1))
    found = near_pairs(np.packbits(rows, axis=1), bits)
    assert found.complete
    assert len(expected) > 0
    assert found.pairs.tolist() == expected.tolist()
    assert found.distances.tolist() == wide[tuple(expected.T)].tolist()


@pytest.mark.parametrize("bits", [-1, 65, 1.5, True])
def test_bits_of_near_pairs_are_checked(bits):
    with pytest.raises(ValueError, match=r"bits is .*, expected a whole number"):
        near_pairs(np.zeros((1, 32), np.uint8), bits)
    with pytest.raises(ValueError, match=r"bits is .*, expected a whole number"):
        inspect("digits", near_bits=bits)


def test_too_many_pairs_are_cut_off(monkeypatch):
    monkeypatch.setattr("jaxcnn.data.hashes._MAX_PAIRS", 100)
    hashes = np.zeros((40, 32), np.uint8)
    found = near_pairs(hashes)
    assert not found.complete
    assert 100 < len(found.pairs) < 40 * 39 / 2


@pytest.fixture
def folder(tmp_path):
    """Returns a folder with one of everything that can be wrong."""

    def write(path, content):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    for k in range(3):
        write(f"train/cat/{k}.png", encoded(photo(k)))
        write(f"train/dog/{k}.png", encoded(photo(10 + k, (48, 48))))
    write("train/cat/copy.png", encoded(photo(1)))  # twice in its class
    write("train/dog/cat.png", encoded(photo(2)))  # under two labels
    write("train/dog/cut.jpg", encoded(photo(5), "jpeg")[:-600])
    write("train/dog/empty.png", b"")
    write("train/dog/text.png", b"no image")
    write("train/dog/notes.txt", b"left out")
    write("val/cat/new.png", encoded(photo(20, channels=1)))
    write("val/bird/bird.png", encoded(photo(21)))  # a class that train has not
    write("test/cat/leak.webp", encoded(photo(0), "webp", lossless=True))
    write("test/dog/near.jpg", encoded(photo(10, (48, 48)), "jpeg", quality=80))
    write("test/cat/deep.png", encoded(photo(30)[..., 0].astype(np.uint16) * 257))
    return tmp_path


def names(group):
    return [Path(member.name).name for member in group.members]


def test_a_folder_is_counted(folder):
    report = inspect(str(folder))
    assert list(report.splits) == ["train", "validation", "test"]
    train, validation, test = report.splits.values()
    assert train.count == 11
    assert dict(train.classes) == {"bird": 0, "cat": 4, "dog": 7}
    assert dict(validation.classes) == {"bird": 1, "cat": 1, "dog": 0}
    assert train.sizes == ((48, 64.0, 64), (48, 80.0, 80))
    assert dict(validation.modes) == {"L": 1, "RGB": 1}
    assert sorted(test.modes) == ["I;16", "RGB"]


def test_broken_files_are_named_with_the_reason(folder):
    broken = inspect(str(folder)).splits["train"].broken
    reasons = {Path(name).name: reason for name, reason in broken.items()}
    assert sorted(reasons) == ["cut.jpg", "empty.png", "text.png"]
    assert reasons["empty.png"] == "the file is empty"
    assert "truncated" in reasons["cut.jpg"]
    assert "cannot identify" in reasons["text.png"]


def test_duplicates_leaks_and_conflicts_are_found(folder):
    report = inspect(str(folder))
    assert sorted(map(names, report.exact)) == [
        ["0.png", "leak.webp"],
        ["1.png", "copy.png"],
        ["2.png", "cat.png"],
    ]
    leaked = {pair: count for pair, count in report.leaks.items() if count}
    assert leaked == {("train", "test"): 1}
    [conflict] = report.conflicts
    assert [m.label for m in conflict.members] == ["cat", "dog"]
    # A copy of other pixels is reported apart.
    [near] = report.near
    assert names(near) == ["0.png", "near.jpg"]
    assert 0 < near.distance <= NEAR_BITS
    assert report.near_leaks["train", "test"] == 1
    assert json.loads(json.dumps(report.to_json()))["leaks"][1] == {
        "from": "train",
        "to": "test",
        "count": 1,
    }


def test_near_ones_are_looked_for_by_option(folder):
    report = inspect(str(folder), near_bits=None)
    assert report.near == ()
    assert len(report.exact) == 3
    assert report.splits["train"].plain == 0


def test_a_folder_without_splits(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(encoded(photo(0)))
    report = inspect(str(tmp_path))
    assert dict(report.splits["all"].classes) == {"a": 1, "b": 1}
    assert len(report.conflicts) == 1
    assert report.leaks == {}
    assert list(load_splits(f"folder:{tmp_path}")) == ["all"]


def test_rotation_of_exif_counts(tmp_path):
    x = photo(3)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    turned, mode = decode_whole(encoded(np.rot90(x), exif=exif))
    assert mode == "RGB"
    assert (turned == x).all()


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "RGBA", "LA", "F", "I;16", "YCbCr"])
def test_modes_are_decoded(mode):
    image = Image.fromarray(photo(0)[..., 0]).convert("L")
    buffer = io.BytesIO()
    deep = np.asarray(image, np.uint16) * 257
    image = Image.fromarray(deep) if mode == "I;16" else image.convert(mode)
    form = "jpeg" if mode == "YCbCr" else "tiff"
    image.save(buffer, form)
    pixels, _ = decode_whole(buffer.getvalue())
    assert pixels.shape[:2] == (64, 80)
    expected = {"F": np.float32, "I;16": np.uint16}.get(mode, np.uint8)
    assert pixels.dtype == expected
    if mode == "I;16":
        assert (pixels[..., 0] == deep).all()


def test_statistics_are_those_of_the_source():
    splits = load_splits("digits")
    report = inspect(splits, near_bits=None)
    for name, source in splits.items():
        mean, std = report.splits[name].channels[1]
        np.testing.assert_allclose(mean, source.channel_stats()[0], rtol=1e-12)
        np.testing.assert_allclose(std, source.channel_stats()[1], rtol=1e-9)
        counts = np.bincount(source.labels).tolist()
        assert list(report.splits[name].classes.values()) == counts


def test_arrays_volumes_and_examples_without_labels():
    rng = np.random.default_rng(0)
    volumes = rng.normal(size=(4, 8, 9, 10, 2)).astype(np.float32)
    train, test = Source("v", volumes), Source("v", volumes[1:3], split="test")
    report = inspect({"train": train, "test": test})
    assert report.leaks == {("train", "test"): 2}
    assert not report.conflicts
    assert report.splits["train"].sizes == ((8, 8.0, 8), (9, 9.0, 9), (10, 10.0, 10))
    assert [m.name for m in report.exact[0].members] == ["train[1]", "test[0]"]
    assert report.splits["train"].plain == 4
    with pytest.raises(ValueError, match="holds volumes, expected images"):
        class_samples(train)


def test_a_leak_counts_once_whatever_its_copies():
    x = np.stack([photo(0), photo(0), photo(1), photo(2)])
    test = Source("x", np.stack([photo(0), photo(0), photo(3)]), split="test")
    report = inspect({"train": Source("x", x), "test": test})
    assert report.leaks == {("train", "test"): 2}
    assert len(report.exact) == 1
    assert report.near == ()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("./none", FileNotFoundError, "there is no folder or file './none'"),
        ("folder:none", FileNotFoundError, "there is no folder 'none'"),
        ("npz:none.npz", FileNotFoundError, "there is no file"),
        ("none.npz", FileNotFoundError, "there is no file"),
        ("np:none", ValueError, "unknown kind 'np'. Did you mean 'npz'"),
    ],
)
def test_names_of_nothing(name, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        inspect(name)


def test_folders_of_nothing(tmp_path):
    with pytest.raises(ValueError, match="has no folders of classes"):
        inspect(str(tmp_path))
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds no images"):
        inspect(str(tmp_path))
    (tmp_path / "train" / "cat" / "x.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"no image can be decoded; .*x\.png"):
        inspect(str(tmp_path))
    (tmp_path / "val").mkdir()
    (tmp_path / "valid").mkdir()
    with pytest.raises(ValueError, match="the same split twice"):
        inspect(str(tmp_path))
    with pytest.raises(ValueError, match="data is empty"):
        inspect({})


class Repeated:
    """One picture, again and again."""

    def __init__(self):
        self.picture = encoded(np.full((256, 256, 3), 7, np.uint8))

    def __len__(self):
        return 80

    def read(self, index):
        return self.picture, index % 2


@pytest.mark.thorough
def test_pictures_are_not_kept():
    source = LazySource("x", Repeated(), ("a", "b"), split="all", **make_crops((8, 8)))
    inspect({"all": source.subset(slice(0, 2))})  # what is loaded on use
    tracemalloc.start()
    report = inspect({"all": source})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.splits["all"].count == report.splits["all"].plain == 80
    assert len(report.exact[0].members) == 80
    # All of them are 16 MB.
    assert peak < 8e6, peak


def test_samples_of_every_class(folder):
    splits = load_splits(str(folder))
    rows = class_samples(splits["train"], 4)
    # Sizes differ, so all are the centre; the broken ones of `dog` are left out.
    assert {name: r.shape for name, r in rows.items()} == {
        "cat": (4, 96, 96, 3),
        "dog": (4, 96, 96, 3),
    }
    assert not any((picture == 255).all() for r in rows.values() for picture in r)
    test = class_samples(splits["test"], 3)
    assert (test["dog"][1:] == 255).all()
    assert not (test["dog"][0] == 255).all()
    again = class_samples(splits["train"], 4)
    assert all((rows[name] == again[name]).all() for name in rows)
    digits = load_source("digits", "test")
    small = class_samples(digits, 2, most_classes=3)
    assert list(small) == ["0", "1", "2"]
    assert small["0"].shape == (2, 28, 28, 3)
    unlabelled = Source("x", digits.images[:5])
    assert list(class_samples(unlabelled, 2)) == ["images"]
    with pytest.raises(ValueError, match="count is 0"):
        class_samples(digits, 0)


@pytest.mark.skipif("JAXCNN_TEST_DATA" not in os.environ, reason="no X-rays")
def test_the_leaks_of_the_xrays_are_found_and_no_others():
    path = Path(os.environ["JAXCNN_TEST_DATA"]) / "pneumoniamnist.npz"
    report = inspect(f"npz:{path}")
    content = np.load(path)
    rows = {
        split: [x.tobytes() for x in content[f"{key}_images"]]
        for split, key in (("train", "train"), ("validation", "val"), ("test", "test"))
    }
    leaked = [k for k, row in enumerate(rows["validation"]) if row in rows["train"]]
    found = [
        m.index
        for group in report.exact
        if group.is_leak
        for m in group.members
        if m.split == "validation"
    ]
    assert sorted(found) == leaked
    assert len(leaked) == 8
    assert report.leaks["train", "test"] == report.leaks["validation", "test"] == 0
    assert report.near == ()
    assert report.conflicts == ()
    for split, images in rows.items():
        extra = sum(
            sum(m.split == split for m in group.members) - 1
            for group in report.exact
            if any(m.split == split for m in group.members)
        )
        assert extra == len(images) - len(set(images))
    assert sum(split.plain for split in report.splits.values()) == 0


@pytest.mark.slow
@pytest.mark.skipif("JAXCNN_TEST_DATA" not in os.environ, reason="no MNIST")
def test_small_pictures_do_not_flood_the_report():
    folder = Path(os.environ["JAXCNN_TEST_DATA"]) / "tfds"
    for name in ("mnist", "cifar10"):
        parts = {
            split: load_source(name, f"{split}[:10000]", data_dir=folder)
            for split in ("train", "test")
        }
        report = inspect(parts)
        # Of 200 million pairs.
        assert len(report.near) <= 20


@pytest.mark.parametrize(
    ("shape", "dtype"), [((20, 24), "uint8"), ((20, 24, 5), "float32")]
)
def test_arrays_on_disk_are_looked_through_too(tmp_path, shape, dtype):
    values = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "picture.npy", values)
    found = inspect(load_splits(f"folder:{tmp_path}"))
    assert not any(split.broken for split in found.splits.values())
    assert len(found.conflicts) == 1
