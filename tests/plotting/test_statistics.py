import matplotlib.figure
import numpy as np
import pytest

from jaxcnn.plotting import layer_heat_maps


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws and returns the axes of the panels and of their colour bars."""
    figures = []
    original = matplotlib.figure.Figure.savefig

    def savefig(figure, *args, **options):
        figures.append(figure)
        return original(figure, *args, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", savefig)

    def draw(records, **options):
        layer_heat_maps(tmp_path / "layers.png", records, **options)
        assert (tmp_path / "layers.png").stat().st_size > 0
        return {axes.get_title(): axes for axes in figures[-1].axes if axes.images}

    return draw


def record(step, **layers):
    return {"step": step, "layers": layers}


def test_layers_go_down_and_steps_to_the_right(drawn):
    panels = drawn(
        [
            record(20, a={"gradient_norm": 1.0}, b={"gradient_norm": 0.1, "dead": 0.5}),
            record(10, a={"gradient_norm": 10.0}, b={"gradient_norm": 0.0}),
        ],
        title="layers",
    )
    assert list(panels) == ["Gradient norm", "Dead units"]
    norms, dead = (axes.images[0].get_array() for axes in panels.values())
    tiny = np.finfo(np.float32).tiny
    np.testing.assert_allclose(norms, [[10.0, 1.0], [tiny, 0.1]])
    assert np.ma.is_masked(dead[0, 0])
    assert dead[1, 1] == 0.5
    labels = [text.get_text() for text in panels["Gradient norm"].get_yticklabels()]
    assert labels == ["a", "b"]


def test_one_constant_value_is_drawn(drawn):
    assert drawn([record(1, a={"std": 0.0})])


def test_overflow_is_drawn(drawn):
    assert drawn([record(1, a={"std": float("inf")}, b={"std": 1.0})])
    assert drawn([record(1, a={"std": float("inf")}, b={"zeros": 1.0})])


def test_of_many_layers_some_are_named(drawn):
    layers = {f"layer{k}": {"zeros": 0.5} for k in range(100)}
    (axes,) = drawn([record(1, **layers)]).values()
    assert len(axes.get_yticks()) == 34


@pytest.mark.parametrize("records", [[], [record(1, a={"mean": 1.0})]])
def test_nothing_to_draw_is_said(records, tmp_path):
    with pytest.raises(ValueError, match="no statistics of layers to draw"):
        layer_heat_maps(tmp_path / "layers.png", records)
