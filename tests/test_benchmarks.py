import json

import jax
import numpy as np
import pytest

import benchmarks.__main__ as bench
import jaxcnn
from benchmarks import (
    augment,
    checkpoints,
    decode,
    inputs,
    limits,
    plain,
    record,
    startup,
    steps,
    summary,
    table,
)
from benchmarks.counted import forward_macs
from benchmarks.rounds import quartiles
from benchmarks.rows import ROWS, TORCH_BARS, VARIANTS, bar
from benchmarks.turns import Settings, Worker, WorkerError, take_turns
from jaxcnn.augment import make_augment

FAST = Settings(threads=1, turn=0.01, pause=0.0, limit=120.0)


class FakeWorker:
    """Answers like `Worker`, with the seconds that it is told to take."""

    alive = True

    def __init__(self, side, variant, seconds, macs=10):
        self.side, self.variant, self.seconds = side, variant, seconds
        self.macs, self.asked = macs, []

    def ask(self, do, kind="", **more):
        self.asked.append((do, more))
        if do == "facts":
            return {"params": 5, "macs": self.macs}
        if self.seconds is None:
            raise WorkerError("no compiler")
        if do == "first":
            return {"first": 9.0, "warm": self.seconds}
        return {"seconds": self.seconds, "peak_mb": 100.0}

    def close(self):
        self.alive = False

    def prioritise(self, nice):
        raise AssertionError("nobody asked for priority")


@pytest.fixture
def fakes(monkeypatch):
    workers = [
        FakeWorker("jaxcnn", "jit", 0.010),
        FakeWorker("torch", "eager", 0.012),
        FakeWorker("torch", "eager_cl", 0.008),
        FakeWorker("torch", "compile", None),
        FakeWorker("keras", "fit", 0.1, macs=11),
        FakeWorker("flax", "jit", 0.020),
    ]
    monkeypatch.setattr(steps, "start_workers", lambda *_: (workers, {}))
    return workers


def measure_fakes(repeats=6, budget=0.0):
    rows = steps.measure_model(
        "lenet", ["train"], ["torch", "keras", "flax"], repeats, budget, FAST
    )
    return rows[0]


def test_the_best_variant_of_a_side_counts_and_all_are_recorded(fakes):
    torch = measure_fakes()["sides"]["torch"]
    assert torch["best"] == "eager_cl"
    assert torch["variants"]["eager"]["seconds"] == 0.012
    assert torch["variants"]["compile"] == {"error": "no compiler"}
    assert torch["variants"]["eager_cl"]["images_per_second"] == 64 / 0.008


def test_ratios_are_held_against_the_bars(fakes):
    ratios = measure_fakes()["ratios"]
    assert ratios["torch"] == {"ratio": 0.8, "bar": 0.9, "met": False}
    assert ratios["flax"] == {"ratio": 2.0, "bar": 1.0, "met": True}


def test_a_side_that_does_other_work_has_no_ratio(fakes):
    row = measure_fakes()
    assert "keras" not in row["ratios"]
    assert row["sides"]["keras"]["refused"] == (
        "not the same work: 11 macs against our 10"
    )


@pytest.mark.parametrize(("budget", "rounds"), [(0.0, steps.LEAST_ROUNDS), (60.0, 9)])
def test_rounds_end_with_the_budget_but_not_before_five(budget, rounds, fakes):
    row = measure_fakes(repeats=9, budget=budget)
    assert row["sides"]["jaxcnn"]["variants"]["jit"]["repeats"] == rounds


def test_all_workers_are_ended_if_one_of_ours_fails(fakes):
    fakes[0].ask = lambda *_, **__: (_ for _ in ()).throw(WorkerError("broken"))
    with pytest.raises(WorkerError, match="cannot be counted: broken"):
        measure_fakes()
    assert not any(worker.alive for worker in fakes)


def test_short_calls_are_made_many_times_in_a_turn_behind_a_warm_up():
    short, long = FakeWorker("jaxcnn", "jit", 0.001), FakeWorker("torch", "eager", 3.0)
    take_turns("train", {short: 0.001, long: 3.0}, FAST)
    assert short.asked == [("turn", {"count": 10, "warm_up": 2})]
    assert long.asked == [("turn", {"count": 1, "warm_up": 0})]


def test_a_slice_replaces_its_own_row_alone(tmp_path):
    path = tmp_path / "steps.json"
    for model, value in [("a", 1), ("b", 2), ("a", 3)]:
        row = {"model": model, "value": value}
        record.merge_row(path, {"cpu": "x"}, row, ("model",))
    content = json.loads(path.read_text())
    assert content["cpu"] == "x"
    assert [(r["model"], r["value"]) for r in content["rows"]] == [("b", 2), ("a", 3)]


def test_the_table_says_whether_bars_are_met_and_what_failed(fakes, tmp_path):
    row = measure_fakes()
    lines = table.table_lines([row], peak=100.0)
    assert len({line.count("|") for line in lines}) == 1
    assert "0.80 (0.9 **not met**)" in lines[2]
    assert "2.00 (1 met)" in lines[2]
    assert "refused" in lines[2]
    # 10 multiply-adds, 64 images, three times for a train step, in 10 ms.
    assert table.table_lines([row], peak=2e-9 * 10 * 64 * 3 / 0.01)[2].count("100%")
    assert table.notes([row]) == [
        "- lenet, train, torch (compile): no compiler",
        "- lenet, train, keras: not the same work: 11 macs against our 10",
    ]


def test_a_row_without_a_time_of_ours_has_no_ratio():
    assert summary.ratios("lenet", "train", {}) == {}


def test_the_environment_names_hardware_versions_and_commit():
    about = record.environment("numpy")
    assert about["versions"].keys() == {"jaxcnn", "jax", "flax", "python", "numpy"}
    assert about["commit"]
    assert "cores" in about["cpu"]


def test_rows_and_bars_are_those_of_registered_models():
    assert set(jaxcnn.list_models()) >= ROWS.keys() >= TORCH_BARS.keys()
    assert bar("lenet", "train", "torch") == 0.9
    assert bar("vgg16", "train", "torch") is None
    assert bar("vgg16", "train", "keras") == 1.0
    assert all(kinds.keys() == set(steps.KINDS) for kinds in VARIANTS.values())


def test_a_measure_has_its_own_options(monkeypatch):
    given = []
    monkeypatch.setattr(limits, "main", given.append)
    bench.main(["limits", "--rounds", "3"])
    assert given == [["--rounds", "3"]]


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["lenet", "mobilenet_v2", "conv_autoencoder"])
def test_plain_layers_do_the_work_that_the_summary_counts(name):
    row = ROWS[name]
    model = jaxcnn.create_model(name, **row.options)
    image = jax.ShapeDtypeStruct((1, *row.image), np.float32)
    with plain.plain_layers():
        variables = jax.eval_shape(model.init, jax.random.key(0), image)
        macs = forward_macs(model.apply, variables, image)
    assert macs == jaxcnn.summarize(model, (1, *row.image)).macs


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["lenet", "conv_autoencoder"])
def test_plain_layers_compute_the_same(name):
    model = jaxcnn.create_model(name, **ROWS[name].options)
    images = np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    variables = model.init(jax.random.key(0), images)
    with plain.plain_layers():
        expected = model.apply(variables, images)
    np.testing.assert_allclose(model.apply(variables, images), expected, atol=1e-5)


def test_plain_layers_are_taken_back():
    from jaxcnn.layers import conv
    from jaxcnn.ops import convolution

    ours = conv.conv
    with plain.plain_layers():
        assert conv.conv is plain.conv
    assert conv.conv is ours is convolution.conv


def test_plain_layers_fail_if_an_operation_is_gone(monkeypatch):
    monkeypatch.setitem(plain.PLAIN, ("jaxcnn.ops.pooling", "gone"), plain.max_pool)
    with pytest.raises(AttributeError, match="gone"), plain.plain_layers():
        pass


def test_a_program_that_chooses_by_platform_is_not_plain():
    def chosen(x):
        return jax.lax.platform_dependent(x, cpu=lambda x: x + 1, default=lambda x: x)

    with pytest.raises(ValueError, match="platform_index"):
        forward_macs(chosen, np.float32(1))


def test_multiply_adds_of_products_and_strided_convolutions():
    def both(x, kernel, weights):
        y = jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return y.reshape(2, -1) @ weights

    shapes = [(2, 8, 8, 3), (3, 3, 3, 5), (80, 7)]
    arrays = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]
    assert forward_macs(both, *arrays) == 2 * (16 * 27 * 5 + 80 * 7)


def test_quartiles_are_no_further_out_than_what_was_measured():
    assert quartiles([3.0, 1.0]) == [1.5, 2.0, 2.5]
    assert quartiles([5.0, 1.0, 2.0, 4.0, 3.0]) == [2.0, 3.0, 4.0]


def test_decoding_is_timed_of_the_same_loaders():
    assert list(decode.CALLS) == ["jaxcnn", "torch DataLoader"]


def test_every_case_of_augmentation_can_be_made():
    for size, batch, specs in augment.CASES.values():
        assert make_augment(specs).steps
        assert size * batch > 0


@pytest.mark.thorough
def test_a_row_is_measured_in_processes():
    (row,) = steps.measure_model("lenet", ["inference"], ["flax"], 2, 0.0, FAST)
    for side in ("jaxcnn", "flax"):
        found = row["sides"][side]["variants"]["jit"]
        low, high = found["quartiles"]
        assert 0 < low <= found["seconds"] <= high
        assert found["peak_mb"] > 0
    assert row["ratios"]["flax"]["ratio"] > 0


@pytest.mark.thorough
def test_a_worker_that_fails_says_why():
    with pytest.raises(WorkerError, match="ended: KeyError: 'no_model'"):
        Worker("jaxcnn", "no_model", "jit", FAST)


@pytest.mark.thorough
def test_small_measures_time_something(tmp_path):
    rows = limits.measure(2, side=32, length=1000)
    assert all(row["seconds"] > 0 for row in rows)
    assert {row["operation"] for row in rows} == {"product", "copy", "triad"}
    rows = inputs.measure(2, examples=300, batches=2)
    assert all(row["images_per_second"]["median"] > 0 for row in rows)
    rows = checkpoints.measure("lenet", (28, 28, 1), 2)
    assert [row["call"] for row in rows][:2] == ["save", "restore"]
    assert all(row["median"] > 0 for row in rows)


@pytest.mark.thorough
def test_starting_up_is_timed_until_the_first_step():
    imported, stepped = startup.measure(["jaxcnn"], rounds=2)
    assert 0 < imported["median"] < stepped["median"]


@pytest.mark.thorough
def test_decoding_is_timed(tmp_path):
    decode.write_images(tmp_path, 40)
    (row,) = decode.measure(tmp_path, ["jaxcnn"], [0], rounds=2, count=2)
    low, high = row["middle_half"]
    assert 0 < low <= row["images_per_second"] <= high


@pytest.mark.thorough
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


SMALL = ("lenet", "inception_small", "resnet20_cifar", "conv_autoencoder")


@pytest.mark.parity
@pytest.mark.parametrize("name", SMALL)
def test_twins_in_pytorch_do_the_same_work(name):
    pytest.importorskip("torch")
    from benchmarks.sides_torch import TorchSide

    side = TorchSide(name, ROWS[name]._replace(batch=2), "eager_cl", 1)
    summary = jaxcnn.summarize(
        jaxcnn.create_model(name, **ROWS[name].options), (1, *ROWS[name].image)
    )
    assert side.facts() == {"params": summary.params, "macs": summary.macs}
    side.prepare("train")
    side.run("train", 1)


@pytest.mark.parity
def test_a_row_against_pytorch_is_measured():
    pytest.importorskip("torch")
    (row,) = steps.measure_model("lenet", ["train"], ["torch"], 2, 0.0, FAST, ["eager"])
    assert "refused" not in row["sides"]["torch"]
    assert row["ratios"]["torch"]["bar"] == 0.9


@pytest.mark.parity
@pytest.mark.parametrize("name", SMALL)
def test_twins_in_keras_do_the_same_work(name):
    import os

    os.environ["KERAS_BACKEND"] = "jax"
    keras = pytest.importorskip("keras")
    from benchmarks.keras_models import make_keras_model

    row = ROWS[name]
    with jax.numpy_rank_promotion("allow"):
        model = make_keras_model(keras, name, row.keras, row.image)
        values = [
            [variable.value for variable in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        ]
        image = jax.ShapeDtypeStruct((1, *row.image), np.float32)
        macs = forward_macs(model.stateless_call, *values, image)
    summary = jaxcnn.summarize(
        jaxcnn.create_model(name, **row.options), (1, *row.image)
    )
    assert (sum(x.size for x in values[0]), macs) == (summary.params, summary.macs)
