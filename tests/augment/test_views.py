import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.augment import list_views, make_views

IMAGE = jnp.arange(1.0, 10).reshape(1, 3, 3, 1)


def seen(spec, images=IMAGE):
    return [np.asarray(view(images))[0, ..., 0].tolist() for view in make_views(spec)]


def test_flip_by_hand():
    plain = IMAGE[0, ..., 0].tolist()
    assert seen("flip") == [plain, [[3, 2, 1], [6, 5, 4], [9, 8, 7]]]


def test_shifts_by_hand():
    assert seen("shifts") == [
        IMAGE[0, ..., 0].tolist(),
        [[5, 6, 0], [8, 9, 0], [0, 0, 0]],  # up and left
        [[0, 4, 5], [0, 7, 8], [0, 0, 0]],
        [[0, 0, 0], [2, 3, 0], [5, 6, 0]],
        [[0, 0, 0], [0, 1, 2], [0, 4, 5]],
    ]


def test_crops_by_hand():
    five = [[[1, 2], [4, 5]], [[1, 2], [4, 5]], [[2, 3], [5, 6]]]
    five += [[[4, 5], [7, 8]], [[5, 6], [8, 9]]]
    assert seen("five_crops(size=2)") == five
    assert seen("five_crops(size=(2, 3))")[3] == [[4, 5, 6], [7, 8, 9]]
    ten = seen("ten_crops(size=2)")
    assert ten[::2] == five
    assert ten[1::2] == [[row[::-1] for row in view] for view in five]


def test_several_names_give_all_combinations():
    views = seen(["flip", "shifts"])
    assert len(views) == 10
    mirrored = IMAGE[:, :, ::-1]
    assert views[5:] == seen("shifts", mirrored)


def test_functions_stand_for_themselves():
    views = make_views([lambda x: x, lambda x: 1 - x])
    np.testing.assert_array_equal(views[1](IMAGE), 1 - IMAGE)
    assert len(make_views(lambda x: x)) == 1


def test_every_name_makes_views_of_one_size():
    specs = {"flip": "flip", "shifts": "shifts(pixels=2)"}
    specs |= {name: f"{name}(size=5)" for name in ("five_crops", "ten_crops")}
    assert set(specs) == set(list_views())
    images = jax.ShapeDtypeStruct((2, 8, 7, 3), jnp.float32)
    for spec in specs.values():
        shapes = {jax.eval_shape(view, images).shape for view in make_views(spec)}
        assert len(shapes) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("flop", "Unknown view 'flop'. Did you mean 'flip'"),
        ("shifts(pixels=0)", "pixels=0 must be a whole number of pixels >= 1"),
        ("five_crops", "view 'five_crops' needs the argument 'size'"),
        ("five_crops(size=0)", "size=0 must be a whole number"),
        ("flip(", r"View 'flip\(' cannot be read"),
        ([], "views must be one or more"),
        (["flip", lambda x: x], "names or functions, not both"),
    ],
)
def test_bad_views(spec, message):
    with pytest.raises(ValueError, match=message):
        make_views(spec)


def test_crops_larger_than_the_image():
    with pytest.raises(ValueError, match="crops of 4x4 do not fit into images of 3x3"):
        seen("five_crops(size=4)")
