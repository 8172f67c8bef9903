import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from jaxcnn import cli
from jaxcnn.data import load_source
from jaxcnn.experiment import DataConfig, write_html_report
from jaxcnn.experiment import report as reports
from jaxcnn.experiment.html import report as html_report
from jaxcnn.experiment.html.examples import encoded, least_certain, most_wrong
from jaxcnn.experiment.html.sections import warnings_of
from jaxcnn.metrics import classification_report

from .untrained import untrained

BAD = '<script>alert("1")</script>'
OTHER = "a&b'\" $x"
_VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Finds what is not closed, what is loaded from elsewhere, and what is shown."""

    def __init__(self):
        super().__init__()
        self.open, self.images, self.words, self.tags = [], [], [], []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        assert len(found) == len(attributes), f"<{tag}> has an attribute twice"
        assert "href" not in found
        assert not any(name.startswith("on") for name in found)
        self.tags.append(tag)
        if tag == "img":
            assert found["src"].startswith("data:image/")
            self.images.append(found["alt"])
        else:
            assert "src" not in found
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def checked(path):
    text = path.read_text()
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert not checker.open
    assert len(text) < 2_000_000
    assert "script" not in checker.tags
    assert not re.search(r"https?://|@import|url\(", text)
    assert text.startswith("<!DOCTYPE html>")
    return checker


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Returns an untrained run of two classes with bad names, and its configuration."""
    folder = tmp_path_factory.mktemp("html")
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in {"train": 60, "test": 40}.items():
        arrays[f"{part}_images"] = rng.integers(0, 255, (n, 4, 4, 1), np.uint8)
        arrays[f"{part}_labels"] = np.arange(n) % 2
    np.savez(folder / "two.npz", class_names=[BAD, OTHER], **arrays)
    return untrained(DataConfig(f"npz:{folder / 'two.npz'}", validation=0.4))


@pytest.fixture
def opened(two, monkeypatch):
    """Stands that run in for the one of any folder."""

    def open_run(directory, *, data=None, **options):
        from jaxcnn.experiment.other_data import with_data

        run, config = two
        return run, config if data is None else with_data(config, run.config, data)

    monkeypatch.setattr(html_report, "opened_run", open_run)
    monkeypatch.setattr(reports, "opened_run", open_run)


@pytest.fixture
def folder(tmp_path):
    """Returns a run folder with the records of its training."""
    run = tmp_path / "run"
    (run / "metrics").mkdir(parents=True)
    records = [
        {"step": k, "epoch": k / 5, "split": split, "loss": 1 / (k + 1)}
        for k in range(1, 4)
        for split in ("train", "validation")
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (run / "metrics" / "00000.jsonl").write_text(lines)
    return run


def test_the_page_is_whole_safe_and_says_what_was_measured(opened, two, folder):
    written = write_html_report(folder, bootstrap=10, threshold="0.5")
    assert written.path == folder / "report.html"
    assert (written.split, written.step) == ("test", 7)
    found = checked(written.path)
    text = " ".join(found.words)
    for words in (BAD, OTHER, "Confusion matrix", "Calibration", "Thresholds"):
        assert words in text
    assert "validation:recall=0.95" in text
    expected = {
        "Learning curves",
        "Reliability diagram",
        "ROC curve",
        "example",  # the most wrong, the least certain
    }
    assert {
        w for w in expected for alt in found.images if alt.startswith(w)
    } == expected
    wrong = int(written.report.counts.sum() - np.trace(written.report.counts))
    assert len(found.images) == 3 + min(wrong, 12) + 12
    counts = written.report.counts
    run, config = two
    source = load_source(config.data.name, "test")
    called = run.predict(source.images)[:, 1] >= 0.5
    expected = [
        [np.sum((source.labels == t) & (called == p)) for p in (0, 1)] for t in (0, 1)
    ]
    np.testing.assert_array_equal(counts, expected)
    assert f"{counts[0, 0]} ({100 * counts[0, 0] / counts[0].sum():.1f} %)" in text


@pytest.mark.thorough
def test_the_validation_part_warns_of_itself(opened, folder, tmp_path):
    page = tmp_path / "page.html"
    options = {"bootstrap": 0, "views": "flip"}
    assert write_html_report(folder, page, "validation", **options).path == page
    text = " ".join(checked(page).words)
    assert "The part validation chose the checkpoint" in text
    assert "No intervals" in text
    assert "validation part is not at hand" in text


@pytest.mark.thorough
def test_the_command_measures_a_folder_with_the_names_of_its_files(
    opened, folder, tmp_path, capsys, monkeypatch
):
    rng = np.random.default_rng(3)
    names = {BAD.replace("/", ""): 0, "b": 1}
    run = opened_with_names(monkeypatch, tuple(names))
    assert run.class_names == tuple(names)
    for name in names:
        place = tmp_path / "new" / name
        place.mkdir(parents=True)
        for k in range(8):
            pixels = rng.integers(0, 255, (9, 9), np.uint8)
            Image.fromarray(pixels).save(place / f"<b>{k}.png")
    (tmp_path / "new" / "b" / "cut.png").write_text("no picture")
    flags = ["--data", str(tmp_path / "new"), "--bootstrap", "0"]
    with pytest.warns(UserWarning, match="cannot be decoded"):
        assert cli.dispatch(["evaluate", str(folder), *flags]) == 0
    said = capsys.readouterr().out
    assert re.match(r"all, step 7: accuracy .* %, AUROC 0\.\d+, 16 examples\n", said)
    assert f"The report is {folder / 'report.html'}" in said
    text = " ".join(checked(folder / "report.html").words)
    assert "b/<b>" in text
    assert "1 image cannot be decoded, left out: " in text


def opened_with_names(monkeypatch, names):
    """Gives the classes of the stand-in other names."""
    import dataclasses

    old = html_report.opened_run

    def open_run(*args, **options):
        run, config = old(*args, **options)
        named = dataclasses.replace(run.config, class_names=names)
        return dataclasses.replace(run, config=named), config

    monkeypatch.setattr(html_report, "opened_run", open_run)
    return open_run("run")[0]


def test_the_flags_of_the_command(monkeypatch, capsys):
    asked = []
    report = classification_report(np.eye(2), [0, 1], bootstrap=0)

    def write(*args, **options):
        asked.append((args, options))
        return html_report.HtmlReport("page", "test", 3, report)

    monkeypatch.setattr(html_report, "write_html_report", write)
    run = ["evaluate", "RUN"]
    cli.dispatch([*run, "--html", "--split", "train"])
    cli.dispatch([*run, "--html", "a.html", "--bootstrap", "5", "--ordered"])
    cli.dispatch([*run, "--data", "new", "--html"])
    paths = [args for args, _ in asked]
    assert paths == [
        ("RUN", None, "train"),
        ("RUN", "a.html", None),
        ("RUN", None, None),
    ]
    assert [o["data"] for _, o in asked] == [None, None, "new"]
    assert (asked[1][1]["bootstrap"], asked[1][1]["ordered"]) == (5, True)
    capsys.readouterr()
    cli.dispatch([*run, "--html", "--json"])
    values = json.loads(capsys.readouterr().out)
    assert (values["html"], values["overall"]["accuracy"]) == ("page", 1.0)
    cli.dispatch([*run, "--html", "--report"])
    said = capsys.readouterr().out
    assert "balanced accuracy" in said
    assert said.endswith("The report is page\n")


@pytest.mark.thorough
def test_many_classes_are_drawn(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 25
    images = rng.integers(0, 255, (100, 4, 4, 3), np.uint8)
    path = tmp_path / "many.npz"
    np.savez(path, train_images=images, train_labels=labels)
    data = DataConfig(f"npz:{path}", validation=0)
    found = untrained(data)
    monkeypatch.setattr(html_report, "opened_run", lambda *a, **k: found)
    (tmp_path / "run").mkdir()
    written = write_html_report(tmp_path / "run", split="train[:75]", bootstrap=0)
    page = checked(written.path)
    assert any(alt.startswith("Confusion matrix of 25") for alt in page.images)
    assert "The most frequent mistakes." in page.words
    assert any("was trained on this part" in words for words in page.words)


def test_the_examples_that_are_shown():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.45, 0.55], [0.01, 0.99]])
    labels, called = np.array([1, 1, 0, 0]), np.array([0, 1, 1, 1])
    assert most_wrong(probabilities, labels, called, 9).tolist() == [3, 0, 2]
    assert least_certain(probabilities, None, 2).tolist() == [2, 1]
    assert least_certain(probabilities, 0.9, 2).tolist() == [3, 1]


@pytest.mark.parametrize(
    ("shape", "kind", "size"),
    [
        ((28, 28, 1), "png", (28, 28)),
        ((300, 600, 3), "jpeg", (160, 80)),
        ((100, 90, 5), "jpeg", (90, 100)),
    ],
)
def test_images_are_small(shape, kind, size):
    import io

    content, found = encoded(np.zeros(shape, np.uint8))
    assert found == kind
    assert Image.open(io.BytesIO(content)).size == size


def test_what_to_beware_of():
    labels = np.array([0] * 50 + [1] * 4)
    probabilities = np.eye(3)[np.zeros(54, int)]
    report = classification_report(probabilities, labels, ["a", "b", "c"], bootstrap=0)
    options = {"data_name": "folder:x", "chosen": False, "trained": True}
    lines = warnings_of(report, split="test", broken={"'y.png'": "cut"}, **options)
    text = "\n".join(lines)
    for words in (
        "trained on this part",
        "Who always says a is right in 92.6 %",
        "Without examples here: c",
        "Fewer than 30 examples of b (4)",
        "54 examples in all",
        "1 image cannot be decoded, left out: y.png",
        'jaxcnn data "x"',
    ):
        assert words in text
