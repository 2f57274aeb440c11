"""The code that is printed in the documents, as a reader pastes it."""

import re

from tests.support.servers.rollbook import ROOT


def listings(document: str, language: str) -> list[str]:
    """All code blocks of this language in a document of `docs/`, in their order."""
    text = (ROOT / "docs" / document).read_text()
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found, f"docs/{document} has no {language}"
    return found


def listing(document: str, language: str) -> str:
    """The only such block."""
    (only,) = listings(document, language)
    return only
