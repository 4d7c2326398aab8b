"""The commands about group codes, as an operator meets them: what they print, change and refuse."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.double import KeycloakDouble
from tests.integration.commanding import Run, commands, in_demo, write_config

GROUPS = """
[[usergroup]]
code = "staff"
name = "Staff"
keycloak_path = "/staff"

[[usergroup]]
code = "till"
active = false
"""


@pytest.fixture
def config(sqlite_template: Path, tmp_path: Path, double: KeycloakDouble) -> Path:
    (tmp_path / "groups.toml").write_text(GROUPS, encoding="utf-8")
    return write_config(double, sqlite_template, tmp_path)


@pytest.fixture
def run(config: Path) -> Iterator[Run]:
    with commands(config) as one:
        yield one


def test_groups_are_seeded_from_a_file_and_listed(run: Run, config: Path) -> None:
    file = str(config.parent / "groups.toml")
    planned = in_demo(run, "usergroups", "seed", file, "--dry-run")
    assert in_demo(run, "usergroups", "list") == []
    (done,) = in_demo(run, "usergroups", "seed", file)
    assert done == {
        "package": "demo",
        "created": ["staff", "till"],
        "updated": [],
        "unchanged": [],
        "refused": [],
        "written": True,
    }
    assert planned == [done | {"written": False}]
    listed = in_demo(run, "usergroups", "list")
    assert [one.pop("package") for one in listed] == ["demo", "demo"]
    assert listed == [
        {"code": "staff", "name": "Staff", "description": None, "keycloak_path": "/staff", "active": True},
        {"code": "till", "name": "till", "description": None, "keycloak_path": None, "active": False},
    ]
    everywhere = run("usergroups", "seed", file, "--all").stdout
    assert "demo: 0 created, 0 updated, 2 unchanged.\n" in everywhere
    assert "guests: 2 created, 0 updated, 0 unchanged.\n  created: staff\n  created: till\n" in everywhere
    assert "PACKAGE" not in run("usergroups", "list", "--package", "guests").stdout.splitlines()[0]


def test_the_groups_of_all_packages_are_listed_side_by_side(run: Run, config: Path) -> None:
    file = str(config.parent / "groups.toml")
    assert run("usergroups", "list", "--all").stdout == "There are no groups; see usergroups seed.\n"
    run("usergroups", "seed", file, "--all")
    head, *lines = run("usergroups", "list", "--all").stdout.splitlines()
    assert head.split()[:2] == ["PACKAGE", "CODE"]
    assert [line.split()[:2] for line in lines] == [
        ["demo", "staff"],
        ["demo", "till"],
        ["guests", "staff"],
        ["guests", "till"],
    ]
    listed = json.loads(run("usergroups", "list", "--all", "--json").stdout)
    assert [(one["package"], one["code"], one["active"]) for one in listed[1:3]] == [
        ("demo", "till", False),
        ("guests", "staff", True),
    ]
    refused = run("usergroups", "list", "--all", "--package", "demo")
    assert refused.exit_code == 2
    assert "--all and --package exclude each other." in " ".join(refused.stderr.replace("│", " ").split())


def test_groups_are_seeded_from_keycloak_where_it_can_be_read(run: Run, double: KeycloakDouble) -> None:
    double.realm.add_group("/staff/sales")
    double.realm.add_group_named("a,b")
    (done,) = in_demo(run, "usergroups", "seed", "--from-keycloak", status=3)
    assert (done["created"], done["refused"]) == (["staff", "staff/sales"], ["/a,b"])
    ended = run("usergroups", "seed", "--from-keycloak", "--all")
    assert ended.exit_code == 3
    assert ended.stdout == "demo: 0 created, 0 updated, 2 unchanged.\n"
    assert "left out: /a,b cannot be a group code" in ended.stderr
    refused = run("usergroups", "seed", "--from-keycloak", "--package", "guests")
    assert refused.exit_code == 2
    assert "packages.NAME.sync" in refused.stderr
    double.stop()
    assert run("usergroups", "seed", "--from-keycloak", "--package", "demo").exit_code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Name a FILE, or say --from-keycloak."),
        (("x.toml", "--from-keycloak"), "Name a FILE, or say --from-keycloak."),
        (("x.toml", "--all", "--package", "demo"), "--all and --package exclude each other."),
        (("missing.toml", "--all"), "The file missing.toml cannot be read"),
        (("x.toml",), "There is more than one package."),
    ],
)
def test_wrong_usage_of_seed_is_said(run: Run, words: tuple[str, ...], said: str) -> None:
    ended = run("usergroups", "seed", *words)
    assert ended.exit_code == 2
    assert said in " ".join(ended.stderr.replace("│", " ").split())


def test_a_bad_group_in_a_file_leaves_all_packages_as_they_are(run: Run, config: Path) -> None:
    file = config.parent / "groups.toml"
    file.write_text(GROUPS + '[[usergroup]]\ncode = "a,b"\n', encoding="utf-8")
    ended = run("usergroups", "seed", str(file), "--all")
    assert ended.exit_code == 1
    assert ended.stderr.startswith("The group code 'a,b' holds a comma")
    assert in_demo(run, "usergroups", "list") == []
