"""A Keycloak double with two people, and a bridge in front of it."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.browser import Browser
from tests.double import KeycloakDouble
from tests.integration.service import Service, running


@pytest.fixture
def double() -> Iterator[KeycloakDouble]:
    with KeycloakDouble(realm="demo") as keycloak:
        keycloak.realm.add_user("alice", email="alice@example.com", first_name="Alice", last_name="Ames")
        keycloak.realm.add_user("bob", email="bob@example.com")
        # Signed in a while ago, so that a login finds a living session at Keycloak.
        keycloak.realm.clock.advance(-30)
        keycloak.sign_in_as("alice")
        keycloak.realm.clock.advance(30)
        yield keycloak


@pytest.fixture
def sqlite_database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite database of the test's own."""
    shutil.copyfile(sqlite_template, tmp_path / "one.db")
    return f"sqlite:///{tmp_path}/one.db"


@pytest.fixture
async def service(double: KeycloakDouble, migrated_database_url: str) -> AsyncIterator[Service]:
    """A running bridge on each of the three databases."""
    async with running(double, migrated_database_url) as bridge:
        yield bridge


@pytest.fixture
async def sqlite_service(double: KeycloakDouble, sqlite_database_url: str) -> AsyncIterator[Service]:
    """A running bridge on SQLite, for what does not depend on the database."""
    async with running(double, sqlite_database_url) as bridge:
        yield bridge


@pytest.fixture
async def browser(service: Service) -> AsyncIterator[Browser]:
    async with Browser(service.url) as one:
        yield one


@pytest.fixture
async def sqlite_browser(sqlite_service: Service) -> AsyncIterator[Browser]:
    async with Browser(sqlite_service.url) as one:
        yield one
