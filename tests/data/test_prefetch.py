import importlib
import threading
import time

import pytest

from jaxcnn.data import prefetch


class Recorder:
    """Gives k as batch k, and remembers what it was asked for and by whom."""

    def __init__(self, fail_at=None, error=None):
        self.asked, self.threads = [], set()
        self.fail_at, self.error = fail_at, error

    def __getitem__(self, k):
        self.asked.append(k)
        self.threads.add(threading.current_thread())
        if k == self.fail_at:
            raise self.error
        return k


def _wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.001)


def _ended(data):
    return not any(thread.is_alive() for thread in data.threads)


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_batches_come_in_order_with_their_numbers(depth):
    data = Recorder()
    got = list(prefetch(data, 3, 23, depth=depth))
    assert got == [(k, k) for k in range(3, 23)]
    assert data.asked == list(range(3, 23))
    assert _ended(data)


def test_nothing_to_do_gives_nothing():
    assert list(prefetch(Recorder(), 5, 5)) == []


def test_one_background_thread_makes_and_places():
    data, placers = Recorder(), set()

    def place(batch):
        placers.add(threading.current_thread())
        return -batch

    assert list(prefetch(data, 0, 4, place=place)) == [(k, -k) for k in range(4)]
    assert data.threads == placers
    assert len(placers) == 1
    assert threading.current_thread() not in placers


def test_it_runs_ahead_by_its_depth_and_no_further():
    data = Recorder()
    batches = prefetch(data, 0, 100, depth=3)
    next(batches)
    _wait_until(lambda: len(data.asked) == 4)
    time.sleep(0.02)
    assert data.asked == [0, 1, 2, 3]
    batches.close()


@pytest.mark.parametrize("error", [KeyError("gone"), KeyboardInterrupt("stop")])
def test_errors_surface_in_their_batchs_turn(error):
    data = Recorder(fail_at=2, error=error)
    batches = prefetch(data, 0, 10, depth=5)
    assert [next(batches) for _ in range(2)] == [(0, 0), (1, 1)]
    with pytest.raises(type(error)) as caught:
        next(batches)
    assert caught.value is error
    assert error.__notes__ == ["while making batch 2"]
    assert data.asked == [0, 1, 2]
    assert _ended(data)


def test_errors_of_place_surface_too():
    def place(batch):
        raise RuntimeError("no room on the device")

    with pytest.raises(RuntimeError, match="no room on the device") as caught:
        list(prefetch(Recorder(), 7, 9, place=place))
    assert caught.value.__notes__ == ["while making batch 7"]


def test_closing_ends_the_thread():
    data = Recorder()
    batches = prefetch(data, 0, 10**9, depth=2)
    next(batches)
    _wait_until(lambda: len(data.asked) == 3)  # the thread waits for room
    start = time.monotonic()
    batches.close()
    assert time.monotonic() - start < 2
    assert _ended(data)
    assert data.asked == [0, 1, 2]


def test_leaving_the_loop_ends_the_thread():
    data = Recorder()

    def consume():
        for k, _ in prefetch(data, 0, 10**9):
            if k == 3:
                raise ArithmeticError("the step failed")

    with pytest.raises(ArithmeticError, match="the step failed"):
        consume()
    _wait_until(lambda: _ended(data))


def test_a_stuck_batch_does_not_hold_up_the_end(monkeypatch):
    module = importlib.import_module("jaxcnn.data.prefetch")
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.01)
    release = threading.Event()

    class Stuck:
        def __getitem__(self, k):
            if k > 0:
                release.wait(30)
            return k

    batches = prefetch(Stuck(), 0, 10)
    next(batches)
    start = time.monotonic()
    batches.close()
    assert time.monotonic() - start < 5
    release.set()


def test_an_iterator_never_started_starts_no_thread():
    before = threading.active_count()
    batches = prefetch(Recorder(), 0, 10)
    assert threading.active_count() == before
    batches.close()


def test_depth_below_one_is_refused_at_once():
    with pytest.raises(ValueError, match="depth is 0, expected 1 or more"):
        prefetch(Recorder(), 0, 1, depth=0)


class Hangs:
    """Gives no batch from 2 on."""

    def __init__(self):
        self.go_on = threading.Event()

    def __getitem__(self, k):
        if k >= 2:
            self.go_on.wait(30)
        return k


def test_a_batch_that_does_not_come_is_an_error():
    data = Hangs()
    batches = prefetch(data, 0, 9, timeout=0.3)
    assert [next(batches), next(batches)] == [(0, 0), (1, 1)]
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"Batch 2 was not there after 0.3 s"):
        next(batches)
    assert time.monotonic() - began < 4  # nothing waits for the thread that hangs
    data.go_on.set()


def test_a_long_wait_is_reported(monkeypatch, caplog):
    module = importlib.import_module("jaxcnn.data.prefetch")
    monkeypatch.setattr(module, "_REPORT_SECONDS", 0.1)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.05)
    data = Hangs()
    with pytest.raises(TimeoutError):
        list(prefetch(data, 0, 9, timeout=0.4))
    data.go_on.set()
    assert [r.getMessage() for r in caplog.records] == [
        "Batch 2 has been waited for since 0 s."
    ]


def test_a_wait_can_be_ended():
    data, asked = Hangs(), []

    def stop_early():
        asked.append(1)
        return len(asked) > 1

    assert list(prefetch(data, 0, 9, stop_early=stop_early)) == [(0, 0), (1, 1)]
    data.go_on.set()


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_timeout_that_is_none(timeout):
    with pytest.raises(ValueError, match="expected a number above 0"):
        prefetch(Recorder(), 0, 1, timeout=timeout)
