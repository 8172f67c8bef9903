"""Folders, tables, stacks and the cache on disk, from the configuration."""

import dataclasses
import io
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.data import cache_folder
from jaxcnn.experiment import ExperimentConfig, build, train
from jaxcnn.experiment.checks import validate
from jaxcnn.experiment.flags import parse_config
from jaxcnn.experiment.folder import _MAY_CHANGE

from .test_lazy import lazy

FIELDS = (
    *("mode", "stack", "window", "edges", "group", "columns", "test_share"),
    *("split_seed", "mask_values", "stretch", "disk_cache", "cache_size"),
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Twelve images of patients, without splits, each with an infrared one."""
    from PIL import Image

    monkeypatch.setenv("JAXCNN_HOME", str(tmp_path / "home"))
    rng = np.random.default_rng(0)
    lines = ["file,ir,finding"]
    for c, name in enumerate(("sick", "well")):
        (tmp_path / "scans" / name).mkdir(parents=True)
        for i in range(12):
            stem = f"{name}/p{c}{i // 2}_{i}"
            pixels = rng.integers(0, 100 + 100 * c, (24, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"scans/{stem}_rgb.png")
            deep = pixels[..., 0].astype(np.uint16) * 8
            Image.fromarray(deep).save(tmp_path / f"scans/{stem}_ir.png")
            lines.append(f"{stem}_rgb.png,{stem}_ir.png,{name}")
    (tmp_path / "scans/all.csv").write_text("\n".join(lines))
    return tmp_path


def scans(root, **changes):
    data = {
        "name": f"folder:{root}/scans",
        "stack": ("{}_rgb.png:RGB", "{}_ir.png:L"),
        "window": (800.0, 1600.0),
        "edges": True,
        "group": "p([0-9]+)_",
        "test_split": "test",
        "validation": 0.2,
        **changes,
    }
    config = lazy(root)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **data))


def groups(data):
    return set(data.source.groups.tolist())


def test_the_model_has_the_channels_of_the_stack(root):
    experiment = build(scans(root))
    assert experiment.train[0]["image"].shape == (4, 16, 16, 5)
    preprocess = experiment.run_config.preprocess
    assert (len(preprocess.mean), len(preprocess.std)) == (5, 5)
    shapes = jax.tree.map(jnp.shape, experiment.abstract_state().params)
    assert (3, 3, 5, 4) in jax.tree.leaves(shapes, is_leaf=lambda x: type(x) is tuple)
    parts = [experiment.train, experiment.validation, experiment.test]
    assert sum(len(groups(part)) for part in parts) == 12
    assert not groups(parts[0]) & groups(parts[1])
    assert not groups(parts[0]) & groups(parts[2])


def test_a_table_gives_the_same_images(root):
    columns = {"path": "file", "label": "finding"}
    changes = {"name": f"table:{root}/scans/all.csv", "columns": columns}
    table = build(scans(root, stack=("file:RGB", "ir:L"), **changes))
    folder = build(scans(root))
    assert (table.train[3]["image"] == folder.train[3]["image"]).all()
    assert table.train.source.class_names == ("sick", "well")


@pytest.mark.thorough
def test_a_run_from_the_cache_on_disk_goes_on_as_it_began(root):
    config = scans(root, disk_cache=True, cache_size=20, validation=0)
    whole = train(config, file=io.StringIO())
    assert len(list(cache_folder().glob("*.decoded"))) == 2
    parts = dataclasses.replace(config, run=str(root / "parts"))
    train(dataclasses.replace(parts, steps=3), file=io.StringIO())
    for path in cache_folder().glob("*.decoded"):
        path.unlink()
    data = dataclasses.replace(parts.data, workers=1)
    found = train(dataclasses.replace(parts, data=data), file=io.StringIO())
    assert found.metrics == whole.metrics


def test_fields_change_the_numbers_and_old_configurations_load(root):
    assert not {f"data.{name}" for name in FIELDS} & _MAY_CHANGE
    values = ExperimentConfig().to_json()
    for name in FIELDS:
        del values["data"][name]
    assert ExperimentConfig.from_json(values) == ExperimentConfig()
    config = scans(root)
    assert ExperimentConfig.from_json(config.to_json()) == config


def test_flags_are_the_fields():
    words = (
        "--data.mode L --data.stack path:RGB ir:L --data.window 40 400 --data.edges "
        '--data.group p([0-9]+) --data.columns {"label":"x"} --data.test-share 0.3 '
        "--data.split-seed 4 --data.mask-values 0 255 --data.stretch --data.disk-cache "
        "--data.cache-size 40"
    )
    data = parse_config(ExperimentConfig(), words.split(), prog="jaxcnn").data
    assert (data.stack, data.window) == (("path:RGB", "ir:L"), (40.0, 400.0))
    assert (data.mode, data.edges, data.group) == ("L", True, "p([0-9]+)")
    assert (data.columns, data.test_share, data.split_seed) == ({"label": "x"}, 0.3, 4)
    assert (data.mask_values, data.stretch) == ((0, 255), True)
    assert (data.disk_cache, data.cache_size) == (True, 40)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decode": "memory", "disk_cache": True}, "data.disk_cache needs data.decode"),
        ({"cache_size": 20}, "data.cache_size is 20: it needs data.disk_cache"),
        ({"cache_size": 0}, "data.cache_size must be above 0, got 0"),
        ({"stretch": True, "resize": 20}, "data.resize is for a centre crop"),
        ({"split_seed": -1}, "seed is -1"),
    ],
)
def test_bad_fields_are_named(root, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        validate(scans(root, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "BGR", "stack": ()}, "mode is 'BGR'"),
        ({"window": ()}, "more than 8 bits a channel (I;16)"),
        ({"group": "patient"}, "group 'patient' is not found in"),
        ({"name": "digits"}, "files is for images in files"),
    ],
)
def test_what_does_not_fit_the_files_is_named(root, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build(scans(root, **changes))


def test_boxes_are_no_classes_to_learn(root):
    (root / "v/Annotations").mkdir(parents=True)
    (root / "v/ImageSets/Main").mkdir(parents=True)
    (root / "v/JPEGImages").mkdir()
    picture = next(root.glob("scans/sick/*_rgb.png"))
    (root / "v/JPEGImages/1.png").write_bytes(picture.read_bytes())
    (root / "v/ImageSets/Main/train.txt").write_text("1")
    (root / "v/Annotations/1.xml").write_text(
        "<a><size><width>20</width><height>24</height></size><object><name>x</name>"
        "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        "</object></a>"
    )
    with pytest.raises(ValueError, match="has no labels to classify by"):
        build(scans(root, name=f"voc:{root}/v", stack=(), group=None, validation=0))
