"""The fixtures `keycloak` (either server), `person` and `browser`."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from deploy.demo.keycloak_server import KeycloakServer
from tests.contract.browser import Browser
from tests.contract.servers import TLS, DoubleServer, Keycloak, Person, RealServer
from tests.double import KeycloakDouble


@pytest.fixture(scope="session")
def contract_http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30, verify=TLS) as http:
        yield http


@pytest.fixture(scope="session")
def double_server(contract_http: httpx.Client) -> Iterator[DoubleServer]:
    with KeycloakDouble() as double:
        yield DoubleServer(double, contract_http)


@pytest.fixture(scope="session")
def real_server(real_keycloak: KeycloakServer, worker_id: str, contract_http: httpx.Client) -> RealServer:
    return RealServer(real_keycloak, f"contract-{worker_id}", contract_http)


@pytest.fixture(params=["double", "real"])
def keycloak(request: pytest.FixtureRequest) -> Keycloak:
    server: Keycloak = request.getfixturevalue(f"{request.param}_server")
    return server


@pytest.fixture
def person(keycloak: Keycloak) -> Person:
    return keycloak.person()


@pytest.fixture
def browser(keycloak: Keycloak) -> Iterator[Browser]:
    with Browser(keycloak) as browser:
        yield browser
