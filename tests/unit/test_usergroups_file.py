"""A file of standard groups: everything in it is checked, and what is wrong is said with its place."""

from pathlib import Path

import pytest

from bridge.errors import ConfigurationError, UsergroupRefused
from bridge.flows.usergroups import read_file
from bridge.storage.usergroups import Usergroup


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "groups.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_group_has_the_fields_that_stand_there_and_defaults_for_the_others(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
[[usergroup]]
code = "staff/sales"
name = "Sales"
description = '''Sells
in the shop'''
keycloak_path = "/staff/sales"
active = false

[[usergroup]]
code = "täglich"
""",
    )
    assert read_file(path) == [
        Usergroup("staff/sales", "Sales", "Sells\nin the shop", "/staff/sales", active=False),
        Usergroup("täglich", "täglich", None, None, active=True),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no group"),
        ("usergroup = []", "names no group"),
        ("usergroup = 7", "names no group"),
        ('[usergroup]\ncode = "a"', "names no group"),
        ('groups = 1\n[[usergroup]]\ncode = "a"', "holds groups"),
        ("usergroup = [1]", "group 1: it is no table"),
        ('[[usergroup]]\nname = "a"', "group 1: code is missing"),
        ('[[usergroup]]\ncode = "a"\n[[usergroup]]\ncode = "b"\ncolour = "red"', "group 2: there is no field colour"),
        ("[[usergroup]]\ncode = 7", "group 1: code must be a text"),
        ('[[usergroup]]\ncode = "a"\nactive = 1', "group 1: active must be true or false"),
        ('[[usergroup]]\ncode = "a"\nname = true', "group 1: name must be a text"),
        ("[[usergroup]", "is not valid TOML"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_what_is_no_list_of_groups_is_said_with_its_place(tmp_path: Path, text: str | bytes, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as refused:
        read_file(path)
    assert said in refused.value.message
    assert str(path) in refused.value.message


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_file(tmp_path / "missing.toml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_file(tmp_path)


@pytest.mark.parametrize("code", ["a,b", "", " a", "a\\u0000", "a\\n", "x" * 256])
def test_a_code_that_cannot_be_one_is_named(tmp_path: Path, code: str) -> None:
    path = written(tmp_path, f'[[usergroup]]\ncode = "ok"\n[[usergroup]]\ncode = "{code}"')
    with pytest.raises(UsergroupRefused, match="The group code"):
        read_file(path)


def test_a_code_that_is_there_twice_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, '[[usergroup]]\ncode = "a"\n[[usergroup]]\ncode = "a"\nname = "again"')
    with pytest.raises(UsergroupRefused, match="'a' is there twice"):
        read_file(path)
