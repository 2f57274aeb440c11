"""The inner layers import only listed libraries, which import-linter cannot check."""

import subprocess
import sys

import grimp
import pytest

from tests.support.servers.rollbook import ROOT

ALLOWED = {
    "domain": {"email_validator", "idna", "msgspec"},
    "projections": {"domain", "msgspec", "regex"},
}


@pytest.mark.parametrize("layer", ALLOWED)
def test_an_inner_layer_imports_only_the_standard_library_and_listed_packages(layer: str) -> None:
    graph = grimp.build_graph(
        "domain", "projections", include_external_packages=True, cache_dir=None
    )
    imported = {
        found.split(".")[0]
        for module in graph.modules
        if module.split(".")[0] == layer
        for found in graph.find_modules_directly_imported_by(module)
    }
    assert imported - sys.stdlib_module_names - {layer} <= ALLOWED[layer]


def test_a_role_without_http_loads_no_web_framework() -> None:
    modules = (
        "cli.server.serve",
        "composition.projector",
        "composition.relay",
        "composition.worker",
    )
    program = f"import sys; import {', '.join(f'interfaces.{name}' for name in modules)}; "
    program += (
        "print(sorted({'fastapi', 'starlette', 'uvicorn', 'websockets'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-P", "-c", program]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"
