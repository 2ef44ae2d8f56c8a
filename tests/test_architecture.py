"""Rules of the house that no other tool checks; import contracts are in pyproject.toml."""

import ast
import subprocess
import sys

import pytest

CODE = "localllm"


def modules(repository, folder=CODE):
    return sorted(p for p in (repository / folder).rglob("*.py") if "__pycache__" not in p.parts)


def loaded_by(statement):
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["localllm.core.chat", "localllm.core.session", "localllm.cli.main"])
def test_core_and_command_line_load_no_qt_and_no_native_engine(module):
    assert not {"PySide6", "llama_cpp", "numpy"} & loaded_by(f"import {module}")


def test_the_window_loads_no_native_engine():
    assert not {"llama_cpp", "numpy"} & loaded_by("import localllm.ui.app")


def test_set_up_code_uses_the_standard_library_only(repository):
    for path in [
        *modules(repository, "localllm/bootstrap"),
        repository / "main.py",
        repository / "tests/__main__.py",
    ]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top = name.split(".")[0]
                assert top in sys.stdlib_module_names or name.startswith("localllm.bootstrap"), (
                    f"{path}: {name}"
                )


def test_only_one_place_starts_child_processes(repository):
    allowed = {"processes.py", "system.py"}  # our children; the probes' short-lived system tools
    for path in modules(repository):
        if "bootstrap" not in path.parts and path.name not in allowed:
            assert "subprocess.Popen" not in path.read_text(), path
            assert "multiprocessing" not in path.read_text(), path


def test_packaging_never_shadows_the_packaging_library(repository):
    assert not (repository / "packaging" / "__init__.py").exists()


def test_files_and_functions_stay_small(repository):
    for path in modules(repository):
        source = path.read_text()
        assert len(source.splitlines()) <= 450, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                length = node.end_lineno - node.lineno + 1
                assert length <= 60, f"{path}: {node.name} has {length} lines"


def test_every_module_says_what_it_is_for(repository):
    for path in modules(repository):
        source = path.read_text()
        assert not source.strip() or ast.get_docstring(ast.parse(source)), path


def test_no_module_of_odds_and_ends(repository):
    odd = {"util", "utils", "helpers", "common", "misc", "manager"}
    assert not [path for path in modules(repository) if path.stem in odd]
