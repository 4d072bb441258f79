#!/usr/bin/env python3
"""Makes a component of a plugin in Python, by the componentize-py of the same environment.

    python build.py FOLDER -o PLUGIN.wasm [-p FOLDER]…

The plugin is FOLDER/plugin.py; further folders have packages that it imports. A plugin that imports
``offtake.state``, itself or by a module in one of these folders, is built for the contract's world
`stateful-transform`, any other for `transform`: what it does not use, it does not import.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from pathlib import Path

PYTHON = Path(__file__).resolve().parent.parent
WIT = PYTHON.parent / "wit"
ENTRY = "plugin"
STATE = "offtake.state"


def source(folders: list[Path], module: str) -> Path | None:
    """The file of a module, where one of the folders has it."""
    path = Path(*module.split("."))
    candidates = (folder / file for folder in folders
                  for file in (path / "__init__.py", path.with_suffix(".py")))
    return next((file for file in candidates if file.is_file()), None)


def imported(module: str, path: Path) -> list[str]:
    """The modules that a module imports, and what might be one: the names that it takes of them."""
    names: list[str] = []
    package = module.split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[:len(package) + 1 - node.level] if node.level else []
            origin = [*above, *([node.module] if node.module else [])]
            names += [".".join([*origin, alias.name]) for alias in node.names]
    # What imports `a.b` imports `a` too.
    return [name.rsplit(".", depth)[0] for name in names for depth in range(name.count(".") + 1)]


def keeps_state(folders: list[Path]) -> bool:
    """Whether the plugin, or a module of these folders that it imports, imports the state."""
    seen: set[str] = set()
    waiting = [ENTRY]
    while waiting:
        module = waiting.pop()
        if module == STATE:
            return True
        path = None if module in seen else source(folders, module)
        seen.add(module)
        if path is not None:
            waiting += imported(module, path)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(usage="build.py FOLDER -o PLUGIN.wasm [-p FOLDER]…")
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("-p", "--packages", type=Path, action="append", default=[])
    parser.add_argument("--wit", type=Path, default=WIT)
    asked = parser.parse_args()
    folders = [asked.folder, *asked.packages]
    try:
        world = "stateful-transform" if keeps_state(folders) else "transform"
    except SyntaxError as error:
        print(f"error: {error.filename}:{error.lineno}: {error.msg}", file=sys.stderr)
        return 1
    paths = [part for folder in [PYTHON, *folders] for part in ("-p", folder)]
    # What an earlier run left must not get into the component.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    # The environment's own, whether or not its folder is on the path.
    tool = Path(sys.executable).parent / "componentize-py"
    try:
        return subprocess.run(
            [tool, "-q", "-d", asked.wit, "-w", world, "componentize", *paths, "--stub-wasi", ENTRY,
             "-o", asked.output], env=environment, check=False).returncode
    except FileNotFoundError:
        print(f"error: {tool} is missing\n  next: {sys.executable} -m pip install -r "
              f"{PYTHON / 'requirements.txt'}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
