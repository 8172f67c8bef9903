"""The folder of all checkpoints: names of steps, leftovers, what is good and why not.

```
step_00000100/           one checkpoint, complete and verified when it got this name
    arrays/              by Orbax
    step.json            metrics, info, names and types of the leaves
    manifest.sha256      checksums of all other files
step_00000200.saving/    being written, or left by a killed save
step_00000050.deleting/  being deleted, or left by a killed one
```
"""

import json
import logging
import re
from typing import Any

from etils import epath

from jaxcnn.checkpoint.manifest import find_damage, write_manifest

_FORMAT = 1
_RECORD = "step.json"
_NAME = re.compile(r"step_(\d{8}|[1-9]\d{8,})(\.saving|\.deleting)?")

logger = logging.getLogger("jaxcnn")

#: Contents of `step.json`.
Record = dict[str, Any]


class StepFolders:
    """The steps in a folder, each good or damaged; looks at each once.

    On a POSIX file system a step appears and disappears by one atomic rename. An object
    store copies instead: there a killed save may leave a step that is incomplete, which
    its manifest tells.
    """

    def __init__(self, directory: epath.Path):
        self.directory = directory
        self._records: dict[int, Record] = {}
        self._damage: dict[int, str] = {}
        _refuse_foreign(directory)

    def path(self, step: int, suffix: str = "") -> epath.Path:
        """Returns the folder of a step."""
        return self.directory / f"step_{step:08d}{suffix}"

    def on_disk(self) -> list[int]:
        """Returns all steps, good or damaged, in order."""
        return sorted(step for step, suffix in self._entries() if not suffix)

    def record(self, step: int) -> Record:
        """Returns the record of a step that was found good."""
        return self._records[step]

    def good(self) -> dict[int, Record]:
        """Returns the records of all good steps, in order."""
        steps = self.on_disk()
        for step in steps:
            if step not in self._records and step not in self._damage:
                self.verify(step)
        return {step: self._records[step] for step in steps if step in self._records}

    def damaged(self) -> dict[int, str]:
        """Returns the reason for every damaged step, in order."""
        self.good()
        return {s: self._damage[s] for s in self.on_disk() if s in self._damage}

    def verify(self, step: int) -> bool:
        """Reads all files of a step again; damage is reported once to the log."""
        self._records.pop(step, None)
        damage = find_damage(self.path(step))
        if damage is None:
            try:
                record = json.loads((self.path(step) / _RECORD).read_text())
                damage = _objection(record, step)
            except OSError as error:
                damage = f"cannot be read ({error})"
        if damage is None:
            self._records[step] = record
            self._damage.pop(step, None)
            return True
        if not self.path(step).exists():  # its writer deleted it while we looked
            return False
        if step not in self._damage:
            logger.warning(
                "The checkpoint %s is damaged and will not be used: %s.",
                self.path(step),
                damage,
            )
        self._damage[step] = damage
        return False

    def start(self, step: int) -> epath.Path:
        """Returns a folder to write a step to; removes what killed processes left."""
        for left, suffix in self._entries():
            if suffix:
                self.path(left, suffix).rmtree()
        folder = self.path(step, ".saving")
        folder.mkdir(parents=True)
        return folder

    def finish(self, step: int, record: Record) -> None:
        """Completes what `start` began: from here on the step counts as good."""
        folder = self.path(step, ".saving")
        record = {"format": _FORMAT, "step": step, **record}
        (folder / _RECORD).write_text(json.dumps(record, indent=1))
        write_manifest(folder)
        doomed = None
        if self.path(step).exists():  # damaged, or to be replaced
            doomed = self.path(step).rename(self.path(step, ".deleting"))
        folder.rename(self.path(step))
        if doomed is not None:
            doomed.rmtree()
        self._damage.pop(step, None)
        self._records[step] = record

    def abandon(self, step: int) -> None:
        """Removes what `start` began."""
        self.path(step, ".saving").rmtree(missing_ok=True)

    def delete(self, step: int) -> None:
        """Deletes a step; renamed first, it is whole or gone if this is killed."""
        doomed = self.path(step, ".deleting")
        self.path(step).rename(doomed)
        doomed.rmtree()
        self._records.pop(step, None)
        self._damage.pop(step, None)

    def _entries(self) -> list[tuple[int, str]]:
        """Returns step and suffix of everything that is ours."""
        try:
            names = [path.name for path in self.directory.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        matches = [_NAME.fullmatch(name) for name in names]
        return [(int(match[1]), match[2] or "") for match in matches if match]


def _refuse_foreign(directory: epath.Path) -> None:
    if not directory.exists():
        return
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory} is a file, not a folder of checkpoints.")
    names = sorted(p.name for p in directory.iterdir() if not p.name.startswith("."))
    if names and not any(map(_NAME.fullmatch, names)):
        raise ValueError(
            f"{directory} is not a folder of checkpoints: it holds {names[0]!r} and no "
            "'step_00000100' or the like. Give a new or an empty folder, or the one "
            "that checkpoints were saved to."
        )


def _objection(record: Record, step: int) -> str | None:
    """Returns why an undamaged record cannot be used, or None."""
    if record["format"] != _FORMAT:
        return f"its format is {record['format']}, this version reads {_FORMAT}"
    if record["step"] != step:
        return f"it was saved as step {record['step']} and renamed"
    return None
