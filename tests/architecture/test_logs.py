"""The members of log lines are an interface: server/logs.md lists exactly those in the code."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tokend_server import logs

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "server" / "tokend_server"
PAGE = (ROOT / "server" / "logs.md").read_text("utf-8")
DOCUMENTED = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))

#: The members of the logging library, or of the formatter.
OF_EVERY_LINE = {"time", "level", "logger", "message", "exc_info"}

#: Turns its keyword arguments into members.
NAMED_BY_ARGUMENTS = "log_problem"


@cache
def functions() -> dict[str, tuple[Path, ast.FunctionDef]]:
    """Returns all functions of the server by name, each with its file."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in SERVER.rglob("*.py")}
    return {
        f"{path}:{each.name}:{each.lineno}": (path, each)
        for path, tree in trees.items()
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef)
    }


def logged_members() -> Iterator[tuple[str, str]]:
    """Returns the members in log calls, each with its location."""
    for path, function in functions().values():
        for call in [each for each in ast.walk(function) if isinstance(each, ast.Call)]:
            place = f"{path.relative_to(SERVER)}:{call.lineno}"
            for keyword in call.keywords:
                if ast.unparse(call.func) == NAMED_BY_ARGUMENTS and keyword.arg:
                    yield keyword.arg, place
                if ast.unparse(call.func).startswith("_log.") and keyword.arg == "extra":
                    yield from ((name, place) for name in _keys(keyword.value, path, function))


def _keys(node: ast.expr | None, path: Path, function: ast.FunctionDef) -> Iterator[str]:
    """Returns the keys of a dictionary expression in a function, as far as they are static."""
    if isinstance(node, ast.Dict):
        yield from (key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str))
    for part in _parts(node, function):
        yield from _keys(part, path, function)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        found = [(file, each) for file, each in functions().values() if each.name == node.func.id]
        for file, called in [each for each in found if each[0] == path] or found:
            for each in [each for each in ast.walk(called) if isinstance(each, ast.Return)]:
                yield from _keys(each.value, file, called)


def _parts(node: ast.expr | None, function: ast.FunctionDef) -> list[ast.expr]:
    """Returns the expressions from which an expression takes the members of its dictionary."""
    match node:
        case ast.Dict():
            return [value for key, value in zip(node.keys, node.values, strict=True) if key is None]
        case ast.BinOp(left=one, right=other) | ast.IfExp(body=one, orelse=other):
            return [one, other]
        case ast.DictComp():
            return [node.generators[0].iter]
        case ast.Call(func=ast.Attribute(attr="items", value=of)):
            return [of]
        case ast.Name():
            assigned = [each for each in ast.walk(function) if isinstance(each, ast.Assign)]
            return [each.value for each in assigned if node.id in map(ast.unparse, each.targets)]
    return []


def test_all_logged_members_are_documented() -> None:
    found = list(logged_members())
    assert {name for name, _place in found} > {"problem", "listen", "exception", "reason", "kms_key", "generation"}
    assert [(name, place) for name, place in found if name not in DOCUMENTED] == []


def test_all_documented_members_are_logged() -> None:
    assert {name for name, _place in logged_members()} | OF_EVERY_LINE | set(logs._CALL_MEMBERS) == DOCUMENTED  # noqa: SLF001
