import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxcnn.plotting import draw_convolution
from jaxcnn.plotting.convolution import _Scene, _transposed_scene

ROOT = Path(__file__).parents[2]
ORANGE = (0xD5, 0x5E, 0x00)


def test_every_panel_marks_one_output(tmp_path):
    areas = []
    for outputs in ([0], [0, 5], [0, 5, 8]):
        draw_convolution(tmp_path / "a.png", 5, 3, outputs=outputs)
        picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
        areas.append((picture == np.array(ORANGE)).all(axis=-1).sum())
    assert areas[0] > 500
    assert areas[1:] == pytest.approx([2 * areas[0], 3 * areas[0]], rel=0.05)


def test_the_heading_is_the_arithmetic_or_a_text(tmp_path):
    path = tmp_path / "a.svg"
    draw_convolution(path, 5, 3, 2, 1)
    assert "5x5 to 3x3: kernel 3, stride 2, padding 1 " in path.read_text()
    options = {"transposed": True, "output_padding": 1}
    draw_convolution(path, 3, 3, 2, 1, 1, **options)
    assert (
        "3x3 to 6x6: transposed, kernel 3, stride 2, padding 1, output padding 1"
        in (path.read_text())
    )
    draw_convolution(path, 5, 3, dilation=2, title="Holes")
    assert "Holes" in path.read_text()


def connections(scene):
    """Returns which input pixel each output reads, by row: `[out, size]`."""
    return np.array(
        [
            [
                scene.reads((at, 0), (output, 0)) and scene.is_pixel(at)
                for at in range(scene.cells)
                if scene.is_pixel(at)
            ]
            for output in range(scene.out)
        ]
    )


def convolved(x, scene_kernel, stride, pads, dilation, spread):
    return jax.lax.conv_general_dilated(
        x[None, :, None],
        jnp.ones((scene_kernel, 1, 1)),
        (stride,),
        [pads],
        lhs_dilation=(spread,),
        rhs_dilation=(dilation,),
        dimension_numbers=("NLC", "LIO", "NLC"),
    )[0, :, 0]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(3, 1, 0, 1), (3, 2, 1, 1), (2, 3, 0, 1), (3, 1, 2, 2)],
)
def test_shaded_pixels_are_those_of_the_gradient(kernel, stride, padding, dilation):
    pads = (padding, padding)
    image = jnp.ones(7)
    jacobian = jax.jacobian(lambda x: convolved(x, kernel, stride, pads, dilation, 1))(
        image
    )
    scene = _Scene(7, len(jacobian), kernel, stride, dilation, 1, padding)
    np.testing.assert_array_equal(connections(scene), np.asarray(jacobian) != 0)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "extra"), [(3, 2, 1, 0), (3, 2, 1, 1), (4, 2, 0, 0)]
)
def test_a_transposed_convolution_reads_what_the_convolution_wrote(
    kernel, stride, padding, extra
):
    out = (4 - 1) * stride - 2 * padding + kernel + extra
    scene = _transposed_scene(4, kernel, stride, padding, 1, out)
    forward = jax.jacobian(
        lambda x: convolved(x, kernel, stride, (padding, padding), 1, 1)
    )(jnp.ones(out))
    np.testing.assert_array_equal(connections(scene), np.asarray(forward).T != 0)


def test_the_pictures_of_the_page_are_small_and_can_be_made_again(monkeypatch):
    made = {}
    monkeypatch.setattr(
        "jaxcnn.plotting.draw_convolution",
        lambda path, **arguments: made.update({path.name: arguments}),
    )
    runpy.run_path(str(ROOT / "docs" / "draw_arithmetic.py"), run_name="__main__")
    files = {path.name: path for path in (ROOT / "docs/images").glob("arithmetic_*")}
    assert made.keys() == files.keys()
    assert all(path.stat().st_size < 60_000 for path in files.values())


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((4, 5), {}, "kernel that spans 5 does not fit an input of 4"),
        ((30, 3), {}, "would be 30 cells wide; at most 20"),
        ((4, 3), {"outputs": [4]}, "outputs=4 is no output pixel: there are 4"),
        ((4, 3), {"outputs": []}, "outputs is empty"),
        ((4, 3), {"output_padding": 1}, "belongs to transposed=True alone"),
        (
            (4, 2, 1, 2),
            {"transposed": True},
            "padding of 2 crops the output of a kernel that spans 2: at most 1",
        ),
    ],
)
def test_errors(arguments, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        draw_convolution(tmp_path / "a.png", *arguments, **options)
