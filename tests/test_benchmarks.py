import pytest

import benchmarks.__main__ as bench
from benchmarks import augment, decode
from jaxcnn.augment import make_augment


@pytest.mark.thorough
def test_rows_hold_what_was_timed():
    rows = bench.measure(["lenet"], repeats=3)
    assert [row["kind"] for row in rows] == ["train", "inference"]
    for row in rows:
        low, high = row["middle_half"]
        assert low <= row["images_per_second"] <= high
        assert row["first_call_seconds"] > 0


def test_the_environment_names_hardware_versions_and_commit():
    about = bench.environment()
    assert about["versions"].keys() == {"jaxcnn", "jax", "flax", "python"}
    assert about["commit"]
    assert "cores" in about["cpu"]


@pytest.mark.parametrize("name", bench.ROWS)
def test_every_row_is_a_registered_model(name):
    import jaxcnn

    assert name in jaxcnn.list_models()


@pytest.mark.thorough
def test_decoding_is_timed(tmp_path):
    decode.write_images(tmp_path, 40)
    (row,) = decode.measure(tmp_path, ["jaxcnn"], [0], rounds=2, count=2)
    low, high = row["middle_half"]
    assert 0 < low <= row["images_per_second"] <= high


def test_decoding_is_timed_of_the_same_loaders():
    assert list(decode.CALLS) == ["jaxcnn", "torch DataLoader"]


def test_every_case_of_augmentation_can_be_made():
    for size, batch, specs in augment.CASES.values():
        assert make_augment(specs).steps
        assert size * batch > 0


@pytest.mark.parity
def test_augmentation_is_timed_in_three_ways():
    rows = augment.measure("crop_flip", rounds=2, seconds=0.01)
    assert [row["way"].split(",")[0] for row in rows] == [
        "jaxcnn",
        *["torchvision"] * 2,
    ]
    for row in rows:
        low, high = row["middle_half"]
        assert 0 < low <= row["images_per_second"] <= high
