"""Secrets in settings: a literal, `env:NAME` or `file:PATH`."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, SecretStr


def resolve_secret(value: object) -> object:
    """Follow `env:NAME` and `file:PATH`; anything else is taken as it is.

    A file's trailing line break is dropped, as editors and `echo` add one.

    Raises:
        ValueError: the variable is not set, or the file cannot be read. The message never holds the secret.
    """
    if not isinstance(value, str):
        return value
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        found = os.environ.get(name)
        if found is None:
            raise ValueError(f"the environment variable {name} is not set")
        return found
    if value.startswith("file:"):
        path = Path(value.removeprefix("file:"))
        try:
            return path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ValueError(f"the file {path} cannot be read: {reason}") from None
    return value


def refuse_empty(value: SecretStr) -> SecretStr:
    """Refuse a secret of no characters: an unset variable in a start script looks like that.

    Raises:
        ValueError: the secret is empty.
    """
    if not value.get_secret_value():
        raise ValueError("the secret is empty")
    return value


Secret = Annotated[SecretStr, BeforeValidator(resolve_secret)]
"""A secret setting, already resolved; printing it shows stars."""
