"""The world that a plugin is built for is the one whose functions it imports."""

import importlib.util
from pathlib import Path

import pytest

BUILD = Path(__file__).parent.parent / "bin/build.py"
SPECIFICATION = importlib.util.spec_from_file_location("build", BUILD)
build = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(build)


def keeps_state(folder, *packages):
    return build.keeps_state([folder, *packages])


def write(folder, **modules):
    folder.mkdir(exist_ok=True)
    for name, text in modules.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize("line", [
    "from offtake import Info, state",
    "from offtake import (\n    Info,\n    state as kept,\n)",
    "from offtake.state import get_many",
    "import offtake.state",
    "import json, offtake.state as state",
    "def process():\n    from offtake import state",
])
def test_an_import_of_the_state_is_found(tmp_path, line):
    assert keeps_state(write(tmp_path, plugin=line))


@pytest.mark.parametrize("line", [
    "import offtake\nfrom offtake import Info, Interest",
    "from mine import state\nstate = 'from offtake import state'",
    "# from offtake import state",
    "import missing, json\nfrom . import state",
])
def test_what_only_looks_like_it_is_none(tmp_path, line):
    assert not keeps_state(write(tmp_path, plugin=line))


def test_modules_that_the_plugin_imports_are_looked_into_and_no_others(tmp_path):
    plugin = write(tmp_path / "mine", plugin="from shop import counts", test_plugin="import offtake.state")
    assert not keeps_state(plugin)
    write(plugin, shop__counts="from .kept import count", shop__kept="import plugin, ours.deep.store")
    assert not keeps_state(plugin)
    ours = write(tmp_path / "ours", ours__deep="")
    (ours / "ours/deep.py").unlink()
    write(ours / "ours", deep__store="from offtake import state")
    assert keeps_state(plugin, ours)


def test_a_package_reaches_its_state_by_a_relative_import(tmp_path):
    plugin = write(tmp_path, plugin="import shop.counts")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").write_text("from .a import b")
    (tmp_path / "shop/counts.py").write_text("")
    (tmp_path / "shop/a.py").write_text("from offtake.state import get as b")
    assert keeps_state(plugin)


def test_a_mistake_in_the_plugin_is_told_with_its_line(tmp_path, capsys, monkeypatch):
    write(tmp_path, plugin="import offtake\nclass")
    monkeypatch.setattr("sys.argv", ["build.py", str(tmp_path), "-o", "none.wasm"])
    assert build.main() == 1
    assert "plugin.py:2: " in capsys.readouterr().err
