"""The folder sansproto/, copied into another tree under another name, passes all vectors with three packages there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import venv
from collections.abc import Callable, Iterable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from sansproto.testing import conformance
from sansproto.testing._internal.protocols import protocols
from sansproto.testing.conformance import main, run
from sansproto.testing.vectors import files, load

ROOT = Path(__file__).parents[1]
VECTORS = ROOT / "vectors"
NAME = "acme._vendor.sp"
INSTALLED = ("attrs", "cryptography", "PyNaCl", "cffi", "pycparser")  # the three, and what two of them require
LEFT_OUT = {"bob.transcript": 29}  # the transcripts have a replay of their own, below

LIST_EVERYTHING = """
import pkgutil, sysconfig
standard = sysconfig.get_path("stdlib"), sysconfig.get_path("stdlib") + "/lib-dynload"
print(*(module.name for module in pkgutil.iter_modules() if module.module_finder.path not in standard))
"""
IMPORT_EVERYTHING = f"""
import importlib, pkgutil, {NAME} as package
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        print(module.name.removeprefix(package.__name__ + "."), "wants", error.name)
"""
REPLAY_TRANSCRIPTS = """
from transcripts import TRANSCRIPTS, PeerReplay, RelayReplay
unmet = {"transcript-identities", "other-ciphers"}
played = 0
for test in TRANSCRIPTS:
    for view in test["views"]:
        if view == "relay" or not unmet & set(test.group.requires):
            (RelayReplay if view == "relay" else PeerReplay)(test, view, None, False).run()
            played += 1
print(played, "views of", len(TRANSCRIPTS), "transcripts")
"""


class Elsewhere:
    """Another project, in a virtual environment of its own."""

    def __init__(self, folder: Path, left_out: Iterable[str] = ()) -> None:
        self.folder = folder / "project"
        package = self.folder.joinpath(*NAME.split("."))
        shutil.copytree(ROOT / "sansproto", package, ignore=shutil.ignore_patterns("__pycache__"))
        for protocol in left_out:
            shutil.rmtree(package / protocol)
        for parent in package.relative_to(self.folder).parents:
            if parent.name:
                (self.folder / parent / "__init__.py").touch()
        shutil.copytree(VECTORS, self.folder / "vectors", ignore=shutil.ignore_patterns("node_modules"))
        venv.create(folder / "venv", symlinks=True, with_pip=False)
        self._python = folder / "venv" / "bin" / "python"
        self._install(next((folder / "venv" / "lib").glob("python*/site-packages")))

    def _install(self, site: Path) -> None:
        """Link what is installed here: no network, and the very versions that all other tests run with."""
        for name in INSTALLED:
            files = distribution(name)
            for top in {file.parts[0] for file in files.files or ()} - {".."}:
                (site / top).symlink_to(str(files.locate_file(top)))

    def run(self, *arguments: str) -> str:
        command = [str(self._python), "-E", "-s", "-W", "error", *arguments]
        result = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    return Elsewhere(tmp_path_factory.mktemp("elsewhere"))


@pytest.mark.unmeasured
def test_nothing_else_is_installed_there(elsewhere: Elsewhere) -> None:
    tops = {"attr", "attrs", "cryptography", "nacl", "cffi", "_cffi_backend", "pycparser"}
    assert set(elsewhere.run("-c", LIST_EVERYTHING).split()) == tops | {"acme"}


@pytest.mark.unmeasured
def test_every_module_can_be_imported_there_but_for_tests(elsewhere: Elsewhere) -> None:
    wanting = set(elsewhere.run("-c", IMPORT_EVERYTHING).splitlines())
    assert wanting == {
        "testing._internal.adapter_application wants pytest",
        "testing._internal.check wants hypothesis",
        "testing._internal.strategies_bob wants hypothesis",
        "testing._internal.strategies_overte wants hypothesis",
        "testing._internal.subject wants hypothesis",
        "testing.adapter_suite wants pytest",
        "testing.laws wants hypothesis",
        "testing.strategies wants hypothesis",
    }


@pytest.mark.unmeasured
def test_all_vectors_pass_there(elsewhere: Elsewhere) -> None:
    output = elsewhere.run("-m", f"{NAME}.testing.conformance", "vectors").splitlines()
    there = sum(len(load(path)) for path in files(VECTORS))
    skipped = sum(LEFT_OUT.values())
    assert output[-1] == f"{there - skipped} passed, {skipped} left out, 0 failed"


@pytest.mark.unmeasured
def test_all_transcripts_are_replayed_there(elsewhere: Elsewhere) -> None:
    """By the replay that the tests have, which then knows the library by its other name."""
    folder = elsewhere.folder / "tests" / "bob"
    folder.mkdir(parents=True)
    replay = (ROOT / "tests" / "bob" / "transcripts.py").read_text("utf-8")
    (folder / "transcripts.py").write_text(replay.replace("from sansproto", f"from {NAME}"), "utf-8")
    output = elsewhere.run("-c", f"import sys; sys.path.append({str(folder)!r})\n{REPLAY_TRANSCRIPTS}")
    transcripts = load(VECTORS / "bob" / "transcripts.json")
    views = sum(len(test["views"]) for test in transcripts)
    assert output == f"{views - 4} views of {len(transcripts)} transcripts\n"  # 4 cannot be ours: their groups say why


# -- one protocol alone

ALONE = {
    name.strip("`"): (set(re.findall(r"``(\w+)/``", folders)), int(size))
    for name, folders, size in re.findall(
        r"^(\w+) +((?:``\w+/``(?:, )?)+) +(\d+) kB$", (ROOT / "docs" / "howto" / "vendor.rst").read_text("utf-8"), re.M
    )
}


def test_each_protocol_can_be_copied_alone() -> None:
    assert ALONE.keys() == {*protocols()} - {"recovery"}
    assert all(name in folders for name, (folders, _) in ALONE.items())


@pytest.mark.unmeasured
@pytest.mark.parametrize("protocol", ALONE)
def test_a_copy_with_one_protocol_passes_its_vectors_and_leaves_out_the_others(protocol: str, tmp_path: Path) -> None:
    folders, _ = ALONE[protocol]
    elsewhere = Elsewhere(tmp_path, left_out={*protocols()} - folders)
    lines = elsewhere.run("-m", f"{NAME}.testing.conformance", "vectors").splitlines()
    files = [*VECTORS.glob("machines/links.json")]
    for name in folders:
        files += [*VECTORS.glob(f"{name}/*.json"), *VECTORS.glob(f"machines/{name}.json")]
    passed = sum(len(load(path)) for path in files) - (LEFT_OUT["bob.transcript"] if protocol == "bob" else 0)
    assert re.match(rf"{passed} passed, \d+ left out, 0 failed", lines[-1])
    assert any("which this copy leaves out" in line for line in lines)
    elsewhere.run("-c", f"import {NAME}.{protocol}, {NAME}.testing.network, {NAME}.testing.record")


@pytest.mark.parametrize("protocol", ALONE)
def test_the_page_has_the_size_of_a_copy_with_one_protocol(protocol: str) -> None:
    """In thousands of bytes, about."""
    folders, size = ALONE[protocol]
    library = ROOT / "sansproto"
    files = [*library.glob("*.py"), *library.glob("wire/*.py")]
    for name in folders:
        files += library.glob(f"{name}/*.py")
    assert sum(path.stat().st_size for path in files) / 1000 == pytest.approx(size, rel=0.15)


# -- the same check, here


def test_nothing_else_is_left_out() -> None:
    reports = list(run(VECTORS))
    assert [line for report in reports for line in report.failed] == []
    found = {report.name.rpartition(" ")[2]: len(report.left_out) for report in reports if report.left_out}
    assert found == LEFT_OUT


def other_bytes(document: Any) -> None:
    document["testGroups"][0]["tests"][0]["fields"]["name"] = "other.txt"


def other_error(document: Any) -> None:
    test = document["testGroups"][2]["tests"][5]
    assert test["error"] == "truncated"
    test["error"] = "bad_mac"


def unknown_type(document: Any) -> None:
    document["testGroups"][0]["type"] = "bob.opera"


def unknown_protocol(document: Any) -> None:
    document["testGroups"][0]["type"] = "opera.pack"
    del document["testGroups"][0]["tests"][1:]


def unknown_kind(document: Any) -> None:
    document["schema"] = "opera"


def no_input(document: Any) -> None:
    del document["testGroups"][0]["tests"][0]["wire"]


@pytest.mark.parametrize("change", [other_bytes, other_error, unknown_type, unknown_protocol, unknown_kind, no_input])
def test_a_difference_fails(change: Callable[[Any], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads((VECTORS / "bob" / "pack.json").read_text("utf-8"))
    shutil.copy(VECTORS / "bob" / "transcripts.json", tmp_path)
    change(document)
    (tmp_path / "changed.json").write_text(json.dumps(document), "utf-8")
    assert main([str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert (output.count("  FAILED: "), output.count("  left out: ")) == (1, LEFT_OUT["bob.transcript"])


def test_a_protocol_that_is_not_here_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "is_here", lambda protocol: protocol != "bob")
    reports = list(run(VECTORS / "bob" / "pack.json"))
    assert [len(report.failed) + report.passed for report in reports] == [0] * len(reports)
    assert all("needs bob, which this copy leaves out" in line for report in reports for line in report.left_out)


def test_one_file_is_checked_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads((VECTORS / "bob" / "pack.json").read_text("utf-8"))
    other_bytes(document)
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(document), "utf-8")
    assert main([str(VECTORS / "bob" / "pack.json")]) == 0
    assert main([str(changed)]) == 1
    assert "changed.json, bob." in capsys.readouterr().out


def test_no_folder_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert main([str(tmp_path / "missing")]) == main([]) == 2
    assert "conformance" in capsys.readouterr().err
