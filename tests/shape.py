"""The shape of the code, in figures: ``python -m tests.shape --rev main~9``.

Lengths are lines of source, docstrings and decorators included. Public is what has no name, and
stands in nothing, that begins with an underscore.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from statistics import median
from typing import Final

REPO: Final = Path(__file__).parents[1]
PACKAGE: Final = "bulk_unenroll"
Sources = Mapping[PurePath, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def here(repo: Path = REPO) -> Sources:
    """The package's modules as they are in the working tree."""
    found = (repo / PACKAGE).rglob("*.py")
    return {path.relative_to(repo): path.read_text("utf-8") for path in found}


def at(revision: str, repo: Path = REPO) -> Sources:
    """The package's modules at a revision; raises ``CalledProcessError`` for an unknown one."""
    command = ["git", "archive", "--format=tar", revision, PACKAGE]
    packed = subprocess.run(command, cwd=repo, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        modules = [member for member in archive if member.name.endswith(".py")]
        files = {PurePath(module.name): archive.extractfile(module) for module in modules}
        return {path: file.read().decode() for path, file in files.items() if file}


def measure(sources: Sources) -> dict[str, str]:
    """Name and value of each figure."""
    trees = [ast.parse(text) for text in sources.values()]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, Function)]
    lengths = sorted(length(function) for function in functions)
    lines = {path: text.count("\n") for path, text in sources.items()}
    longest = max(lines, key=lambda path: lines[path])
    ((widest, beside),) = Counter(path.parent for path in sources).most_common(1)
    public = [node for tree in trees for node in [tree, *public_in(tree)]]
    return {
        "functions": f"{len(functions):,}",
        "function, median lines": f"{median(lengths):g}",
        "function, p90 lines": f"{lengths[len(lengths) * 9 // 10]}",
        "modules": f"{len(sources):,}",
        "module, median lines": f"{median(lines.values()):g}",
        "module, most lines": f"{lines[longest]:,} ({longest.name})",
        "widest folder, modules": f"{beside} ({widest})",
        "public with a docstring": share(ast.get_docstring(node) is not None for node in public),
        "functions fully typed": share(map(is_typed, functions)),
    }


def length(function: Function) -> int:
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    return (function.end_lineno or first) - first + 1


def public_in(scope: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | Function]:
    """Public classes and functions in a module or class, and in its public classes."""
    for node in scope.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_in(node)


def is_typed(function: Function) -> bool:
    """Whether the result is annotated, and every parameter but ``self`` and ``cls``."""
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    wanted = [one for one in named if one and one.arg not in ("self", "cls")]
    return function.returns is not None and all(one.annotation for one in wanted)


def share(answers: Iterator[bool]) -> str:
    known = list(answers)
    return f"{sum(known) / len(known):.1%}"


def table(shapes: Mapping[str, Mapping[str, str]]) -> str:
    """Markdown, one column for each shape."""
    names = next(iter(shapes.values()))
    rows = [["", *shapes], *([name, *(one[name] for one in shapes.values())] for name in names)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in padded)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.shape", description=__doc__)
    help_ = "a git revision to show before the working tree; may be repeated"
    parser.add_argument("--rev", action="append", default=[], metavar="REV", help=help_)
    shapes = {revision: measure(at(revision)) for revision in parser.parse_args().rev}
    print(table(shapes | {"now": measure(here())}), end="")
