"""Read the settings from a TOML file and the environment, and say what is wrong in words an operator can use."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource, SettingsError

from bridge.config.sections import Settings
from bridge.errors import ConfigurationError

PREFIX = "KEYCLOAK_BRIDGE__"
CONFIG_VARIABLE = "KEYCLOAK_BRIDGE_CONFIG"
DEFAULT_FILE = "keycloak-bridge.toml"
SECRETS = frozenset({"client_secret", "secret", "keys", "private_key", "url"})
"""Names of settings whose value never appears in a message (a database URL holds a password)."""


def find_config_file(given: Path | None) -> Path | None:
    """Return the file to read: the one given, else that of KEYCLOAK_BRIDGE_CONFIG, else one in this directory.

    Raises:
        ConfigurationError: a file that was asked for is not there.
    """
    asked = given or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if asked is not None:
        if not asked.is_file():
            raise ConfigurationError(
                f"The configuration file {asked} does not exist.",
                hint=f"Name another with --config FILE or the variable {CONFIG_VARIABLE}.",
            )
        return asked
    default = Path(DEFAULT_FILE)
    return default if default.is_file() else None


def load_settings(given: Path | None = None) -> Settings:
    """Load and check all settings; the environment wins over the file.

    Raises:
        ConfigurationError: naming every setting that is wrong, its value unless it is a secret, and an example.
    """
    path = find_config_file(given)
    values = _merge(_read_file(path) if path else {}, _read_environment())
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        source = str(path) if path else f"the environment (there is no {DEFAULT_FILE} here)"
        problems = "\n".join(_describe(detail, values) for detail in error.errors(include_url=False))
        raise ConfigurationError(f"The configuration from {source} is not usable:\n{problems}") from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The configuration file {path} is not valid TOML: {error}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The configuration file {path} cannot be read: {error}.") from None


def _read_environment() -> dict[str, Any]:
    """Return the variables as nested settings; lists and tables may be given as JSON."""
    from_environment = EnvSettingsSource(
        Settings,  # type: ignore[arg-type]  # reads the fields only; Settings need not be a BaseSettings
        env_prefix=PREFIX,
        env_nested_delimiter="__",
    )
    try:
        found: dict[str, Any] = dict(from_environment())
    except SettingsError as error:
        # Its text names the section and holds no value.
        raise ConfigurationError(
            f"The variables {PREFIX}... are not usable: {error}.",
            hint=f"Lists and whole sections are given as JSON: {PREFIX}SEALING__KEYS='[\"env:BRIDGE_KEY\"]'.",
        ) from None
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            first = name[len(PREFIX) :].split("__")[0].lower()
            # pydantic-settings passes over variables that fit no field; a typing error must not.
            if first not in found:
                found[first] = os.environ[name]
    return found


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        merged[key] = _merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def _describe(detail: ErrorDetails, values: Mapping[str, Any]) -> str:
    place = [part for part in detail["loc"] if part != "[key]"]
    name = ".".join(str(part) for part in place) or "settings"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"  {name}: it is missing.{_example(place)}"
    if detail["type"] == "extra_forbidden":
        return f"  {name}: there is no setting of this name; please check the spelling."
    # A text in the place of a section may be a secret that lost its name: database = "postgresql://...".
    hidden = _is_secret(place) or detail["type"] in ("model_type", "dict_type")
    shown = "" if hidden else _shown(place, values)
    return f"  {name}{shown}: {message}.{_example(place)}"


def _is_secret(place: list[int | str]) -> bool:
    return any(part in SECRETS for part in place)


def _shown(place: list[int | str], values: Mapping[str, Any]) -> str:
    found: Any = values
    for part in place:
        try:
            found = found[part]
        except (KeyError, IndexError, TypeError):
            return ""
    return "" if isinstance(found, dict | list) else f" = {found!r}"


def _example(place: list[int | str]) -> str:
    model: type[BaseModel] | None = Settings
    examples: list[Any] | None = None
    for part in place:
        field = model.model_fields.get(str(part)) if model else None
        if field is None:
            continue  # a package's own name, or a position in a list
        examples = field.examples
        model = next((kind for kind in _kinds(field.annotation) if issubclass(kind, BaseModel)), None)
    return "".join(f"\n      Example: {line}" for line in str(examples[0]).splitlines()) if examples else ""


def _kinds(annotation: object) -> list[type[Any]]:
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [kind for inner in get_args(annotation) for kind in _kinds(inner)]
