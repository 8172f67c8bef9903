"""Sources that decode when asked: the same batches at any time, faults by name."""

import pickle
import re

import numpy as np
import pytest

from jaxcnn.data import EvalData, LazySource, TrainData, carve_validation, load_source
from jaxcnn.data.image_folder import FolderRecords

from .images import read, same, write_images


@pytest.fixture
def root(tmp_path):
    return write_images(tmp_path)


def spoil(path):
    """Cuts a file in two, as a full disk does."""
    path.write_bytes(path.read_bytes()[:200])


def test_a_folder_is_a_source(root):
    source = read(root)
    assert isinstance(source, LazySource)
    assert (len(source), source.class_names) == (12, ("cat", "dog"))
    assert source.image_shape == (16, 16, 3)
    assert source.labels.tolist() == [0] * 6 + [1] * 6
    assert "12 images decoded to 16x16x3, 2 classes" in repr(source)
    assert len(read(root, "validation")) == len(read(root, "val")) == 6


def test_evaluation_gives_every_image_once(root):
    batches = list(EvalData(read(root, "val"), 4))
    assert [batch["mask"].tolist() for batch in batches] == [[1] * 4, [1, 1, 0, 0]]
    images = np.concatenate([batch["image"] for batch in batches])[:6]
    grays = images[:, 12, 8, 0].astype(int)
    assert abs(grays - [0, 20, 40, 120, 140, 160]).max() < 4
    assert images.dtype == np.uint8


def test_crops_depend_on_seed_epoch_and_index_alone(root):
    source = read(root)
    batch = source.batch(np.array([3, 5]), seed=1, epoch=2)
    again = read(root).batch(np.array([5]), seed=1, epoch=2)
    assert (batch["image"][1] == again["image"][0]).all()
    images = [
        source.batch(np.array([3]), seed=seed, epoch=epoch)["image"]
        for seed, epoch in ((1, 2), (1, 3), (2, 2))
    ]
    assert not (images[0] == images[1]).all()
    assert not (images[0] == images[2]).all()


def test_training_batches_can_be_asked_for_in_any_order(root):
    data = [TrainData(read(root), 4, seed=7) for _ in range(2)]
    forth = [data[0][k] for k in range(7)]
    back = [data[1][k] for k in reversed(range(7))][::-1]
    assert all(same(one, two) for one, two in zip(forth, back, strict=True))
    assert not same(forth[0], forth[3])  # another epoch


def test_shares_of_processes_make_the_batch(root):
    source = read(root)
    whole = TrainData(source, 4, 0)[1]["image"]
    parts = [TrainData(source, 4, 0, i, 2)[1]["image"] for i in range(2)]
    assert (np.concatenate(parts) == whole).all()


def test_without_random_crops_training_sees_what_evaluation_sees(root):
    from jaxcnn.data import make_crops

    source = read(root, crops=make_crops((16, 16), random=False))
    batch, seen = source.batch(np.arange(3), epoch=4), source.batch(np.arange(3))
    assert same(batch, seen)


def test_a_validation_part_is_carved_without_decoding(root):
    train, held_out = carve_validation(read(root), 4)
    assert held_out.labels.tolist() == [0, 0, 1, 1]
    assert len(train) == 8
    assert len(read(root, "validation", validation=4)) == 4


def test_slices_of_a_folder_hold_all_classes(root):
    sizes = [len(read(root, part)) for part in ("train[:50%]", "train[50%:]")]
    assert sizes == [6, 6]
    assert set(read(root, "train[:50%]").labels.tolist()) == {0, 1}


def test_in_memory_it_is_what_evaluation_sees(root):
    lazy, kept = read(root), read(root, decode="memory")
    assert (kept.images == lazy.batch(np.arange(12))["image"]).all()
    assert (kept.labels == lazy.labels).all()
    assert lazy.channel_stats() == kept.channel_stats()


def test_too_much_for_the_memory_is_said_before(root, monkeypatch):
    monkeypatch.setattr("jaxcnn.data.lazy._memory", lambda: 1000)
    with pytest.raises(ValueError, match=r"0\.0 GB decoded.*decode='lazy'"):
        read(root, decode="memory")


def test_the_fingerprint_knows_names_sizes_and_classes(root, tmp_path_factory):
    prints = {read(root).fingerprint(), read(root, image_size=(8, 8)).fingerprint()}
    copy = write_images(tmp_path_factory.mktemp("copy"))
    assert read(copy).fingerprint() in prints
    (root / "train/cat/0.jpg").rename(root / "train/cat/a.jpg")
    prints.add(read(root).fingerprint())
    spoil(root / "train/cat/a.jpg")
    prints.add(read(root).fingerprint())
    (root / "train/cat/a.jpg").rename(root / "train/dog/a.jpg")
    prints.add(read(root).fingerprint())
    assert len(prints) == 5


def test_names_are_pickled_in_one_piece():
    names = [f"class{i % 10}/{i:08d}.jpg" for i in range(1000)]
    records = FolderRecords("root", names, np.zeros(1000, np.int32))
    again = pickle.loads(pickle.dumps(records))
    assert [again.name(i) for i in (0, 999)] == [f"'root/{names[i]}'" for i in (0, 999)]
    assert len(pickle.dumps(records)) < 36 * 1000


def test_a_broken_image_is_named(root):
    spoil(root / "train/dog/2.jpg")
    data = TrainData(read(root), 12)
    with pytest.raises(ValueError, match=r"dog/2\.jpg' cannot be decoded: .*skip"):
        data[0]


def test_a_missing_image_is_an_error_even_if_broken_ones_are_skipped(root):
    source = read(root, on_broken="skip")
    (root / "train/dog/2.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="dog/2"):
        source.batch(np.arange(12), epoch=0)


@pytest.mark.filterwarnings("ignore:.*cannot be decoded")
def test_in_training_the_next_image_takes_the_place_of_a_broken_one(root):
    spoil(root / "train/dog/5.jpg")
    source = read(root, on_broken="skip")
    batch = source.batch(np.array([11, 4]), epoch=0)
    # The last one is broken: on with the first.
    assert same(batch, source.batch(np.array([0, 4]), epoch=0))
    assert batch["label"].tolist() == [0, 0]
    assert list(source.broken) == [f"'{root}/train/dog/5.jpg'"]


def test_a_broken_image_is_told_of_once(root):
    spoil(root / "train/dog/5.jpg")
    source = read(root, on_broken="skip")
    with pytest.warns(UserWarning, match=r"dog/5\.jpg' cannot be decoded") as seen:
        source.batch(np.array([11, 11]), epoch=0)
    assert len(seen) == 1
    source.batch(np.array([11]))  # a second warning would be an error here


@pytest.mark.filterwarnings("ignore:.*cannot be decoded")
def test_in_evaluation_a_broken_image_does_not_count(root):
    spoil(root / "val/cat/1.jpg")
    batches = list(EvalData(read(root, "val", on_broken="skip"), 4))
    assert [batch["mask"].tolist() for batch in batches] == [[1, 0, 1, 1], [1, 1, 0, 0]]


@pytest.mark.filterwarnings("ignore:.*cannot be decoded")
def test_where_all_is_broken_it_ends(root):
    for path in root.glob("train/*/*.jpg"):
        spoil(path)
    with pytest.raises(ValueError, match="12 examples in a row cannot be decoded"):
        read(root, on_broken="skip").batch(np.array([0]), epoch=0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("folder:{root}", {"split": "tests"}, "no split 'tests'"),
        ("folder:{root}", {"on_broken": "ignore"}, "on_broken is 'ignore'"),
        ("folder:{root}", {"decode": "lasy"}, "decode is 'lasy'. Did you mean 'lazy'"),
        ("folder:{root}", {"image_size": None}, "image_size is None"),
        ("digits", {}, "decode is 'lazy', but 'digits' is not stored as encoded"),
        ("npz:x.npz", {}, "decode is 'lazy', but 'npz:x.npz' is not stored"),
        ("folders:{root}", {"decode": "memory"}, "unknown kind 'folders'"),
    ],
)
def test_bad_arguments_are_named(root, name, options, message):
    options = {"decode": "lazy", "image_size": (16, 16), **options}
    with pytest.raises(ValueError, match=re.escape(message)):
        load_source(name.format(root=root), **options)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read(tmp_path / "none")


def test_a_class_of_validation_alone_is_an_error(root):
    (root / "val/mouse").mkdir()
    with pytest.raises(ValueError, match="has class 'mouse', which"):
        read(root, "val")


def test_a_folder_without_images_is_an_error(tmp_path):
    (tmp_path / "train/cat").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"holds no images \(\.jpg"):
        read(tmp_path)
