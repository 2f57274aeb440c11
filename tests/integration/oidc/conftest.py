"""The issuer that the tests of a module share; those that change it start their own."""

from collections.abc import Generator

import pytest

from tests.support.oidc.directory import Clock
from tests.support.oidc.issuer import TestIssuer


@pytest.fixture(scope="module")
def issuer() -> Generator[TestIssuer]:
    with TestIssuer.running() as issuer:
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()
