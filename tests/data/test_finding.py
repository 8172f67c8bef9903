import re

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data import FileOptions, find_examples


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a/c.JPG", "a/deep/d.npy", ".hidden.png", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked into")
    return tmp_path


def found(folder, *paths, **options):
    examples = find_examples([str(folder / p) for p in paths], **options)
    return [
        tuple(file.removeprefix(f"{folder}/") for file in files) for files in examples
    ]


def test_a_folder_is_all_images_under_it_in_order(folder):
    assert found(folder, "") == [("a/c.JPG",), ("a/deep/d.npy",), ("b.png",)]


def test_files_are_taken_as_they_are_and_each_once(folder):
    paths = ("notes.txt", "b.png", "", "b.png")
    names = [name for (name,) in found(folder, *paths)]
    assert names == ["notes.txt", "b.png", "a/c.JPG", "a/deep/d.npy"]


def test_patterns(folder):
    assert found(folder, "*") == [("b.png",)]
    assert found(folder, "**/*.[Jn]*") == [("a/c.JPG",), ("a/deep/d.npy",)]


def test_a_name_that_looks_like_a_pattern_is_a_file_first(tmp_path):
    (tmp_path / "x[1].png").write_bytes(b"")
    assert found(tmp_path, "x[1].png") == [("x[1].png",)]


def test_a_table_names_files_beside_it(folder):
    (folder / "list.tsv").write_text("id\tpath\tlabel\n1\tb.png\t\n2\ta/c.JPG\tcat\n")
    assert found(folder, "list.tsv") == [("b.png",), ("a/c.JPG",)]
    (folder / "two.csv").write_text("ct,pet\nb.png,a/c.JPG\n")
    stack = FileOptions(stack=("ct:L", "pet:L"))
    assert found(folder, "two.csv", files=stack) == [("b.png", "a/c.JPG")]
    other = FileOptions(columns={"path": "ct", "label": "finding"})
    assert found(folder, "two.csv", files=other) == [("b.png",)]


def test_files_of_an_example_are_found_by_the_first(tmp_path):
    for name in ("1_ct.png", "1_pet.png", "2_ct.png"):
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / name)
    stack = FileOptions(stack=("{}_ct.png:L", "{}_pet.png:L"))
    pairs = [("1_ct.png", "1_pet.png"), ("2_ct.png", "2_pet.png")]
    assert found(tmp_path, "", files=stack) == pairs
    assert found(tmp_path, "2_ct.png", files=stack) == pairs[1:]
    with pytest.raises(ValueError, match=r"no name that ends in '_ct.png'"):
        found(tmp_path, "1_pet.png", files=stack)


def test_a_missing_file_of_a_list_is_found_out_later(tmp_path):
    assert found(tmp_path, "gone.png", listed=True) == [("gone.png",)]


@pytest.mark.parametrize(
    ("path", "files", "error", "message"),
    [
        ("gone.png", FileOptions(), FileNotFoundError, "There is no picture"),
        ("gone.csv", FileOptions(), FileNotFoundError, "There is no table"),
        ("gone*.png", FileOptions(), ValueError, "holds no images (.jpg"),
        ("a/deep/../empty", FileOptions(), ValueError, "holds no images (.jpg"),
        ("", FileOptions(stack=("ct:L", "pet:L")), ValueError, "columns ct, pet of a"),
    ],
)
def test_what_is_not_there(folder, path, files, error, message):
    (folder / "a" / "empty").mkdir()
    with pytest.raises(error, match=re.escape(message)):
        found(folder, path, files=files)
