"""Checksums of the files of a folder, written beside them and verified on load."""

import hashlib
import re

from etils import epath

#: Name of the manifest. `sha256sum -c manifest.sha256` in the folder verifies it too.
MANIFEST = "manifest.sha256"


def write_manifest(folder: epath.Path) -> None:
    """Writes the checksums of all files in a folder, the manifest itself apart."""
    names = sorted(_files(folder) - {MANIFEST})
    checksums = {name: _checksum(folder / name) for name in names}
    (folder / MANIFEST).write_text(_render(checksums))


def find_damage(folder: epath.Path) -> str | None:
    """Returns what is wrong with a folder that has a manifest, or None.

    Every listed file must be there with the bytes that it had, and nothing else may
    be there, so a lost or shortened manifest does not pass either. Hidden files, which
    file browsers and network file systems leave behind, are tolerated.
    """
    try:
        return _damage(folder)
    except (OSError, UnicodeDecodeError) as error:
        return f"cannot be read ({error})"


def _damage(folder: epath.Path) -> str | None:
    if not (folder / MANIFEST).exists():
        return f"{MANIFEST} is missing"
    expected = _parse((folder / MANIFEST).read_text())
    if expected is None:
        return f"{MANIFEST} is damaged"
    present = _files(folder) - {MANIFEST}
    for name in sorted(expected.keys() - present):
        return f"{name} is missing"
    for name in sorted(present - expected.keys()):
        if not name.rpartition("/")[2].startswith("."):
            return f"{name} is not listed in {MANIFEST}"
    for name, checksum in expected.items():
        if _checksum(folder / name) != checksum:
            return f"{name} does not have the contents that were saved"
    return None


def _render(checksums: dict[str, str]) -> str:
    return "".join(f"{checksum}  {name}\n" for name, checksum in checksums.items())


def _parse(text: str) -> dict[str, str] | None:
    """Returns checksums by name, or None for a text that `_render` cannot have made."""
    lines = re.findall(r"^([0-9a-f]{64})  (.+)$", text, flags=re.MULTILINE)
    checksums = {name: checksum for checksum, name in lines}
    return checksums if _render(checksums) == text else None


def _files(folder: epath.Path) -> set[str]:
    """Returns the paths of all files below a folder, relative to it, with slashes."""
    names = set()
    for path in folder.iterdir():
        if path.is_dir():
            names |= {f"{path.name}/{name}" for name in _files(path)}
        else:
            names.add(path.name)
    return names


def _checksum(path: epath.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
