"""Checks the wheels and source archives in a folder as a user gets them, and writes what an installation brings.

``make dist`` builds them and runs this. For each Python that is given, the wheels are installed into an environment of
their own, which then runs the command, and the vectors of the source archive. ``sbom.cdx.json`` beside the wheels is a
CycloneDX bill of materials of that environment, with the libraries that are compiled into wheels of others.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("adapters/*/pyproject.toml"))]

OPENSSL = "from cryptography.hazmat.backends.openssl import backend; print(backend.openssl_version_text().split()[1])"
COMPILED_IN = {"pynacl": "libsodium", "cffi": "libffi"}
"""Libraries within wheels that do not say so, nor which version they have."""


def check_files(dist: Path) -> tuple[list[Path], Path]:
    """The wheels, and the source archive of the library. Raises AssertionError if anything is missing in one."""
    wheels, archives = sorted(dist.glob("*.whl")), sorted(dist.glob("*.tar.gz"))
    assert len(wheels) == len(archives) == len(PROJECTS), "one of each for each project"
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as file:
            names = file.namelist()
        assert any(name.endswith("/py.typed") for name in names), f"{wheel.name} has no types"
        assert any(name.endswith("/licenses/LICENSE") for name in names), f"{wheel.name} has no licence"
        assert not any(name.startswith(("tests/", "docs/")) for name in names), f"{wheel.name} has too much"
    (library,) = [archive for archive in archives if archive.name.startswith("sansproto-0")]
    return wheels, library


def install(python: str, wheels: list[Path], folder: Path) -> Path:
    """An environment that has these wheels and what they require from the index, and nothing else: not even pip."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    inside = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", inside, "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *wheels], check=True)
    return inside


def try_out(inside: Path, archive: Path, folder: Path) -> str:
    """Run the command, import the adapters, check the vectors; the last line of that."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (source,) = folder.glob("sansproto-*")
    assert (source / "tests").is_dir()
    for name in sorted(project.name.replace("-", "_") for project in PROJECTS[1:]):
        subprocess.run([inside, "-c", f"import {name}"], check=True, cwd=folder)
    subprocess.run([inside.with_name("sansproto"), "--help"], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    command = [inside, "-m", "sansproto.testing.conformance", source / "vectors"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr
    return result.stdout.splitlines()[-1]


def bill_of_materials(inside: Path) -> dict[str, Any]:
    """Every distribution of the environment, and what is compiled into it."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", str(inside)]
    bill: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    openssl = subprocess.run([inside, "-c", OPENSSL], check=True, capture_output=True, text=True).stdout.strip()
    for component in bill["components"]:
        name = component["name"].lower()
        inner = shipped(inside, name)
        if name in COMPILED_IN:
            inner.append({"type": "library", "name": COMPILED_IN[name]})
        if name == "cryptography" and not any(one.get("version") == openssl for one in inner):
            inner.append({"type": "library", "name": "openssl", "version": openssl})
        if inner:
            component["components"] = inner
    names = {component["name"].lower() for component in bill["components"]}
    assert {"sansproto", "cryptography", *COMPILED_IN, *(project.name for project in PROJECTS[1:])} <= names, names
    return bill


def shipped(inside: Path, name: str) -> list[dict[str, Any]]:
    """What a wheel says itself that it holds (PEP 770)."""
    folders = inside.parents[1].glob(f"lib/python3*/site-packages/{name.replace('-', '_')}-*.dist-info/sboms")
    bills = [json.loads(path.read_text("utf-8")) for folder in folders for path in sorted(folder.glob("*.json"))]
    found = {(one["name"], one.get("version", "")): one for bill in bills for one in bill.get("components", ())}
    return [
        {key: value for key, value in one.items() if key in ("type", "name", "version", "purl", "licenses")}
        for one in found.values()
    ]


def main(dist: Path, pythons: list[str]) -> None:
    wheels, archive = check_files(dist)
    for number, python in enumerate(pythons):
        with tempfile.TemporaryDirectory() as folder:
            inside = install(python, wheels, Path(folder, "venv"))
            print(f"{python}: {try_out(inside, archive, Path(folder))}", flush=True)
            if number == 0:
                bill = bill_of_materials(inside)
                (dist / "sbom.cdx.json").write_text(json.dumps(bill, indent=1) + "\n", "utf-8")
                print(f"sbom.cdx.json: {len(bill['components'])} distributions")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2:] or [sys.executable])
