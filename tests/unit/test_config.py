"""Where settings come from: the file, the environment, and secrets by reference."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.config import load_settings
from bridge.errors import ConfigurationError
from tests.unit.settings import CLIENT_SECRET, GOOD, KEY, load, refusal, spoil

HINT = "Name another with --config FILE or the variable KEYCLOAK_BRIDGE_CONFIG."


@pytest.fixture(autouse=True)
def _environment_of_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Begin without any variable of the bridge, in an empty directory."""
    for name in list(os.environ):
        if name.upper().startswith("KEYCLOAK_BRIDGE"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_good_file_is_loaded_with_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.public_url == "https://sso.example.com"
    assert settings.listen == "127.0.0.1:8000"
    assert settings.policy.web.lifetime == timedelta(hours=8)
    assert settings.http.read_timeout == timedelta(seconds=10)
    package = settings.packages["staff"]
    assert package.scopes == ["openid", "profile", "email"]
    assert package.client_secret.get_secret_value() == CLIENT_SECRET
    assert package.sync is not None
    assert package.sync.page_size == 500


def test_loaded_settings_never_show_a_secret(tmp_path: Path) -> None:
    """K1: a repr in a log or a traceback shows stars."""
    settings = load(tmp_path)
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "geheim" not in shown
        assert KEY not in shown


def test_smallest_configuration_has_a_database_of_its_own(tmp_path: Path) -> None:
    start = GOOD.index("[database]")
    settings = load(tmp_path, GOOD[:start] + GOOD[GOOD.index("[sealing]") : GOOD.index("[packages.staff.sync]")])
    assert settings.database.url.get_secret_value() == "sqlite:///bridge.db"
    assert settings.packages["staff"].sync is None


def test_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    missing = tmp_path / "other.toml"
    with pytest.raises(ConfigurationError) as caught:
        load_settings(missing)
    assert (caught.value.code, caught.value.hint) == ("configuration", HINT)
    assert caught.value.message == f"The configuration file {missing} does not exist."


def test_directory_is_no_configuration_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        load_settings(tmp_path)


def test_variable_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "named.toml"
    path.write_text(GOOD, encoding="utf-8")
    monkeypatch.setenv("KEYCLOAK_BRIDGE_CONFIG", str(path))
    assert load_settings().public_url == "https://sso.example.com"


def test_variable_that_names_a_missing_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silently going on with defaults would be another configuration than the operator's."""
    monkeypatch.setenv("KEYCLOAK_BRIDGE_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigurationError, match=r"none\.toml does not exist") as caught:
        load_settings()
    assert caught.value.hint == HINT


def test_file_on_the_command_line_wins_over_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYCLOAK_BRIDGE_CONFIG", str(tmp_path / "none.toml"))
    assert load(tmp_path).public_url == "https://sso.example.com"


@pytest.mark.parametrize("variable", ["", None])
def test_file_in_this_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None) -> None:
    if variable is not None:
        monkeypatch.setenv("KEYCLOAK_BRIDGE_CONFIG", variable)
    (tmp_path / "keycloak-bridge.toml").write_text(GOOD, encoding="utf-8")
    assert load_settings().public_url == "https://sso.example.com"


def test_without_a_file_the_environment_must_say_it_all() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    message = caught.value.message
    assert "from the environment (there is no keycloak-bridge.toml here)" in message
    assert 'public_url: it is missing.\n      Example: public_url = "https://sso.example.com"' in message
    assert 'sealing: it is missing.\n      Example: [sealing]\n      Example: keys = ["env:BRIDGE_KEY"]' in message
    assert "packages: it is missing.\n      Example: [packages.staff]" in message


def test_environment_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYCLOAK_BRIDGE__PUBLIC_URL", "https://env.example.com")
    monkeypatch.setenv("KEYCLOAK_BRIDGE__SEALING__KEYS", json.dumps([KEY]))
    package = {"issuer": "https://k.example/realms/a", "client_id": "c", "client_secret": "s"}
    monkeypatch.setenv("KEYCLOAK_BRIDGE__PACKAGES", json.dumps({"a": package}))
    settings = load_settings()
    assert settings.public_url == "https://env.example.com"
    assert settings.packages["a"].client_id == "c"


@pytest.mark.parametrize("prefix", ["KEYCLOAK_BRIDGE__", "keycloak_bridge__"])
def test_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    monkeypatch.setenv(f"{prefix}PUBLIC_URL", "https://env.example.com")
    monkeypatch.setenv(f"{prefix}HTTP__CONNECTIONS", "50")
    monkeypatch.setenv(f"{prefix}PACKAGES__STAFF__CLIENT_SECRET", "from-environment")
    monkeypatch.setenv(f"{prefix}PACKAGES__STAFF__RETURN_TO", '["https://other.example.com/"]')
    settings = load(tmp_path)
    package = settings.packages["staff"]
    assert settings.public_url == "https://env.example.com"
    assert settings.http.connections == 50
    assert package.client_secret.get_secret_value() == "from-environment"
    assert package.return_to == ["https://other.example.com/"]
    assert package.client_id == "bridge", "what the environment does not say stays"


@pytest.mark.parametrize(
    ("name", "setting"),
    [("PUBLIC_ULR", "public_ulr"), ("LISTN", "listn"), ("HTTP__CONECTIONS", "http.conections"), ("", "settings")],
)
def test_misspelt_variable_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, setting: str
) -> None:
    """A typing error must not be passed over; its value may be a secret and is not shown."""
    monkeypatch.setenv(f"KEYCLOAK_BRIDGE__{name}", "geheim")
    assert f"  {setting}: there is no setting of this name; please check the spelling." in refusal(tmp_path)


@pytest.mark.parametrize("name", ["PACKAGES", "SEALING", "SEALING__KEYS", "DATABASE", "POLICY"])
def test_variable_that_should_be_json_and_is_not_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """K1: a key or a database address in the wrong variable does not appear in the message."""
    monkeypatch.setenv(f"KEYCLOAK_BRIDGE__{name}", "geheim")
    message = refusal(tmp_path)
    assert "The variables KEYCLOAK_BRIDGE__... are not usable" in message
    assert f'"{name.split("__", maxsplit=1)[0].lower()}"' in message


@pytest.mark.parametrize("text", ["public_url = ", "= 5", "[a\n", "a = 1\na = 2", "public_url = 'geheim"])
def test_broken_toml_says_where(tmp_path: Path, text: str) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith(f"The configuration file {tmp_path / 'bridge.toml'} is not valid TOML: ")


def test_file_that_is_no_text_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bridge.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read: 'utf-8' codec"):
        load_settings(path)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_secret_may_lie_in_a_file(tmp_path: Path, end: str) -> None:
    """Editors and `echo` end a file with a line break; blanks belong to the secret."""
    (tmp_path / "secret").write_text(f" from file {end}", encoding="utf-8", newline="")
    settings = load(tmp_path, spoil(f'"{CLIENT_SECRET}"', f'"file:{tmp_path / "secret"}"'))
    assert settings.packages["staff"].client_secret.get_secret_value() == " from file "


def test_secret_may_come_from_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFF_SECRET", "env:not followed twice")
    monkeypatch.setenv("BRIDGE_KEY", KEY)
    text = spoil(f'"{CLIENT_SECRET}"', '"env:STAFF_SECRET"').replace(f'"{KEY}"', '"env:BRIDGE_KEY"')
    settings = load(tmp_path, text)
    assert settings.packages["staff"].client_secret.get_secret_value() == "env:not followed twice"
    assert settings.sealing.keys[0].get_secret_value() == KEY


def test_variable_of_a_secret_that_is_not_set_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, spoil(f'"{CLIENT_SECRET}"', '"env:STAFF_SECRET"'))
    assert "  packages.staff.client_secret: the environment variable STAFF_SECRET is not set.\n" in message
    assert '      Example: client_secret = "env:STAFF_CLIENT_SECRET"' in message


def test_file_of_a_secret_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"geheim\xff")
    for name, reason in (("none", "No such file or directory"), ("binary", "it is not UTF-8 text")):
        message = refusal(tmp_path, spoil(f'"{CLIENT_SECRET}"', f'"file:{tmp_path / name}"'))
        assert f"client_secret: the file {tmp_path / name} cannot be read: {reason}." in message
