"""The launch files are valid, and what they start is there and takes their flags."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from jaxcnn.experiment import ExperimentConfig
from jaxcnn.experiment.flags import parse_train

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "experiments" / "launch"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
FILES = [*SCRIPTS, FOLDER / "kubernetes.yaml"]
EXPERIMENT = "experiments/imagenet_resnet50.py"


def name_of(path):
    return path.name


def flags_of(path):
    """Returns the arguments that a launch file gives to the experiment."""
    text = path.read_text()
    if path.suffix == ".yaml":
        [line] = re.findall(r"^ *args: \[(.*)\]$", text, re.MULTILINE)
        return [word.strip() for word in line.split(",")]
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    [line] = re.findall(r'EXPERIMENT"? (--distributed.*)$', code, re.MULTILINE)
    line = line.split('"$@"')[0].split("$arguments")[0]
    return shlex.split(line)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_experiment_takes_the_flags(path):
    flags = [re.sub(r"\$\{?\w+\}?", "word", word) for word in flags_of(path)]
    config, hosts = parse_train(ExperimentConfig(), flags, prog="python")
    assert hosts.distributed
    assert config.parallel == "mesh"
    assert config.run


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_wrong_flag_would_be_found(path):
    flags = [word.replace("distributed", "distribute") for word in flags_of(path)]
    with pytest.raises(ValueError, match="--distributed"):
        parse_train(ExperimentConfig(), flags, prog="python")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_experiment_is_there_and_the_file_says_what_was_not_run(path):
    text = path.read_text()
    assert EXPERIMENT in text
    assert (ROOT / EXPERIMENT).exists()
    assert "not yet run on one" in text.split("\n\n")[0].replace("\n# ", " ")


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_bash_reads_it(path):
    subprocess.run(["bash", "-n", path], check=True)
    assert path.stat().st_mode & 0o111
    assert "set -euo pipefail" in path.read_text()


def test_a_tab_or_a_wrong_indent_would_spoil_the_yaml():
    documents = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))
    kinds = [document["kind"] for document in documents]
    assert kinds == ["Service", "ServiceAccount", "Role", "RoleBinding", "Job"]
    pods = documents[-1]["spec"]
    assert pods["parallelism"] == pods["completions"]
    assert pods["template"]["spec"]["subdomain"] == documents[0]["metadata"]["name"]


def test_the_readme_names_every_file():
    named = re.findall(r"^\| `([\w.]+)`", (FOLDER / "README.md").read_text(), re.M)
    assert sorted(named) == sorted(path.name for path in FILES)
