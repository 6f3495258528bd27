"""The rules of the house that can be read off the source: who imports whom, and how long things get."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

import attrs
import echo
import pytest

import sansproto
from sansproto.overte import PacketType
from sansproto.testing._internal.protocols import protocols, sessions_of, tables_of, without
from sansproto.wire import Packet

pytestmark = pytest.mark.outside

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sansproto"
MODULES = sorted(PACKAGE.rglob("*.py"))
SHIPPED = MODULES + sorted(ROOT.glob("adapters/*/src/**/*.py"))
CORE = [path for path in MODULES if path.relative_to(PACKAGE).parts[0] != "testing"]
TESTING = [path for path in MODULES if path not in CORE]
PROTOCOLS = set(protocols())

# No sockets, clocks, threads, processes, files, random sources, logs; nor the ways to get at them by name.
NEVER = {
    *("socket", "ssl", "select", "selectors", "asyncio", "threading", "_thread", "multiprocessing", "concurrent"),
    *("subprocess", "signal", "time", "datetime", "random", "secrets", "uuid", "os", "io", "pathlib", "tempfile"),
    *("shutil", "logging", "importlib", "sansproto"),
}
WORLD = {"open", "print", "input", "__import__", "eval"}  # built-in ways to the same
STANDARD = sys.stdlib_module_names
DEPENDENCIES = {"attrs", "cryptography", "nacl"}
FOR_CHECKERS = {"typing_extensions"}  # which each type checker brings
FOR_TESTS = {"hypothesis", "pytest"}
TESTING_MAY = {
    "adapter_suite": {"multiprocessing", "os", "resource", "socket", "threading", "time"},  # what adapters work with
    "adapter_application": {"socket", "threading"},
    "adapter_harness": {"concurrent", "os", "socket", "threading", "time"},
    "check": {"os"},  # a seed; and which test is running
    "workers": {
        "os",
        "subprocess",
        "importlib",
        "atexit",
    },  # the same inputs in another process, with another PYTHONHASHSEED
    "meter": {"signal"},  # the alarm of what does not return
    "network": {"random"},  # its generator is seeded by the caller
    "faulty_relay": {"random"},  # so are these
    "conformance": {"importlib"},  # of the module that has the checks of a protocol
    "reach": {"importlib", "sys"},  # the source of modules that are imported
    "protocols": {"importlib"},  # of all modules of a protocol
    "strategies": {"importlib"},  # of the module that has those for the codecs of a protocol
    "vectors": {"importlib"},  # of jsonschema, which need not be installed
}
MAY_IMPORT = {"egtp": {"recovery"}, "freenet": {"recovery"}, "tox": {"recovery"}}

MAX_MODULE, MAX_FUNCTION = 610, 60  # lines; of modules "about 600"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def all_of(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=name_of)


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The level (0: absolute) and the module of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((node.level, name) for name in names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in WORLD:
            yield 0, node.func.id


def absolute(path: Path) -> set[str]:
    """The top-level packages that a module imports, and what else it uses of the world."""
    return {name.partition(".")[0] for level, name in imports(ast.parse(path.read_text("utf-8"))) if level == 0}


def at_run_time(path: Path) -> set[str]:
    """The top-level packages that a module imports not only for type checkers."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    return {name.partition(".")[0] for level, name in imports(tree) if level == 0}


def relative(path: Path) -> set[str]:
    """The parts of our package that a module imports: a shared module, a protocol, ``testing``."""
    where = path.relative_to(PACKAGE).with_suffix("").parts
    found = set()
    for level, name in imports(ast.parse(path.read_text("utf-8"))):
        if level:
            found.add((*where[: len(where) - level], *name.split("."))[0])
    return found


@all_of(CORE)
def test_the_core_touches_nothing_of_the_world(path: Path) -> None:
    used = absolute(path)
    assert used & (NEVER | WORLD) == set()
    assert used - DEPENDENCIES - FOR_CHECKERS <= STANDARD
    assert at_run_time(path) & FOR_CHECKERS == set()
    assert "testing" not in relative(path)


@all_of(TESTING)
def test_what_is_shipped_for_tests_has_no_clock_or_socket_either(path: Path) -> None:
    used = absolute(path) - WORLD
    assert used & NEVER <= TESTING_MAY.get(path.stem, set()) | {"pathlib"}
    assert used - DEPENDENCIES - FOR_TESTS <= STANDARD


@all_of(CORE)
def test_cryptography_has_one_place_in_each_protocol(path: Path) -> None:
    assert path.name == "crypto.py" or not absolute(path) & {"cryptography", "nacl"}


@all_of(CORE)
def test_protocols_do_not_know_each_other_and_shared_modules_know_none(path: Path) -> None:
    home = path.relative_to(PACKAGE).parts[0]
    assert relative(path) & PROTOCOLS <= {home} | MAY_IMPORT.get(home, set())


def lacking(protocol: str) -> Iterator[str]:
    """What a protocol should have, and has not."""
    if not (ROOT / "docs" / "protocols" / f"{protocol}.rst").is_file():
        yield "docs"
    if not any(ROOT.glob(f"vectors/{protocol}/*.json")):
        yield "vectors"
    if not (PACKAGE / "testing" / f"conformance_{protocol}.py").is_file():
        yield "conformance"
    if not tables_of(protocol):
        yield "tables"
    elif not any(ROOT.glob(f"tests/{protocol}/test_sessions*.py")):
        yield "vectors of tables"  # that each row and guard is hit by one
    sessions = {session.__name__ for session in sessions_of(protocol)}
    lawful = {name for path in ROOT.glob(f"tests/{protocol}/test_laws*.py") for name in subjects(path)}
    yield from ("laws of " + name for name in sorted(sessions - lawful))
    if not sessions:
        yield "laws"


def subjects(path: Path) -> Iterator[str]:
    """The classes that laws in a file are about: given as ``cls``, or bases there of what is given."""
    tree = ast.parse(path.read_text("utf-8"))
    bases = {
        node.name: [ast.unparse(base) for base in node.bases] for node in tree.body if isinstance(node, ast.ClassDef)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "cls":
            yield from (ast.unparse(node.value), *bases.get(ast.unparse(node.value), ()))


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_a_protocol_has_docs_laws_vectors_and_tables_or_says_why_not(protocol: str) -> None:
    """Whatever is named here is to be made, or to be declared in ``WITHOUT``; what is declared there is not there."""
    said = without(protocol)
    assert sorted(lacking(protocol)) == sorted(said)
    assert all(said.values())


GHOST = """
from sansproto.session import Session

class Haunt(Session[str]):
    pass

__all__ = ["Haunt"]
WITHOUT = {"docs": "nobody sees it"}
"""


def test_a_protocol_that_nobody_registered_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One without crypto.py, too."""
    (tmp_path / "ghost").mkdir()
    (tmp_path / "ghost" / "__init__.py").write_text(GHOST, "utf-8")
    monkeypatch.setattr(sansproto, "__path__", [*sansproto.__path__, str(tmp_path)])
    assert set(protocols()) == {"ghost", *PROTOCOLS}
    assert [*lacking("ghost")] == ["docs", "vectors", "conformance", "tables", "laws of Haunt"]
    page = (ROOT / "docs" / "howto" / "protocol.rst").read_text("utf-8")
    known = re.findall(r"^``([^`]+)``  ", page.split("\nWhere everything goes\n")[1].split("\nThe laws\n")[0], re.M)
    assert known == ["docs", "tables", "vectors", "conformance", "vectors of tables", "laws of <class>", "laws"]
    assert {what.replace("Haunt", "<class>") for what in lacking("ghost")} < {*known}
    with pytest.raises(AssertionError):
        test_a_protocol_has_docs_laws_vectors_and_tables_or_says_why_not("ghost")
    sys.modules["sansproto.ghost"].WITHOUT = dict.fromkeys(lacking("ghost"), "it is none")  # type: ignore[attr-defined]
    test_a_protocol_has_docs_laws_vectors_and_tables_or_says_why_not("ghost")


@pytest.mark.parametrize("said", [{"docs": "there is a page, though"}, {"sense": "there is no such thing"}])
def test_what_is_there_cannot_be_declared_not_to_be(said: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sansproto.bob, "WITHOUT", said, raising=False)
    with pytest.raises(AssertionError):
        test_a_protocol_has_docs_laws_vectors_and_tables_or_says_why_not("bob")


def test_laws_are_about_what_they_are_given_and_its_bases(tmp_path: Path) -> None:
    path = tmp_path / "test_laws_x.py"
    path.write_text("class B(A): pass\nclass T(Laws):\n    subject = Subject(cls=B)\nevolve(x, cls=C)\n", "utf-8")
    assert {*subjects(path)} == {"A", "B", "C"}


@all_of([path for path in SHIPPED if re.fullmatch("sansproto_(asyncio|sockets|threads|trio)", path.parent.name)])
def test_adapters_know_no_protocol(path: Path) -> None:
    named = [name.split(".") for level, name in imports(ast.parse(path.read_text("utf-8"))) if level == 0]
    assert not [name for name in named if name[0] == "sansproto" and PROTOCOLS & set(name)]


@all_of(SHIPPED)
def test_modules_and_functions_can_be_read_in_one_go(path: Path) -> None:
    source = path.read_text("utf-8")
    assert source.count("\n") <= MAX_MODULE
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION, f"{node.name} is too long"


def test_the_rules_see_what_they_forbid(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("import os.path\nfrom time import sleep\ndef f():\n    from . import x\n    open('f')\n")
    assert absolute(path) == {"os", "time", "open"}
    assert [*imports(ast.parse("from ..bob import crypto\nfrom .. import bob"))] == [(2, "bob"), (2, "bob")]


def test_overte_needs_no_pynacl() -> None:
    modules = [f"sansproto.overte.{path.stem}" for path in sorted((PACKAGE / "overte").glob("*.py"))]
    assert "sansproto.overte.crypto" in modules
    code = f"import sys, importlib; sys.modules['nacl'] = None; [importlib.import_module(name) for name in {modules}]"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("there", "code", "said"),
    [
        ({}, 5, "NOT RUN: there is no interop test at all"),
        ({"test_peer.py": "import pytest\npytest.skip('no peer', allow_module_level=True)\n"}, 0, "NOT RUN: no peer"),
    ],
    ids=["none", "skipped"],
)
def test_interop_fails_if_there_is_none_of_it(there: dict[str, str], code: int, said: str, tmp_path: Path) -> None:
    for name, text in there.items():
        (tmp_path / name).write_text(text, "utf-8")
    script = shutil.copy(ROOT / "tests" / "run_interop.py", tmp_path)
    found = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert (found.returncode, said in found.stdout) == (code, True), found.stdout + found.stderr


# -- what an editor shows

NAMES_ONLY = {PacketType}  # all that there are; what is known of those that are spoken here stands at their packets


def public_classes() -> set[type]:
    """The enums and the attrs classes of the contract, and those that protocols export, with their bases.

    Not packets: the fields of these have their meaning in the declaration, for byte tables and dissectors.
    """
    shared = [import_module(f"sansproto.{name}") for name in ("contract", "errors", "events")]
    found = [value for module in shared for value in vars(module).values() if inspect.getmodule(value) is module]
    for module in (echo, *(import_module(f"sansproto.{name}") for name in PROTOCOLS)):
        found += [getattr(module, name) for name in module.__all__]
    classes = {kind for one in found if inspect.isclass(one) for kind in one.__mro__}
    ours = {
        kind for kind in classes if kind.__module__.startswith(("sansproto.", "echo.")) and not issubclass(kind, Packet)
    }
    return {kind for kind in ours if issubclass(kind, Enum) or attrs.has(kind)} - NAMES_ONLY


def full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__name__}"


def undocumented(cls: ast.ClassDef) -> Iterator[str]:
    """The members or fields without a docstring below."""
    for node, below in zip_longest(cls.body, cls.body[1:]):
        target = node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
        if isinstance(target, ast.Name) and not target.id.startswith("_"):
            documented = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            if not documented or not isinstance(below.value.value, str):
                yield target.id


@pytest.mark.parametrize("cls", sorted(public_classes(), key=full_name), ids=full_name)
def test_what_users_see_has_a_docstring(cls: type) -> None:
    (tree,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(tree, ast.ClassDef)
    assert list(undocumented(tree)) == []
    assert ast.get_docstring(tree)


def kinds_in(hint: Any) -> Iterator[type]:
    """The classes in a type hint."""
    if inspect.isclass(hint):
        yield hint
    for argument in typing.get_args(hint):
        yield from kinds_in(argument)


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_what_constructors_take_is_exported_with_them(protocol: str) -> None:
    module = import_module(f"sansproto.{protocol}")
    exported = {one for name in module.__all__ if inspect.isclass(one := getattr(module, name))}
    taken = {
        kind
        for one in exported
        if inspect.isfunction(one.__init__)
        for hint in typing.get_type_hints(one.__init__).values()
        for kind in kinds_in(hint)
    }
    assert {kind for kind in taken if kind.__module__.startswith(f"{module.__name__}.")} <= exported


def test_a_comment_is_no_docstring() -> None:
    (tree,) = ast.parse("class A:\n    a = 1  # one\n    b: int\n    'two'\n    _c: int\n    d: int = 4").body
    assert isinstance(tree, ast.ClassDef)
    assert list(undocumented(tree)) == ["a", "d"]


EVENTS = [cls for cls in public_classes() if attrs.has(cls) and cls.__module__.endswith("events")]


@pytest.mark.parametrize("cls", sorted(EVENTS, key=full_name), ids=full_name)
def test_events_show_bytes_in_hex_or_their_number(cls: type) -> None:
    """So that logs of different protocols, and of the command, can be compared."""
    hints = typing.get_type_hints(cls)
    fields = {field.name: field.repr for field in attrs.fields(cls) if bytes in kinds_in(hints[field.name])}
    assert [name for name, shown in fields.items() if shown is True] == []
