"""Folders without splits, tables and stacks: what is read, and what is refused."""

import re

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data import (
    EvalData,
    FileOptions,
    Fold,
    TrainData,
    WorkerData,
    load_source,
)


def picture(path, gray, size=(20, 24), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(size, gray, np.uint8)
    pixels[:4] += 9  # so that no image is constant
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def folder(tmp_path):
    """Classes without splits: 10 patients, 4 images each, 6 patients are sick."""
    root = tmp_path / "scans"
    for p in range(10):
        for i in range(4):
            name = f"{'sick' if p < 6 else 'well'}/patient{p}_{i}.png"
            picture(root / name, 20 * p + i)
    return root


@pytest.fixture
def table(folder):
    """The same images listed in a table, in which patient 9 is in the test split."""
    lines = ["path,label,split,group"]
    for path in sorted(folder.rglob("*.png")):
        name = path.relative_to(folder).as_posix()
        patient = name.split("patient")[1].split("_")[0]
        split = {"9": "test", "0": "val", "8": "val"}.get(patient, "Train")
        lines.append(f"{name},{path.parent.name},{split},{patient}")
    where = folder / "all.csv"
    where.write_text("\n".join(lines) + "\n")
    return where


def read(name, split="train", *, image_size=(16, 16), decode="lazy", **options):
    known = FileOptions.__dataclass_fields__
    files = {key: options.pop(key) for key in list(options) if key in known}
    return load_source(
        name,
        split,
        decode=decode,
        image_size=image_size,
        files=FileOptions(**files),
        **options,
    )


def names(source):
    return {source.records.name(int(index)) for index in source.indices}


def test_a_folder_without_splits_is_parted_by_seed(folder):
    train, test = (read(f"folder:{folder}", part) for part in ("train", "test"))
    assert (len(train), len(test)) == (32, 8)
    assert train.class_names == ("sick", "well")
    assert np.bincount(test.labels).tolist() == [5, 3]  # of 24 and 16
    assert not names(train) & names(test)
    assert names(read(f"folder:{folder}", "test")) == names(test)
    assert names(read(f"folder:{folder}", "test", split_seed=1)) != names(test)
    assert len(read(f"folder:{folder}", "test", test=0.5)) == 20


def test_a_folder_may_have_no_test_part(folder):
    assert len(read(f"folder:{folder}", test=0)) == 40
    with pytest.raises(ValueError, match="no split 'test'"):
        read(f"folder:{folder}", "test", test=0)
    with pytest.raises(ValueError, match=r"no split 'validation'.*carves"):
        read(f"folder:{folder}", "validation")


@pytest.mark.parametrize("validation", [0.25, Fold(1, 3)])
def test_a_patient_stays_on_one_side(folder, validation):
    options = {"group": r"patient(\d+)", "validation": validation, "test": 0.3}
    parts = [read(f"folder:{folder}", "test", **options)]
    parts += [
        read(f"folder:{folder}", part, **options) for part in ("train", "validation")
    ]
    patients = [
        {re.search(r"patient(\d+)_", name)[1] for name in names(part)} for part in parts
    ]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 10
    assert len(parts[0]) == 12
    assert all(set(part.labels) == {0, 1} for part in parts)


def test_groups_stay_with_images_in_memory(folder):
    source = read(f"folder:{folder}", group="patient[0-9]+", decode="memory", test=0)
    assert len(set(source.groups)) == 10


def test_a_group_in_two_folders_of_splits_is_refused(tmp_path):
    for split in ("train", "test"):
        for name in ("a/p1.png", "b/p2.png"):
            picture(tmp_path / split / name.replace("2", "34"[split == "test"]), 9)
    with pytest.raises(ValueError, match="group '1' is in 'train' and in 'test'"):
        read(f"folder:{tmp_path}", group=r"p(\d)")


def test_a_table_is_a_source(table):
    source = read(f"table:{table}")
    assert (len(source), source.class_names) == (28, ("sick", "well"))
    assert np.bincount(source.labels).tolist() == [20, 8]
    assert len(read(f"table:{table}", "test")) == 4
    assert len(read(f"table:{table}", "val")) == 8
    assert len(set(source.groups)) == 7
    batch = EvalData(read(f"table:{table}", "test"), 4)[0]
    assert batch["image"][:, 8, 8, 0].tolist() == [180, 181, 182, 183]


def test_a_table_without_splits_is_parted_by_seed_and_group(folder, table):
    rows = [line.split(",") for line in table.read_text().splitlines()]
    tabs = folder / "all.tsv"
    tabs.write_text("\ufeff" + "\n".join("\t".join(r[:2] + r[3:]) for r in rows))
    train, test = (read(f"table:{tabs}", part) for part in ("train", "test"))
    assert (len(train), len(test)) == (32, 8)
    assert not set(train.groups) & set(test.groups)
    # Found in the path as well, where there is no column.
    tabs.write_text("\n".join("\t".join(r[:2]) for r in rows))
    train, test = (
        read(f"table:{tabs}", part, group=r"patient(\d+)") for part in ("train", "test")
    )
    assert not set(train.groups) & set(test.groups)


def test_columns_may_have_other_names(folder):
    where = folder / "t.csv"
    lines = [f"sick/patient0_{i}.png,{10 - i}" for i in range(4)]
    where.write_text("\n".join(["file,grade", *lines]))
    columns = {"path": "file", "label": "grade"}
    source = read(f"table:{where}", columns=columns, test=0)
    assert source.class_names == ("7", "8", "9", "10")  # in the order of numbers
    assert source.labels.tolist() == [3, 2, 1, 0]
    bare = read(f"table:{where}", columns={"path": "file"}, test=0)
    assert (bare.labels, bare.num_classes) == (None, 0)
    assert sorted(bare.batch(np.arange(2))) == ["image"]


def test_columns_of_a_table_are_stacked(folder):
    for i in range(4):
        picture(folder / f"ir/{i}.png", 100 + i, mode="L")
    where = folder / "t.csv"
    lines = [f"sick/patient0_{i}.png,ir/{i}.png,{i % 2}" for i in range(4)]
    where.write_text("\n".join(["path,ir,label", *lines]))
    options = {"stack": ("path:RGB", "ir:L"), "edges": True, "test": 0}
    source = read(f"table:{where}", **options)
    assert source.image_shape == (16, 16, 5)
    mean, std = source.channel_stats()
    assert (len(mean), len(std)) == (5, 5)
    images = source.batch(np.arange(4))["image"]
    assert images[:, 10, 10].tolist() == [[i, i, i, 100 + i, 0] for i in range(4)]
    assert " + " in source.records.name(0)
    (folder / "ir/2.png").write_bytes(b"?")
    with pytest.raises(ValueError, match=r"ir/2\.png' cannot be decoded: file 2 of it"):
        source.batch(np.arange(4))


def test_patterns_stack_the_files_of_a_folder(tmp_path):
    for c, name in enumerate(("ill", "well")):
        for i in range(3):
            picture(tmp_path / name / f"{i}_ct.png", 10 * c + i, mode="L")
            picture(tmp_path / name / f"{i}_pet.png", 100 + i, mode="L")
    stack = ("{}_ct.png:L", "{}_pet.png:L")
    source = read(f"folder:{tmp_path}", stack=stack, test=0)
    assert (len(source), source.image_shape) == (6, (16, 16, 2))
    found = source.batch(np.arange(6))["image"][:, 10, 10].tolist()
    assert found == [[10 * c + i, 100 + i] for c in range(2) for i in range(3)]
    (tmp_path / "well/1_pet.png").unlink()
    with pytest.raises(ValueError, match=r"well/1_ct\.png' has no file beside it"):
        read(f"folder:{tmp_path}", stack=stack)
    with pytest.raises(ValueError, match=r"'_ct\.png' in stack is no pattern"):
        read(f"folder:{tmp_path}", stack=("_ct.png:L",))


@pytest.mark.filterwarnings("ignore:.*cannot be decoded")
@pytest.mark.parametrize(
    "content", [b"\x93NUMPY\x01\0", b"II*\0", b"RIFF....WEBP", b""]
)
def test_broken_files_of_all_kinds_are_named_or_skipped(folder, content):
    (folder / "well/patient9_3.png").write_bytes(content)
    source = read(f"folder:{folder}", test=0)
    with pytest.raises(ValueError, match=r"patient9_3\.png' cannot be decoded"):
        source.batch(np.arange(40))
    source = read(f"folder:{folder}", test=0, on_broken="skip")
    assert source.batch(np.arange(40))["mask"].sum() == 39
    assert len(source.broken) == 1


def test_what_old_runs_know_their_data_by_is_as_it_was(folder):
    prints = {
        read(f"folder:{folder}", test=0, **options).fingerprint()
        for options in ({}, {"mode": "L"}, {"window": (4, 5)}, {"edges": True})
    }
    assert len(prints) == 4
    plain = read(f"folder:{folder}", test=0)
    assert (
        plain.fingerprint()
        == load_source(
            f"folder:{folder}",
            decode="lazy",
            image_size=(16, 16),
            files=FileOptions(test=0),
        ).fingerprint()
    )


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2", {}, "has no column 'path'"),
        ("path,lable\n1,2", {"columns": {"label": "label"}}, "Did you mean 'lable'"),
        ("path,label", {}, "has no rows"),
        ("path,label\na.png,x\nb.png,", {}, "has no 'label' in line 3"),
        ("path,label\na.png,x", {"stack": ("path:L", "ir:L")}, "has no column 'ir'"),
        ("path,label,split\na.png,x,train", {"split": "test"}, "no split 'test'"),
        (
            "path,split,group\na.png,train,7\nb.png,test,7",
            {},
            "group '7' is in 'test' and in 'train'",
        ),
        (b"path\n\xff.png", {}, "is not text in UTF-8"),
    ],
)
def test_bad_tables_are_named(tmp_path, text, options, message):
    where = tmp_path / "t.csv"
    where.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=re.escape(message)):
        read(f"table:{where}", **options)


def test_a_table_or_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no table .*t\.csv"):
        read(f"table:{tmp_path}/t.csv")
    (tmp_path / "t.csv").write_text("path,label\nnone.png,x")
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        read(f"table:{tmp_path}/t.csv", test=0).batch(np.arange(1))


def test_options_of_files_are_not_for_other_sources():
    with pytest.raises(
        ValueError, match=r"files is for images in files .*not for 'dig"
    ):
        load_source("digits", files=FileOptions(mode="L"))


@pytest.mark.thorough
def test_workers_give_the_same_bytes_of_a_stack(folder, table):
    options = {"stack": ("path:RGB", "path:L"), "edges": True}
    data = TrainData(read(f"table:{table}", **options), 8, seed=3)
    wanted = [data[k] for k in range(5)]
    with WorkerData(data, workers=2) as batches:
        for k, batch in enumerate(wanted):
            found = batches[k]
            assert found.keys() == batch.keys()
            assert all((found[name] == batch[name]).all() for name in batch)
