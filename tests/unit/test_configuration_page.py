"""The configuration page says what is true: settings, defaults, variables, examples, and the lines for Keycloak."""

import json
import re
import shlex
import tomllib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bridge.config import Settings, load_settings
from bridge.config.policy import PolicySettings
from bridge.config.section import Section
from bridge.errors import ConfigurationError
from deploy.demo.realm import load_realm
from tests.documents import DOCUMENTS, blocks, code, read, rows, section

KEY = b64encode(bytes(32)).decode()
Values = dict[str, Any]


def walk(model: type[BaseModel], *place: str) -> Iterator[tuple[str, FieldInfo]]:
    """Yield every setting by its dotted name; a package is called NAME."""
    for name, field in model.model_fields.items():
        inner = [kind for kind in kinds(field.annotation) if issubclass(kind, BaseModel)]
        if not inner:
            yield ".".join((*place, name)), field
        for kind in inner:
            yield from walk(kind, *place, name, *(["NAME"] if name == "packages" else []))


def sections(model: type[BaseModel], *place: str) -> Iterator[tuple[str, type[Section]]]:
    assert issubclass(model, Section)
    yield ".".join(place), model
    for name, field in model.model_fields.items():
        for kind in kinds(field.annotation):
            if issubclass(kind, BaseModel):
                yield from sections(kind, *place, name, *(["NAME"] if name == "packages" else []))


def kinds(annotation: object) -> list[type[Any]]:
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [kind for inner in get_args(annotation) for kind in kinds(inner)]


def smallest() -> Values:
    """Return settings with everything that is required, of the sync section too."""
    account = {"client_id": "bridge-sync", "client_secret": "s"}
    package = {"issuer": "https://k.example/realms/a", "client_id": "bridge", "client_secret": "s", "sync": account}
    return {"public_url": "https://sso.example.com", "sealing": {"keys": [KEY]}, "packages": {"name": package}}


def put(values: Values, name: str, value: object) -> Values:
    inner = values
    *places, last = name.replace("NAME", "name").split(".")
    for part in places:
        inner = inner.setdefault(part, {})
    inner[last] = value
    return values


def look(settings: Settings, name: str) -> object:
    found: Any = settings
    for part in name.replace("NAME", "name").split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    return found


def set_secrets(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every variable that a text refers to a value that fits its name."""
    for name in re.findall(r"env:(\w+)", text):
        if name != "NO_SUCH_KEY":
            monkeypatch.setenv(name, KEY if "KEY" in name else "sqlite:///bridge.db" if "URL" in name else "secret")


def setting_rows() -> dict[str, tuple[str, str]]:
    """Return default and example of every setting that the page names."""
    found = rows(section(read("configuration.md"), "## Settings"), columns=5)
    return {row[0].strip("`"): (row[2].strip("`"), row[3].strip("`")) for row in found}


def test_the_configuration_page_names_exactly_the_settings_there_are() -> None:
    names = [name for name, _ in walk(Settings)]

    assert list(setting_rows()) == names
    variables = rows(section(read("configuration.md"), "## Environment variables"), columns=3)
    assert [row[0].strip("`") for row in variables] == names


@pytest.mark.parametrize(("name", "field"), list(walk(Settings)))
def test_a_default_on_the_configuration_page_is_the_default(name: str, field: FieldInfo) -> None:
    default, _ = setting_rows()[name]

    assert (default == "required") == field.is_required()
    if not field.is_required():
        written = put(smallest(), name, tomllib.loads(f"value = {default}")["value"])
        assert look(Settings.model_validate(written), name) == look(Settings.model_validate(smallest()), name)


def test_the_configuration_page_shows_the_limits_of_each_type_side_by_side() -> None:
    text = section(read("configuration.md"), "## Settings")
    (head,) = re.findall(r"^\| type \| (lifetime .*) \|$", text, re.MULTILINE)
    found = {
        kind: {name: cell.strip("`") for name, cell in zip(head.split(" | "), cells, strict=True) if cell != "-"}
        for kind, *cells in rows(text, columns=7)
    }

    shown = {kind: tomllib.loads("\n".join(map(" = ".join, cells.items()))) for kind, cells in found.items()}
    assert PolicySettings.model_validate(shown) == PolicySettings()
    limits = PolicySettings().model_dump()
    assert {kind: list(cells) for kind, cells in shown.items()} == {kind: list(limits[kind]) for kind in limits}


@pytest.mark.parametrize("name", [name for name, _ in walk(Settings)])
def test_an_example_on_the_configuration_page_is_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, example = setting_rows()[name]
    set_secrets(example, monkeypatch)

    Settings.model_validate(put(smallest(), name, tomllib.loads(f"value = {example}")["value"]))


def test_every_environment_variable_on_the_configuration_page_sets_its_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    contents = {"key": KEY, "database-url": "sqlite:///other.db", "client-secret": "one", "sync-secret": "two"}
    for file, text in contents.items():
        (tmp_path / file).write_text(f"{text}\n")
    expected = smallest()
    for name, variable, example in rows(
        section(read("configuration.md"), "## Environment variables").replace("/run/secrets", str(tmp_path)), columns=3
    ):
        assert variable.strip("`") == "KEYCLOAK_BRIDGE__" + name.strip("`").upper().replace(".", "__")
        value = example.strip("`")
        monkeypatch.setenv(variable.strip("`"), value)
        put(expected, name.strip("`"), json.loads(value) if value.startswith("[") else value)
    monkeypatch.chdir(tmp_path)

    assert load_settings() == Settings.model_validate(expected)


def test_the_configuration_page_lists_what_is_not_available() -> None:
    found = rows(section(read("configuration.md"), "## Not available in this version"), columns=2)
    page = {row[0].strip("`[]"): set(code(row[1])) for row in found}

    names = {name or "top of the file": set(model.not_available) for name, model in sections(Settings)}
    assert page == {name: later for name, later in names.items() if later}


def test_the_example_of_an_error_is_what_the_bridge_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = section(read("configuration.md"), "## When something is wrong")
    (broken,) = blocks(text, "toml broken")
    (tmp_path / "keycloak-bridge.toml").write_text(broken)
    set_secrets(broken, monkeypatch)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError) as caught:
        load_settings()

    assert caught.value.message == blocks(text, "text")[0].rstrip("\n")


def examples() -> Iterator[Any]:
    """Yield the configurations that documents show, whole or in part; other TOML has other names at its top."""
    for document in DOCUMENTS:
        for number, example in enumerate(blocks(document.read_text(encoding="utf-8"), "toml")):
            if set(tomllib.loads(example)) <= set(Settings.model_fields):
                yield pytest.param(example, id=f"{document.name}-{number}")


@pytest.mark.parametrize("example", list(examples()))
def test_an_example_configuration_loads(example: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A part of one is accepted in a file that has all that is required; the page's own and the README's are whole."""
    path = tmp_path / "keycloak-bridge.toml"
    path.write_text(example)
    (tmp_path / "sealing.key").write_text(KEY)
    set_secrets(example, monkeypatch)
    monkeypatch.chdir(tmp_path)

    if "public_url" in tomllib.loads(example):
        assert load_settings().packages
    else:
        Settings.model_validate(smallest() | tomllib.loads(example))


@pytest.mark.parametrize("name", ["README.md", "configuration.md"])
def test_the_examples_of_the_way_in_are_whole(name: str) -> None:
    (document,) = [one for one in DOCUMENTS if one.name == name]
    found = blocks(document.read_text(encoding="utf-8"), "toml")
    assert found
    assert all("public_url" in tomllib.loads(one) for one in found)


def test_the_lines_for_keycloak_make_the_clients_of_the_demo_realm() -> None:
    realm = load_realm(name="staff", bridge_url="https://sso.example.com", package="staff")
    lines = "".join(blocks(read("configuration.md"), "sh kcadm")).replace("\\\n", "")
    commands = [shlex.split(line) for line in lines.splitlines() if line.startswith("kcadm.sh ")]

    made = [given for given in map(client_settings, commands) if given]
    for wanted in realm["clients"][:2]:
        given = next(one for one in made if one["clientId"] == wanted["clientId"])
        assert given == {name: wanted[name] for name in given if name != "attributes"} | (
            {"attributes": wanted["attributes"]} if "attributes" in given else {}
        )
        assert {name for name in wanted if name.endswith("Enabled")} <= set(given)
    (add_roles,) = [words for words in commands if words[1] == "add-roles"]
    (account,) = [person for person in realm["users"] if "serviceAccountClientId" in person]
    assert account["username"] in add_roles
    roles = [role for option, role in pairwise(add_roles) if option == "--rolename"]
    assert roles == account["clientRoles"]["realm-management"]


def client_settings(words: Sequence[str]) -> Values:
    """Return what `-s name=value` of `kcadm.sh create clients` sets."""
    given: Values = {}
    if list(words[1:3]) == ["create", "clients"]:
        for option, word in pairwise(words):
            name, _, value = word.partition("=")
            if option == "-s" and name.startswith("attributes."):
                given.setdefault("attributes", {})[name.removeprefix("attributes.").strip('"')] = value
            elif option == "-s":
                given[name] = json.loads(value) if value in ("true", "false") or value.startswith("[") else value
    return given
