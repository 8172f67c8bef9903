"""Boxes and masks follow the crop of their image; VOC, COCO and folders of masks."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data import (
    FileOptions,
    RandomResizedCrop,
    ResizeCrop,
    Stretch,
    TrainData,
    WorkerData,
    crop_boxes,
    crop_mask,
    load_source,
    make_crops,
)
from jaxcnn.data.crops import Placement
from jaxcnn.data.targets import Boxes


def read(name, split="train", **options):
    crops = make_crops((20, 30), stretch=True, area=(0.5, 1.0))
    options = {"decode": "lazy", "image_size": (20, 30), "crops": crops, **options}
    return load_source(name, split, **options)


def annotation(boxes, size=(60, 40)):
    objects = "".join(
        f"<object><name>{name}</name><difficult>{hard}</difficult><bndbox><xmin>{a}"
        f"</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for name, (a, b, c, d), hard in boxes
    )
    width, height = size
    return (
        f"<annotation><size><width>{width}</width><height>{height}</height></size>"
        f"{objects}</annotation>"
    )


def scene(path, box=(10, 8, 30, 24)):
    """Writes an image 60 x 40, white in a box (left, top, right, bottom) alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((40, 60), np.uint8)
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = 255
    Image.fromarray(pixels).save(path)


BOXES = [(10, 8, 30, 24), (20, 10, 50, 30), (2, 2, 22, 30)]


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "voc"
    for i, (a, b, c, d) in enumerate(BOXES):
        scene(root / f"JPEGImages/{i}.png", (a, b, c, d))
        boxes = [("cell", (a + 1, b + 1, c, d), 0)]  # VOC counts from 1
        boxes += [("dust", (55, 35, 70, 50), 1)] if i == 1 else []
        (root / "Annotations").mkdir(exist_ok=True)
        (root / f"Annotations/{i}.xml").write_text(annotation(boxes))
    (root / "ImageSets/Main").mkdir(parents=True)
    (root / "ImageSets/Main/train.txt").write_text("0\n1\n2\n")
    (root / "ImageSets/Main/val.txt").write_text("2\n")
    return root


@pytest.fixture
def masks(tmp_path):
    root = tmp_path / "masks"
    for i, box in enumerate(BOXES):
        scene(root / f"train/image/{i}.png", box)
        scene(root / f"train/label/{i}.png", box)
    return root


def test_boxes_of_a_crop_are_worked_out_by_hand():
    boxes = np.array([[10, 10, 30, 20], [0, 0, 12, 12], [40, 20, 60, 36.0]])
    placement = Placement((10, 10, 50, 30))
    found, kept = crop_boxes(boxes, placement, (10, 20))
    # The centre (6, 6) lies outside; (50, 28) on the border, which is outside too.
    assert kept.tolist() == [True, False, False]
    assert found.tolist() == [[0, 0, 10, 5]]
    found, _ = crop_boxes(boxes, Placement(placement.box, mirrored=True), (10, 20))
    assert found.tolist() == [[10, 0, 20, 5]]


def test_masks_take_the_nearest_pixel():
    mask = np.arange(12).reshape(3, 4)
    placement = Placement((1, 0, 3, 3))
    assert crop_mask(mask, placement, (3, 4)).tolist() == [
        [1, 1, 2, 2],
        [5, 5, 6, 6],
        [9, 9, 10, 10],
    ]
    mirrored = crop_mask(mask, Placement((0, 0, 4, 3), mirrored=True), (3, 4))
    assert (mirrored == mask[:, ::-1]).all()


def white(image):
    """Returns the box around the pixels that are more white than black."""
    rows, columns = np.nonzero(image[..., 0] > 127)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize(
    "crop",
    [
        Stretch((20, 30)),
        ResizeCrop((20, 30), 30),
        ResizeCrop((20, 20), 20),
        RandomResizedCrop((20, 30), (0.5, 1.0)),
    ],
)
def test_boxes_are_where_the_image_shows_them(voc, crop):
    crops = {"train_crop": crop, "eval_crop": Stretch(crop.size)}
    source = read(f"voc:{voc}", "train", crops=crops)
    seen = 0
    for epoch in range(12):
        batch = source.batch(np.arange(3), seed=5, epoch=epoch)
        for i in range(3):
            for box in batch["boxes"][i][batch["box_labels"][i] == 0]:
                assert abs(box - white(batch["image"][i])).max() <= 1.01
                seen += 1
    assert seen > 20


@pytest.mark.parametrize(
    "crop", [Stretch((20, 30)), ResizeCrop((20, 30), 30), RandomResizedCrop((20, 30))]
)
def test_masks_are_where_the_image_shows_them(masks, crop):
    crops = {"train_crop": crop, "eval_crop": Stretch((20, 30))}
    files = FileOptions(mode="L", mask_values=(0, 255))
    source = read(f"masks:{masks}", crops=crops, files=files)
    for epoch in range(8):
        batch = source.batch(np.arange(3), seed=5, epoch=epoch)
        assert batch["segmentation"].dtype == np.uint8
        agree = (batch["image"][..., 0] > 127) == batch["segmentation"]
        # Borders are interpolated in the image, and not in the mask.
        assert agree.mean() > 0.93


def test_voc_is_a_source(voc):
    source = read(f"voc:{voc}")
    assert source.class_names == ("cell", "dust")
    assert (source.labels, source.labelled) == (None, False)
    batch = source.batch(np.arange(3))
    assert sorted(batch) == [
        *("box_ignore", "box_labels", "boxes", "boxes_valid", "image")
    ]
    assert batch["boxes"].shape == (3, 2, 4)
    # The image is half as large; the second box is cut off at its border.
    assert batch["boxes"][1].tolist() == [[10, 5, 25, 15], [27, 17, 30, 20]]
    assert batch["box_labels"].tolist() == [[0, -1], [0, 1], [0, -1]]
    assert batch["boxes_valid"].tolist() == [[True, False], [True] * 2, [True, False]]
    assert batch["box_ignore"][1].tolist() == [0, 1]
    assert len(read(f"voc:{voc}", "validation")) == 1
    kept = read(f"voc:{voc}", decode="memory")
    assert (kept.extras["boxes"] == batch["boxes"]).all()


def test_a_box_without_an_area_is_left_out_with_a_warning(voc):
    boxes = [("cell", (5, 5, 5, 5), 0), ("cell", (5, 5, 9, 9), 0)]
    (voc / "Annotations/0.xml").write_text(annotation(boxes))
    with pytest.warns(UserWarning, match=r"0\.xml' has a box without an area"):
        source = read(f"voc:{voc}")
    assert source.batch(np.arange(1))["boxes_valid"].sum() == 1


def coco(root, layout, **changes):
    images = [
        {"id": 7 - i, "file_name": f"{i}.png", "width": 60, "height": 40}
        for i in range(3)
    ]
    entries = [
        {
            "id": i,
            "image_id": 7 - i,
            "category_id": 90,
            "bbox": [a, b, c - a, d - b],
            "iscrowd": int(i == 2),
        }
        for i, (a, b, c, d) in enumerate(BOXES)
    ]
    kinds = [{"id": 90, "name": "cell"}, {"id": 3, "name": "dust"}]
    content = {"images": images, "annotations": entries, "categories": kinds}
    where = root / layout[0]
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_text(json.dumps({**content, **changes}))
    for i, box in enumerate(BOXES):
        scene(root / layout[1] / f"{i}.png", box)


@pytest.mark.parametrize(
    "layout",
    [
        ("annotations/instances_train2017.json", "train2017"),
        ("annotations/train.json", "images"),
        ("train/_annotations.coco.json", "train"),
    ],
)
def test_coco_is_a_source(tmp_path, layout):
    coco(tmp_path, layout)
    source = read(f"coco:{tmp_path}")
    assert source.class_names == ("dust", "cell")
    batch = source.batch(np.arange(3))
    wanted = np.array(BOXES[::-1], np.float32)[:, None] / 2  # in the order of ids
    assert (batch["boxes"] == wanted).all()
    assert batch["box_labels"].tolist() == [[1]] * 3
    assert batch["box_ignore"].tolist() == [[1], [0], [0]]
    for image, box in zip(batch["image"], batch["boxes"], strict=True):
        assert white(image) == tuple(box[0])


def test_masks_may_hold_classes_as_they_are(masks):
    values = np.zeros((40, 60), np.uint16)
    values[:, 30:] = 700
    for i in range(3):
        Image.fromarray(values).save(masks / f"train/label/{i}.png")
    batch = read(f"masks:{masks}").batch(np.arange(3))
    assert batch["segmentation"].dtype == np.int32
    assert batch["segmentation"][0, 0].tolist() == [0] * 15 + [700] * 15


def test_masks_without_splits_are_parted_by_seed(masks):
    source = read(f"masks:{masks / 'train'}", files=FileOptions(test=0.34))
    assert len(source) == 2
    assert len(read(f"masks:{masks / 'train'}", "test")) == 1


def test_broken_masks_are_named_or_skipped(masks):
    (masks / "train/label/1.png").write_bytes(b"?")
    with pytest.raises(
        ValueError, match=r"1\.png' cannot be decoded: its mask .*label/1"
    ):
        read(f"masks:{masks}").batch(np.arange(3))
    source = read(f"masks:{masks}", on_broken="skip")
    with pytest.warns(UserWarning, match="is skipped"):
        assert source.batch(np.arange(3))["mask"].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("pixels", "files", "message"),
    [
        (np.zeros((4, 6), np.uint8), {}, "it is 6 x 4 pixels, the image 60 x 40"),
        (np.zeros((40, 60, 3), np.uint8), {}, "expected one whole number a pixel"),
        (
            np.full((40, 60), 9, np.uint8),
            {"mask_values": (0, 255)},
            "it holds the value 9, which is not in mask_values (0, 255)",
        ),
        (
            np.full((40, 60), 999, np.uint16),
            {},
            "it holds 999, and the first mask has 8",
        ),
    ],
)
def test_masks_that_do_not_fit_are_named(masks, pixels, files, message):
    Image.fromarray(pixels).save(masks / "train/label/1.png")
    with pytest.raises(ValueError, match=re.escape(message)):
        read(f"masks:{masks}", files=FileOptions(**files)).batch(np.arange(3))


def without(path):
    def act(voc, masks):
        (voc.parent / path).unlink()

    return act


def spoilt(path, content):
    def act(voc, masks):
        (voc.parent / path).write_text(content)

    return act


@pytest.mark.parametrize(
    ("act", "kind", "error", "message"),
    [
        (without("voc/JPEGImages/1.png"), "voc", FileNotFoundError, "no image '1'"),
        (without("voc/Annotations/1.xml"), "voc", FileNotFoundError, "no annotation"),
        (
            spoilt("voc/Annotations/1.xml", "<a"),
            "voc",
            ValueError,
            "1.xml' is not what",
        ),
        (
            without("voc/ImageSets/Main/train.txt"),
            "voc",
            ValueError,
            "no split 'train'",
        ),
        (
            without("masks/train/label/1.png"),
            "masks",
            ValueError,
            "'1.png' has no mask",
        ),
    ],
)
def test_what_is_missing_is_named(voc, masks, act, kind, error, message):
    act(voc, masks)
    with pytest.raises(error, match=re.escape(message)):
        read(f"{kind}:{voc.parent / kind}")


def test_what_is_missing_of_coco_is_named(tmp_path):
    layout = ("annotations/train.json", "images")
    coco(tmp_path, layout)
    with pytest.raises(ValueError, match=r"no split 'test'.*It has 'train'"):
        read(f"coco:{tmp_path}", "test")
    coco(tmp_path, layout, categories=[])
    with pytest.raises(
        ValueError, match=r"train\.json' is not what COCO writes: KeyErr"
    ):
        read(f"coco:{tmp_path}")
    coco(tmp_path, layout)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no image '2\.png'"):
        read(f"coco:{tmp_path}")


def test_an_example_without_boxes_has_padding_alone():
    boxes = Boxes([[], [[0, 0, 2, 2]]], [[], [3]])
    row = boxes.place(boxes.read(0), Placement((0, 0, 4, 4)), (4, 4), (4, 4))
    assert row["box_labels"].tolist() == [-1]
    assert (boxes.most, row["boxes_valid"].sum()) == (1, 0)


@pytest.mark.slow
def test_workers_give_the_same_boxes(voc):
    data = TrainData(read(f"voc:{voc}"), 3, seed=3)
    wanted = [data[k] for k in range(4)]
    with WorkerData(data, workers=2) as batches:
        for k, batch in enumerate(wanted):
            found = batches[k]
            assert all((found[name] == batch[name]).all() for name in batch)
