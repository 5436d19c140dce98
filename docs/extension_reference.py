"""The reference of the extension API: for each name that ``extension-api.md`` lists, its source without the bodies."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

_ROW = re.compile(r"^\| `([\w.]+)` \| (`.+`) \| (.+) \|$", re.MULTILINE)
_HEAD = """# Reference of the extension API

<!-- Written by docs/generate.py from the modules of extension-api.md. Change the docstrings there. -->

What [an extension may import](extension-api.md), with signatures and docstrings. Private members are left out.
"""


def extension_page(listed: str) -> str:
    """Return ``reference-extension-api.md`` for the table in the text of ``extension-api.md``."""
    parts = [_HEAD]
    for module, names, purpose in _ROW.findall(listed):
        stubs = "\n\n\n".join(_stub(importlib.import_module(module), name) for name in re.findall(r"`(\w+)`", names))
        parts.append(f"## {module}\n\n{purpose[0].upper()}{purpose[1:]}.\n\n```python\n{stubs}\n```\n")
    return "\n".join(parts)


def _stub(module: ModuleType, name: str) -> str:
    """Return the definition of a name: a class with its public members, a signature, or an assignment."""
    value = getattr(module, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        module = inspect.getmodule(value) or module
    path = Path(inspect.getfile(module))
    lines = path.read_text(encoding="utf-8").splitlines()
    node = next(node for node in ast.parse("\n".join(lines)).body if name in _names(node))
    return "\n".join(_lines(node, lines))


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _lines(node: ast.stmt, lines: list[str]) -> Iterator[str]:
    """Yield the lines of a definition, with the comments above it."""
    start = _start(node) - 1
    above = start
    while lines[above - 1].strip().startswith("#:"):
        above -= 1
    yield from lines[above:start]
    if isinstance(node, ast.ClassDef):
        yield from lines[start : _start(node.body[0]) - 1]
        for number, child in enumerate(child for child in node.body if not _private(child)):
            if number == 1 or (number and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)):
                yield ""
            yield from _lines(child, lines)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        if ast.get_docstring(node) is not None:
            yield from lines[start : node.body[0].end_lineno]
        else:
            *signature, last = lines[start : node.body[0].lineno - 1]
            yield from (*signature, f"{last} ...")
    elif isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict) and not node.col_offset:
        yield f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}  # the built-in ones; add yours"
    else:
        yield from lines[start : node.end_lineno]


def _start(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return int(decorators[0].lineno if decorators else node.lineno)


def _private(node: ast.stmt) -> bool:
    names = [node.name] if isinstance(node, ast.AsyncFunctionDef) else _names(node)
    return any(name.startswith("_") for name in names)
