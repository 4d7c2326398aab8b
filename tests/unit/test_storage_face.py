"""What another program gets that imports the storage: names, and nothing of the web."""

import inspect
import re
import subprocess
import sys

import pytest

import bridge.storage
from bridge import errors
from bridge.errors import ConfigurationError
from bridge.storage import open_database, user_sessions
from tests.documents import code, read, rows, section

FOREIGN = ("fastapi", "starlette", "uvicorn", "httpx", "jinja2", "pydantic", "pydantic_settings", "typer", "keycloak")


def imported(program: str) -> set[str]:
    """Return which foreign packages a program has imported at its end."""
    report = f"import sys; print(*sorted(set(sys.modules) & set({(*FOREIGN, 'bridge.storage')!r})))"
    done = subprocess.run([sys.executable, "-c", f"{program}\n{report}"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_storage_imports_nothing_of_the_web() -> None:
    assert imported("import bridge.storage") == {"bridge.storage"}


def test_the_command_line_does_not_import_the_storage_before_a_command_runs() -> None:
    assert "bridge.storage" not in imported("import bridge.cli")


@pytest.mark.parametrize("name", ["session_credentials", "token_families", "users", "migrate", "tables", "database"])
def test_each_module_of_the_storage_can_be_imported_first(name: str) -> None:
    """They import each other by their own names, so the order decides nothing."""
    assert imported(f"import bridge.storage.{name}") == {"bridge.storage"}


def test_every_name_that_the_storage_promises_is_there_in_order() -> None:
    assert sorted(bridge.storage.__all__) == bridge.storage.__all__
    assert [name for name in bridge.storage.__all__ if not hasattr(bridge.storage, name)] == []


def test_the_page_of_the_library_names_what_the_storage_promises() -> None:
    page = rows(section(read("library.md"), "## Reference"), columns=2)

    assert sorted(name for names, _ in page for name in code(names)) == bridge.storage.__all__
    (operations,) = [code(meaning) for names, meaning in page if names == "`user_sessions`"]
    ours = {name: one for name, one in vars(user_sessions).items() if inspect.iscoroutinefunction(one)}
    assert operations == [
        name for name, one in ours.items() if one.__module__ == user_sessions.__name__ and not name.startswith("_")
    ]
    assert len(operations) == 8


def test_the_page_of_the_library_names_errors_that_there_are() -> None:
    page = rows(section(read("library.md"), "## Errors"), columns=2)

    named = {name for names, _ in page for name in code(names)}
    assert named <= set(errors.__all__)
    assert re.findall(r"derive from `(\w+)`", read("library.md")) == ["BridgeError"]


@pytest.mark.parametrize("url", ["oracle://u:geheim@db.example.com/sso", "geheim", ""])
async def test_an_address_that_the_service_would_refuse_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"The setting database\.url") as caught:
        async with open_database(url):
            pass
    assert "geheim" not in caught.value.message
    assert "Use sqlite:///bridge.db" in str(caught.value.hint)
