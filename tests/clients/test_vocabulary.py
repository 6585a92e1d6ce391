"""The clients declare the names of their language in `clients/README.md`."""

import ast
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest
from tests.clients.toolchains import ROOT

CLIENTS = ROOT / "clients"


def _text(paths: Iterable[Path]) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


@cache
def _go_names() -> set[str]:
    paths = [*(CLIENTS / "go").glob("*.go"), *(CLIENTS / "go/tokendtest").glob("*.go")]
    text = _text(path for path in paths if not path.name.endswith("_test.go"))
    types_and_functions = re.findall(r"^(?:type|func(?: \([^)]*\))?) (\w+)", text, re.MULTILINE)
    fields = [
        name
        for names in re.findall(r"^\t(\w+(?:, \w+)*) +[\w*.\[\]]+", text, re.MULTILINE)
        for name in names.split(", ")
    ]
    return {*types_and_functions, *fields}


@cache
def _java_names() -> set[str]:
    text = _text((CLIENTS / "java").glob("[ct]*/src/main/**/*.java"))
    types = re.findall(
        r"^(?:public |final |abstract |sealed )*(?:class|interface|record|enum) (\w+)", text, re.MULTILINE
    )
    methods = re.findall(r"^ +(?:public |static |default )*[\w<>.@? ]+ (\w+)\(", text, re.MULTILINE)
    parameters = re.findall(r"[\w>] (\w+)[,)]", text)
    return {*types, *methods, *parameters}


@cache
def _python_names() -> set[str]:
    package = CLIENTS / "python/tokend_client"
    nodes = ast.walk(ast.parse(_text([*package.glob("*.py"), *package.glob("testing/*.py")])))
    return {name for node in nodes if (name := _declared(node))}


def _declared(node: ast.AST) -> str | None:
    match node:
        case ast.ClassDef(name) | ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.arg(name):
            return name
        case ast.AnnAssign(target=ast.Name(name)):
            return name
        case _:
            return None


DECLARED: dict[str, Callable[[], set[str]]] = {"Go": _go_names, "Java": _java_names, "Python": _python_names}


def _names_of_the_page() -> list[tuple[str, str]]:
    page = (CLIENTS / "README.md").read_text(encoding="utf-8")
    sections = [page.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0] for heading in ("Names", "Fakes")]
    tables = [[line.strip("|").split("|") for line in each.splitlines() if line.startswith("|")] for each in sections]
    return [
        (language.partition(",")[0].strip(), name)
        for head, _, *rows in tables
        for row in rows
        for language, cell in zip(head[1:], row[1:], strict=True)
        for name in re.findall(r"`(\w+)`", cell)
    ]


@pytest.mark.parametrize(("language", "name"), _names_of_the_page())
def test_a_name_of_the_page_is_declared(language: str, name: str) -> None:
    assert name in DECLARED[language]()
