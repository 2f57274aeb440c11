"""A field of a user is cheap: few files of the product name it."""

import re
from typing import Final

from tests.support.repository import repository_files
from tests.support.servers.rollbook import ROOT

# The recipe for a new field in CONTRIBUTING.md, besides `domain/values.py` with its type.
FIELD: Final = {
    "application/queries/resources.py",
    "domain/user/commands.py",
    "domain/user/decide.py",
    "domain/user/events.py",
    "domain/user/state.py",
    "interfaces/http/schemas/users.py",
    "projections/users.py",
}
# An external id is also unique, a filter of lists and exports, and a column of imports.
BESIDES: Final = {
    "domain/user/claims.py",
    "infrastructure/views/queries/user_filters.py",
    "interfaces/cli/export/app.py",
    "interfaces/cli/ldif_import/identity.py",
    "interfaces/cli/ldif_import/lookup.py",
    "interfaces/cli/ldif_import/people.py",
    "interfaces/cli/ldif_import/person.py",
    "interfaces/cli/ldif_import/plan.py",
    "interfaces/cli/ldif_import/rows.py",
}


def test_only_these_files_of_the_product_name_a_field_of_a_user() -> None:
    naming = {
        str(path.relative_to(ROOT))
        for pattern in ("*.py", "*.sql")
        for path in repository_files(pattern)
        if path.relative_to(ROOT).parts[0] != "tests"
        and re.search(r"\bexternal_id\b", path.read_text())
    }
    assert naming == FIELD | BESIDES
    assert len(FIELD | {"domain/values.py"}) <= 8
