"""The guide to the server, server/README.md, matches the source tree."""

import ast
import re
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import grimp
import pytest

from tokend_server.rpc.status import STATUS

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "server" / "tokend_server"
GUIDE = (ROOT / "server" / "README.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]

#: The rooms of each layer, the lowest first.
LAYERS = [
    layer.split(" | ")
    for contract in CONTRACTS
    if contract["type"] == "layers"
    for layer in reversed(contract["layers"])
]

#: Files that list or word errors, and files that do not belong to gRPC calls.
_NOT_WHERE_ERRORS_BEGIN = ("aws_json/", "cli/", "errors.py", "rpc/status.py")


def section(title: str) -> str:
    return GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """Returns the cells of the first table of a section, without its head."""
    table = re.search(r"(?:^\|.*\n)+", section(title), re.MULTILINE)
    assert table, title
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.group().splitlines()[2:]]


def file_of(room: str) -> Path:
    path = SERVER.joinpath(*room.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def rooms() -> set[str]:
    """Returns every package and every module at the top, and the other names in the contract of layers."""
    packages = {".".join(init.parent.relative_to(SERVER).parts) for init in SERVER.rglob("__init__.py")} - {""}
    return packages | {module.stem for module in SERVER.glob("*.py")} - {"__init__"} | {*chain(*LAYERS)}


def sentence(room: str) -> str:
    text = ast.get_docstring(ast.parse(file_of(room).read_text(encoding="utf-8")))
    assert text, f"{room} has no docstring"
    return text.splitlines()[0]


def allowed(room: str) -> str:
    """Returns which rooms a room may import, by the guide."""
    level = next((level for level, of_layer in enumerate(LAYERS) if room in of_layer), None)
    if level is None:
        parent = room.rpartition(".")[0]
        return f"as `{parent}`" if parent else "nothing"
    name = f"tokend_server.{room}"
    forbidden = {
        module.removeprefix("tokend_server.")
        for contract in CONTRACTS
        if contract["type"] == "forbidden" and name in contract["source_modules"]
        for module in contract["forbidden_modules"]
        if module.startswith("tokend_server.")
    }
    below = {0: "nothing", 1: "1"}.get(level, f"1 to {level}")
    return ", not ".join([below, *(f"`{each}`" for each in sorted(forbidden) if "stores" not in each)])


ROOMS = {row[1].strip("`"): row for row in rows("Rooms")}


def test_every_room_is_listed_with_its_sentence() -> None:
    assert {name: row[2] for name, row in ROOMS.items()} == {room: sentence(room) for room in rooms()}


def test_there_are_at_most_25_packages() -> None:
    assert len([room for room in rooms() if file_of(room).name == "__init__.py"]) <= 25


def test_the_imports_of_a_package_match_the_import_contracts() -> None:
    numbers = {room: str(number) for number, of_layer in enumerate(LAYERS, start=1) for room in of_layer}
    assert {name: row[0] for name, row in ROOMS.items()} == {room: numbers.get(room, "") for room in ROOMS}
    assert {name: row[3] for name, row in ROOMS.items()} == {room: allowed(room) for room in ROOMS}


def drawn() -> tuple[dict[str, str], set[tuple[str, str]]]:
    """Returns the rooms of the diagram by their nodes, and its arrows."""
    picture = section("The picture").split("```mermaid\n")[1].split("```")[0]
    nodes = {node: label.partition("<br>")[0] for node, label in re.findall(r'(\w+)\["([^"]+)"\]', picture)}
    arrows = set()
    for line in picture.splitlines():
        if "-->" in line:
            begin, end = line.split("-->")
            arrows |= {(a.strip(), b.strip()) for a in begin.split("&") for b in end.split("&")}
    return nodes, arrows


def reachable(arrows: set[tuple[str, str]], node: str) -> set[str]:
    found: set[str] = set()
    new = {node}
    while new:
        new = {end for begin, end in arrows if begin in new} - found
        found |= new
    return found


def test_the_picture_shows_which_way_imports_run() -> None:
    nodes, arrows = drawn()
    assert set(nodes.values()) <= rooms()
    assert {node for arrow in arrows for node in arrow} == nodes.keys()
    graph = grimp.build_graph("tokend_server", cache_dir=None)

    def imports(importer: str, imported: str) -> bool:
        names = (f"tokend_server.{nodes[node]}" for node in (importer, imported))
        return importer != imported and graph.direct_import_exists(
            importer=next(names), imported=next(names), as_packages=True
        )

    real = {(a, b) for a in nodes for b in nodes if imports(a, b)}
    assert arrows <= real
    for node in nodes:
        assert {b for a, b in real if a == node} <= reachable(arrows, node)


#: Code that looks like a path, with a name in it: `rpc/status.py`, `tests/contracts/`.
_PATH = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|md|toml|proto)|(?:[\w.-]+/)+)`")
_NAMED = re.compile(_PATH.pattern + r": ((?:`\w+`(?:, )?)+)")


def places(path: str) -> Iterator[Path]:
    """Returns the existing locations of a path in the guide."""
    yield from (place for base in (SERVER, ROOT) if (place := base / path).exists())


@pytest.mark.parametrize("path", sorted(set(_PATH.findall(GUIDE))))
def test_a_path_of_the_guide_exists(path: str) -> None:
    assert any(places(path))


@pytest.mark.parametrize(("path", "names"), sorted(set(_NAMED.findall(GUIDE))))
def test_names_in_the_guide_exist_in_their_files(path: str, names: str) -> None:
    text = next(places(path)).read_text(encoding="utf-8")
    for name in re.findall(r"\w+", names):
        assert re.search(rf"^\s*(?:(?:def|class|rpc|enum) {name}\b|{name}\b\s*[:=])", text, re.MULTILINE), name


def test_the_reading_takes_half_an_hour() -> None:
    assert sum(int(row[0]) for row in rows("A call, in half an hour")) == 30


def raising_files() -> dict[str, set[str]]:
    """Returns the files that create or raise an error of each reason, or have it in a table."""
    reasons = {error.__name__: error.reason or "none" for error in STATUS}
    found: dict[str, set[str]] = {reason: set() for reason in reasons.values()}
    for file in SERVER.rglob("*.py"):
        path = str(file.relative_to(SERVER))
        if path.startswith(_NOT_WHERE_ERRORS_BEGIN):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for name in _made(node):
                if reason := reasons.get(name):
                    found[reason].add(path)
    return found


def _made(node: ast.AST) -> Iterator[str]:
    """Returns the names of created objects, of first arguments as in rows of tables, and of raised errors."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(id=name))):
            yield name
        case ast.Raise(exc=ast.Name(id=name)):
            yield name
    match node:
        case ast.Call(args=[ast.Name(id=name), *_]):
            yield name


def test_the_guide_lists_the_files_that_raise_each_reason() -> None:
    listed = {row[0].strip("`"): set(_PATH.findall(row[1])) for row in rows("Where to look at night")}
    assert listed == raising_files()


def test_every_room_has_a_layer() -> None:
    layered = {room for of_layer in LAYERS for room in of_layer}
    assert {room for room in rooms() if "." not in room} - layered == {
        "engines"
    }  # whose rooms have layers of their own
