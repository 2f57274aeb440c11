"""The inner rings import few libraries: what import-linter cannot say, since it only forbids."""

import sys

import grimp
import pytest

ALLOWED = {
    "domain": {"email_validator", "idna", "msgspec"},
    "projections": {"domain", "msgspec"},
}


@pytest.mark.parametrize("ring", ALLOWED)
def test_an_inner_ring_imports_only_the_standard_library_and_what_is_listed(ring: str) -> None:
    graph = grimp.build_graph(
        "domain", "projections", include_external_packages=True, cache_dir=None
    )
    imported = {
        found.split(".")[0]
        for module in graph.modules
        if module.split(".")[0] == ring
        for found in graph.find_modules_directly_imported_by(module)
    }
    assert imported - sys.stdlib_module_names - {ring} <= ALLOWED[ring]
