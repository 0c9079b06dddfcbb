"""Import directions (docs/architecture.md), and the names and lengths of modules."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "railtrack"
MODULES = sorted(PACKAGE.rglob("*.py"))
ALL_MODULES = [*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").rglob("*.py"), ROOT / "build_ui.py"]

KERNEL = {"artifacts", "auth", "db", "mlflow", "prometheus", "search", "webhooks", "wire"}
EDGE = {"errors", "http_client", "logs"}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "backoff": set(),
    "byte_budget": {"errors"},
    "clock": set(),
    "errors": set(),
    "logs": {"errors"},
    "http_client": {"errors"},
    "config": {"errors"},
    "mlflow": {"artifacts", "errors"},
    "artifacts": EDGE | {"backoff", "byte_budget", "config"},
    "auth": EDGE | {"artifacts", "clock", "config", "db", "mlflow"},
    "db": {"backoff", "clock", "errors"},
    "search": {"errors"},
    "tracing": {"errors", "mlflow", "wire"},
    "webhooks": EDGE | {"backoff", "clock", "db", "mlflow"},
    "wire": {"auth", "byte_budget", "db", "errors", "logs"},
    "prometheus": {"errors", "wire"},
    "context": KERNEL | {"config", "errors"},
    "api": KERNEL | {"clock", "context", "demo", "errors", "logs", "tracing"},
    "app": KERNEL | {"api", "byte_budget", "config", "context", "errors"},
    "http_server": {"byte_budget", "config", "errors", "logs", "prometheus"},
    "checks": EDGE | {"artifacts", "auth", "clock", "config", "db", "http_server"},
    "demo": {"clock", "errors", "mlflow"},
    "cli": KERNEL | EDGE | {"app", "clock", "byte_budget", "checks", "config", "demo", "http_server"},
}
"""First-level parts of the package, and the others that each may import."""

ONLY_IN = {
    "asyncpg": "db/postgres",
    "awscrt": "artifacts/s3/",
    "gunicorn": "http_server/processes.py",
    "httptools": "http_server/",
    "sqlite3": "db/sqlite.py",
    "uvicorn": "http_server/",
}
"""Drivers stay at the edge."""

SHARED = {"queries", "schemas"}
"""What one resource may import of another's folder."""

WITHOUT_ENDPOINTS = {"__init__", "forms", "html", "postgres", "queries", "schemas", "search_fields", "writes"}
"""Modules of a resource that declare no endpoints."""

VAGUE = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
LONGEST = 500


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def file_of(name: str) -> Path | None:
    """Return the file of a module of this project, None for others."""
    stem = ROOT / "src" / Path(*name.split("."))
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.exists()), None)


def own_imports(path: Path) -> set[Path]:
    found = (file_of(name) for name in imports(path) if name.startswith("railtrack."))
    return {module for module in found if module and module != path}


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def declares_endpoints(path: Path) -> bool:
    tree = ast.parse(path.read_text())
    decorators = (d for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef) for d in node.decorator_list)
    return any(isinstance(d, ast.Call) and isinstance(d.func, ast.Name) and d.func.id == "endpoint" for d in decorators)


def short(path: Path) -> str:
    return str(path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else ROOT))


def test_a_module_imports_only_what_lies_below_it() -> None:
    upwards = {
        short(path): short(module)
        for path in MODULES
        for module in own_imports(path)
        if part(module) not in MAY_IMPORT[part(path)] | {part(path)}
    }
    assert not upwards


def test_the_architecture_page_lists_these_imports() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (nothing|`.*`) \|$", page, re.M)
    assert {part: set(re.findall(r"`(\w+)`", parts)) for part, parts in rows} == {
        part: parts for part, parts in MAY_IMPORT.items() if part != "__init__"
    }


def test_a_driver_is_imported_by_one_module_only() -> None:
    foreign = {(name.split(".")[0], short(path)) for path in MODULES for name in imports(path)}
    assert not {(name, path) for name, path in foreign if name in ONLY_IN and not path.startswith(ONLY_IN[name])}


def test_no_module_imports_an_endpoint_module() -> None:
    endpoint_modules = {path for path in MODULES if declares_endpoints(path)}
    assert PACKAGE / "api" / "ui" / "pages.py" in endpoint_modules
    assert not {short(path) for path in MODULES if own_imports(path) & endpoint_modules}


def test_a_resource_takes_only_schemas_and_queries_of_another() -> None:
    api = PACKAGE / "api"
    inside = [(path, module) for path in api.rglob("*.py") for module in own_imports(path) if part(module) == "api"]
    foreign = [(path, module) for path, module in inside if module.parent not in (api, path.parent)]
    assert not [(short(path), short(module)) for path, module in foreign if module.stem not in SHARED]


def test_a_module_of_a_resource_declares_endpoints_or_has_one_of_the_usual_names() -> None:
    modules = [path for path in (PACKAGE / "api").rglob("*.py") if path.stem not in WITHOUT_ENDPOINTS]
    assert len(modules) > 20
    assert not [short(path) for path in modules if not declares_endpoints(path)]


def test_resources_import_each_other_in_one_direction() -> None:
    api = PACKAGE / "api"
    graph: dict[str, set[str]] = {folder.name: set() for folder in api.iterdir() if folder.is_dir()}
    for path in api.glob("*/*.py"):
        for module in own_imports(path):
            if part(module) == "api" and module.parent not in (api, path.parent):
                graph[path.parent.name].add(module.parent.name)
    assert "runs" in graph["metrics"]
    # Presigned URLs of logged models; logged_models/ itself lists and downloads their files.
    graph["artifacts"].discard("logged_models")
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_endpoints_are_declared_only_in_folders_of_resources() -> None:
    declaring = {path.parent.parent for path in MODULES if declares_endpoints(path)}
    assert declaring == {PACKAGE / "api"}


def test_a_module_has_a_docstring() -> None:
    assert not [short(path) for path in ALL_MODULES if not ast.get_docstring(ast.parse(path.read_text()))]


def test_a_module_has_no_vague_name() -> None:
    assert not [short(path) for path in ALL_MODULES if set(path.with_suffix("").relative_to(ROOT).parts) & VAGUE]


def test_a_module_is_not_too_long() -> None:
    lengths = {short(path): len(path.read_text().splitlines()) for path in ALL_MODULES}
    assert not {name: length for name, length in lengths.items() if length > LONGEST}


def test_importing_the_command_starts_no_server_code() -> None:
    script = "import sys, railtrack.cli; print(*sys.modules)"
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")
    }  # it loads sqlite3
    loaded = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert not {"asyncpg", "gunicorn", "railtrack.app", "sqlite3"} & set(loaded.stdout.split())
