import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from jaxcnn.data import EvalData, TrainData


def _ids(batch):
    return batch["image"][:, 0, 0, 0].tolist()


def test_batches_have_the_promised_types(make_source):
    batch = TrainData(make_source(), 4)[0]
    assert {name: (v.dtype, v.shape) for name, v in batch.items()} == {
        "image": (np.uint8, (4, 2, 2, 1)),
        "label": (np.int32, (4,)),
    }


def test_batches_are_the_documented_function_of_seed_and_number(make_source):
    data = TrainData(make_source(10), batch_size=3, seed=5)
    assert data.steps_per_epoch == 3
    for k in (0, 2, 3, 7, 3_000_001):
        epoch, step = divmod(k, 3)
        rng = np.random.Generator(np.random.Philox(key=[5, epoch]))
        order = rng.permutation(10)[3 * step : 3 * step + 3]
        assert _ids(data[k]) == order.tolist()


def test_the_order_is_the_recorded_one(make_source):
    data = TrainData(make_source(10), batch_size=5, seed=0)
    # Recorded: if NumPy changes its permutations, resumed runs change with them.
    assert [_ids(data[k]) for k in range(2)] == [[0, 7, 8, 6, 9], [5, 1, 3, 2, 4]]


def test_an_epoch_holds_each_example_once_in_its_own_order(make_source):
    data = TrainData(make_source(12), batch_size=4, seed=1)
    epochs = [[i for k in range(3) for i in _ids(data[3 * e + k])] for e in range(3)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_labels_and_extras_follow_their_images(make_source):
    source = make_source(10, extras={"target": np.arange(10) * 7})
    batch = TrainData(source, 5, seed=3)[1]
    assert batch["label"].tolist() == [i % 2 for i in _ids(batch)]
    assert batch["target"].tolist() == [7 * i for i in _ids(batch)]


def test_batches_do_not_depend_on_what_was_asked_before(make_source):
    source = make_source(20)
    forward, backward = TrainData(source, 4, seed=2), TrainData(source, 4, seed=2)
    there = {k: _ids(forward[k]) for k in range(25)}
    back = {k: _ids(backward[k]) for k in reversed(range(25))}
    assert there == back


def test_threads_get_the_same_batches(make_source):
    data = TrainData(make_source(50), 10, seed=4)
    expected = [_ids(TrainData(make_source(50), 10, seed=4)[k]) for k in range(40)]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda k: _ids(data[k % 40]), range(400)))
    assert got == expected * 10


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_processes_share_the_global_batch(make_source, count):
    source = make_source(20)
    whole = [_ids(TrainData(source, 6, 1, 0, 1)[k]) for k in range(5)]
    parts = [TrainData(source, 6, 1, p, count) for p in range(count)]
    shared = [[i for part in parts for i in _ids(part[k])] for k in range(5)]
    assert shared == whole


def test_without_shuffling_epochs_repeat_the_source(make_source):
    data = TrainData(make_source(5), 2, shuffle=False)
    assert [_ids(data[k]) for k in range(4)] == [[0, 1], [2, 3], [0, 1], [2, 3]]


@pytest.mark.parametrize("size", [1, 3, 5, 10, 16])
@pytest.mark.parametrize("count", [1, 2])
def test_evaluation_counts_every_example_once(make_source, size, count):
    source, size = make_source(10), size * count
    parts = [EvalData(source, size, p, count) for p in range(count)]
    seen, batches = [], 0
    for shares in zip(*parts, strict=True):
        batches += 1
        for batch in shares:
            assert batch["image"].shape[0] == size // count
            assert batch["mask"].dtype == np.float32
            seen += [i for i, m in zip(_ids(batch), batch["mask"], strict=True) if m]
            assert set(batch) == {"image", "label", "mask"}
    assert seen == list(range(10))
    assert batches == len(parts[0])


def test_padding_repeats_the_last_example(make_source):
    last = EvalData(make_source(5), 4)[1]
    assert _ids(last) == [4, 4, 4, 4]
    assert last["mask"].tolist() == [1, 0, 0, 0]
    with pytest.raises(IndexError, match="batch number is 2, there are 2"):
        EvalData(make_source(5), 4)[2]


def test_evaluation_can_be_repeated(make_source):
    data = EvalData(make_source(5), 2)
    assert [_ids(b) for b in data] == [_ids(b) for b in data]


def test_training_data_gives_its_evaluation(make_source):
    train = TrainData(make_source(10), 4, 0, 1, 2)
    assert (train.eval_batches().batch_size, len(train.eval_batches(6))) == (4, 2)
    assert _ids(train.eval_batches()[0]) == [2, 3]


@pytest.mark.parametrize("kind", [TrainData, EvalData])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0, expected 1 or more"),
        ({"process_count": 2}, "process_index is None and process_count is 2: give bo"),
        ({"process_index": 2, "process_count": 2}, "index is 2, expected 0 to 1"),
        ({"process_index": 0, "process_count": 3}, "is 4, which 3 processes cannot sh"),
    ],
)
def test_batches_that_cannot_be_shared_are_refused(
    make_source, kind, arguments, message
):
    with pytest.raises(ValueError, match=message):
        kind(make_source(), **{"batch_size": 4, **arguments})


def test_a_batch_larger_than_the_data_is_refused(make_source):
    data = TrainData(make_source(10), 11)
    for use in (lambda: data.steps_per_epoch, lambda: data[0]):
        with pytest.raises(
            ValueError, match="is 11, but split 'train' of 'tiny' has on"
        ):
            use()
    assert len(data.eval_batches()) == 1


def test_other_misuse_is_refused(make_source):
    data = TrainData(make_source(), 2)
    with pytest.raises(ValueError, match="batch number is -1, expected 0 or more"):
        data[-1]
    with pytest.raises(TypeError, match="not iterable"):
        iter(data)
    with pytest.raises(ValueError, match="seed is -1, expected an integer from 0"):
        TrainData(make_source(), 2, seed=-1)
    constant = dataclasses.replace(make_source(), images=np.ones((10, 2, 2), np.uint8))
    with pytest.raises(ValueError, match="are constant"):
        TrainData(constant, 2)
