"""The documents are true: code runs, commands parse, links resolve."""

import ast
import importlib
import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

import jaxcnn
from jaxcnn import cli, registry
from jaxcnn.augment import make_augment
from jaxcnn.augment.defaults import expanded
from jaxcnn.experiment import ExperimentConfig, checks
from jaxcnn.models.counts import model_counts

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROSE = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]

# Python blocks that cannot run here, by page; the text around each says why.
NOT_RUN = {"docs/parallel.md": 1, "docs/style_transfer.md": 2}

# Packages whose every public name stands on the page of public names.
PARTS = ("arithmetic", "augment", "checkpoint", "data", "experiment", "layers")
PARTS += ("interpret",)
PARTS += ("losses", "metrics", "ops", "optim", "plotting", "train", "transfer")
PARTS += ("diagnostics",)

# What the trainings of a page must reach on held-out digits.
ACCURACY = {"README.md": 0.95, "docs/quickstart.md": 0.95}


class Block(NamedTuple):
    """A fenced block: its language, the words after it, its first line and its text."""

    language: str
    words: str
    line: int
    text: str


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(text: str) -> list[Block]:
    found, lines = [], text.splitlines()
    start = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
        else:
            language, _, words = lines[start][3:].strip().partition(" ")
            body = "\n".join(lines[start + 1 : number])
            found.append(Block(language, words.strip(), start + 2, body))
            start = None
    assert start is None, "a fence is not closed"
    return found


def python_blocks(page: Path) -> list[Block]:
    return [b for b in blocks_of(page.read_text()) if b.language == "python"]


def run_blocks(page: str, blocks: list[Block]) -> dict:
    """Runs the blocks in one namespace and checks what `print(...)  # text` says.

    `...` in the text stands for anything, and a remark may follow it after a colon.
    """
    printed: dict[int, str] = {}

    def record(*values, **options):
        line = sys._getframe(1).f_lineno
        printed.setdefault(line, " ".join(map(str, values)))
        print(*values, **options)

    namespace = {"__name__": "__docs__", "print": record}
    for block in blocks:
        code = "\n" * (block.line - 1) + block.text
        exec(compile(code, page, "exec"), namespace)
    for block in blocks:
        for line, expected in expected_prints(block):
            assert line in printed, f"{page}:{line}: was not printed"
            pattern = re.escape(expected).replace(re.escape("..."), ".*")
            assert re.fullmatch(f"(?s){pattern}", printed[line]) or remarked(
                expected, printed[line]
            ), f"{page}:{line}: says {expected!r}, printed {printed[line]!r}"
    return namespace


def remarked(expected: str, printed: str) -> bool:
    return expected.startswith(f"{printed}: ")


def expected_prints(block: Block):
    """Yields the line and the text of every `print(...)  # text`."""
    for offset, line in enumerate(block.text.splitlines()):
        match = re.fullmatch(r"\s*print\(.*\)  # (.*)", line)
        if match:
            yield block.line + offset, match[1]


#: Pages that train or compile for long: their code runs with the thorough tests.
LONG = {"using", "finetuning", "mixed_precision", "cnn_nd", "add_a_model"}
LONG |= {"quickstart", "train_step", "parallel", "experiments", "layers", "features"}
LONG |= {"seeing_features", "latents"}
LONG |= {"layers_convolution", "vgg", "capsnet", "stability", "observing", "README"}
LONG |= {"attribution", "style_transfer", "techniques", "performance"}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.thorough) if page.stem in LONG else page
        for page in PAGES
    ],
    ids=name_of,
)
def test_code_runs_and_prints_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    blocks = [b for b in python_blocks(page) if b.words != "no-run"]
    namespace = run_blocks(name_of(page), blocks)
    if name_of(page) in ACCURACY:
        assert namespace["result"]["accuracy"] >= ACCURACY[name_of(page)]


def test_every_page_is_in_the_navigation_once():
    named = re.findall(r"^ +- .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    docs = ROOT / "docs"
    pages = [page.relative_to(docs).as_posix() for page in docs.rglob("*.md")]
    assert sorted(named) == sorted(pages)


def test_every_family_page_is_in_the_overview_and_the_readme():
    folder = ROOT / "docs" / "models"
    pages = {page.name for page in folder.glob("*.md")} - {"index.md"}
    overview = re.findall(r"\]\((\w+\.md)\)", (folder / "index.md").read_text())
    readme = re.findall(r"docs/models/(\w+\.md)", (ROOT / "README.md").read_text())
    assert set(overview) == set(readme) - {"index.md"} == pages


def test_blocks_that_do_not_run_are_few_and_known():
    marked = {
        name_of(page): sum(b.words == "no-run" for b in python_blocks(page))
        for page in PAGES
    }
    assert {name: count for name, count in marked.items() if count} == NOT_RUN


def test_blocks_that_do_not_run_are_python_at_least():
    for page in PAGES:
        for block in python_blocks(page):
            known = block.words in ("", "no-run") or title_of(block)
            assert known, f"{name_of(page)}:{block.line}"
            ast.parse(block.text)


def test_a_wrong_comment_would_be_found():
    good = Block("python", "", 7, "print(1 + 1)  # 2: so it is\nprint([7])  # [...]")
    run_blocks("page", [good])
    with pytest.raises(AssertionError, match="page:7: says '3', printed '2'"):
        run_blocks("page", [Block("python", "", 7, "print(1 + 1)  # 3")])


class Parsed(Exception):
    """Carries what a command was about to do."""


def stop(*values, **options):
    raise Parsed(values)


@pytest.fixture
def parse_only(monkeypatch, tmp_path):
    """Lets commands read their flags, and stops them before they act."""
    # The package's `main` is the function, which hides the module of that name.
    monkeypatch.setattr(sys.modules["jaxcnn.experiment.main"], "run", stop)
    monkeypatch.setattr("jaxcnn.experiment.measure.measure_run", stop)
    monkeypatch.setattr("jaxcnn.experiment.report.report_run", stop)
    monkeypatch.setattr("jaxcnn.experiment.html.report.write_html_report", stop)
    monkeypatch.setattr("jaxcnn.experiment.lr_range.find_learning_rate", stop)
    monkeypatch.setattr("jaxcnn.experiment.finetune.weights_of", stop)
    monkeypatch.setattr("jaxcnn.experiment.cross_validation.cross_validate", stop)
    monkeypatch.setattr("jaxcnn.experiment.preview.draw_preview", stop)
    monkeypatch.setattr("jaxcnn.experiment.know_data.load_splits", stop)
    monkeypatch.setattr("jaxcnn.experiment.diagnosis.diagnose_run", stop)
    monkeypatch.setattr("jaxcnn.run.load_run", stop)
    monkeypatch.setattr("jaxcnn.transfer.load.load", stop)
    monkeypatch.setattr("jaxcnn.transfer.origin.named_model", stop)
    for name in ("photo.jpg", "painting.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    yield monkeypatch
    sys.modules.pop("mnist_lenet", None)


def commands_of(page: Path) -> list[str]:
    """Returns the shell lines that call the library, continued lines joined."""
    commands = []
    for block in blocks_of(page.read_text()):
        if block.language in ("bash", "sh", "console"):
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                    words = words[1:]
                if words[:1] == ["jaxcnn"] or is_experiment(words):
                    commands.append(shlex.join(words))
    return commands


def title_of(block: Block) -> str | None:
    """Returns the name of the file that a block shows."""
    match = re.fullmatch(r'title="([\w.]+)"', block.words)
    return match and match[1]


def is_experiment(words: list[str]) -> bool:
    return words[:1] == ["python"] and words[1:2] != ["-m"] and len(words) > 1


COMMANDS = [(name_of(page), line) for page in PROSE for line in commands_of(page)]


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_commands_parse(page, command, parse_only, capsys):
    words = shlex.split(command)
    if words[1] in ("models", "summary"):
        assert cli.dispatch(words[1:]) == 0
        assert capsys.readouterr().out
        return
    for block in python_blocks(ROOT / page):
        if title_of(block):
            Path(title_of(block)).write_text(block.text)
    if "--help" in words:
        with pytest.raises(SystemExit):
            cli.dispatch(words[1:])
        return
    try:
        if words[0] == "jaxcnn":
            cli.dispatch(words[1:])
        else:
            parse_only.setattr(sys, "argv", words[1:])
            runpy.run_path(words[1], run_name="__main__")
    except Parsed as parsed:
        check_config(parsed.args[0][0])
    else:
        pytest.fail(f"{page}: {command} did nothing")


def check_config(config):
    """Raises ValueError for a configuration that would not build."""
    if isinstance(config, ExperimentConfig):
        checks.validate(config)
        specs = expanded(config.data.augment, config.data.name)
        make_augment(specs, num_classes=10)
        registry.create_model(config.model.name, **config.model.args)


def test_a_wrong_flag_would_be_found(parse_only):
    with pytest.raises(ValueError, match=r"--optimizer\.learning-rate"):
        cli.dispatch(["train", "--optimizer.learning-rat", "0.1"])


def anchors_of(page: Path) -> set[str]:
    """Returns the anchors that headings get."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ +(.*)$", text, flags=re.MULTILINE)
    slugs = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {slug.strip().replace(" ", "-") for slug in slugs}


@pytest.mark.parametrize("page", PROSE, ids=name_of)
def test_links_resolve(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in anchors_of(file), f"{name_of(page)} links to {target}"


@pytest.mark.parametrize("page", PROSE, ids=name_of)
def test_named_files_exist(page):
    folders = "jaxcnn|experiments|tests|docs|benchmarks"
    names = re.findall(rf"`((?:{folders})/[\w./*-]+)`", page.read_text())
    names += re.findall(r"`([A-Z][A-Za-z]+\.md|\w+\.(?:toml|yml))`", page.read_text())
    for name in names:
        assert list(ROOT.glob(name.rstrip("/"))), f"{name_of(page)} names {name}"


def listed_names() -> list[str]:
    text = (ROOT / "docs" / "api.md").read_text()
    return re.findall(r"^\| `(jaxcnn\.[\w.]+)", text, flags=re.MULTILINE)


def test_the_api_page_lists_the_public_names():
    listed = listed_names()
    assert len(listed) == len(set(listed))
    assert {n for n in listed if n.count(".") == 1} == {
        f"jaxcnn.{name}" for name in jaxcnn.__all__
    }


@pytest.mark.parametrize("part", PARTS)
def test_the_api_page_lists_the_names_of_the_parts(part):
    module = importlib.import_module(f"jaxcnn.{part}")
    names = {
        f"jaxcnn.{part}.{name}"
        for name in module.__all__
        if getattr(module, name) is not getattr(jaxcnn, name, None)
    }
    assert names == {n for n in listed_names() if n.startswith(f"jaxcnn.{part}.")}


def test_every_listed_name_is_there():
    for name in listed_names():
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


MODEL_ROW = (
    r"^\| `(\w+)` \| [^|]+ \| ([\d,]+) \| ([\d.,]+) M \| (\d+(?:x\d+)+) \| [^|]*\|$"
)
MODEL_ROWS = [
    row
    for page in sorted((ROOT / "docs" / "models").glob("*.md"))
    for row in re.findall(MODEL_ROW, page.read_text(), flags=re.MULTILINE)
]


def test_every_model_is_in_a_table_once():
    assert sorted(name for name, *_ in MODEL_ROWS) == sorted(jaxcnn.list_models())


@pytest.mark.parametrize(
    ("name", "params", "macs", "shape"), MODEL_ROWS, ids=[row[0] for row in MODEL_ROWS]
)
def test_the_tables_of_models_are_what_is_counted(name, params, macs, shape):
    # tests/models/test_zoo.py counts each row of this table again.
    counts = model_counts()[name]
    assert shape == "x".join(map(str, counts.image_shape))
    assert params == f"{counts.params:,}"
    assert macs == f"{counts.macs / 1e6:,.2f}"


def test_nothing_points_to_a_machine():
    for page in PROSE:
        assert not re.search(r"(?<![\w.~$}/])/(work|tmp|root|home)/", page.read_text())
