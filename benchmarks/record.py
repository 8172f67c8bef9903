"""What figures depend on, and the files that hold them."""

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def environment(*packages: str) -> dict[str, Any]:
    """Returns hardware, versions, commit and load: what the figures depend on.

    Args:
        *packages: Installed packages whose versions count too, such as `"torch"`.
    """
    import flax
    import jax

    import jaxcnn

    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "cpu": f"{os.cpu_count()} cores, {_cpu_name()}",
        "load_before": load(),
        "versions": {
            "jaxcnn": jaxcnn.__version__,
            "jax": jax.__version__,
            "flax": flax.__version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }


def commit() -> str:
    """Returns the commit that is measured; `-dirty` if files differ from it."""
    git = ["git", "describe", "--always", "--dirty"]
    here = Path(__file__).parent
    return subprocess.run(git, capture_output=True, text=True, cwd=here).stdout.strip()


def load() -> list[float]:
    """Returns the load averages of the last 1, 5 and 15 minutes."""
    return [round(x, 2) for x in os.getloadavg()]


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


def write_results(kind: str, about: dict[str, Any], rows: list[dict]) -> Path:
    """Writes the rows, with where they were measured, to a file of their own."""
    path = RESULTS / f"{kind}-{about['date']}-{about['commit']}.json"
    write_json(path, {**about, "rows": rows})
    print(f"written to {path}")
    return path


def merge_row(path: Path, about: dict[str, Any], row: dict, key: tuple) -> None:
    """Puts one row into a file, in the place of the one with the same key.

    A suite may so be measured in slices: what other slices wrote stays, with the
    environment that each row holds itself.

    Args:
        path: The file; it is made if it is not there.
        about: The environment of this slice.
        row: What was measured.
        key: Names of the fields that tell rows apart.
    """
    content = json.loads(path.read_text()) if path.exists() else {"rows": []}
    same = [row[name] for name in key]
    rows = [r for r in content["rows"] if [r.get(name) for name in key] != same]
    write_json(path, {**about, "rows": [*rows, row]})


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=2) + "\n")
    part.replace(path)
