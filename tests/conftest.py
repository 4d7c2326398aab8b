"""What all tests have in common: databases, one real Keycloak, and the list of what could not run."""

import logging
import os
from collections.abc import Iterator

import pytest
import structlog

# In this order: a plugin that another one imports must come before it, or pytest cannot rewrite its assertions.
pytest_plugins = ["tests.skipping", "tests.databases", "tests.real_keycloak"]


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """Leave the logging of this process as it was."""
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def environment_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take out of the environment what would be read as settings."""
    for name in list(os.environ):
        if name.upper().startswith("KEYCLOAK_BRIDGE"):
            monkeypatch.delenv(name)
