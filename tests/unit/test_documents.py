"""The documents say what is true: errors, answers, commands, links and the version are held to the code."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main

import bridge.web.app  # noqa: F401 - so that every error there is is known
from bridge import __version__, errors
from bridge.cli import app
from bridge.errors import BridgeError
from deploy.demo.me import Me, MeSession, MeUser
from tests.documents import DOCUMENTS, ROOT, blocks, code, read, section


def error_kinds(kind: type[BridgeError] = BridgeError) -> Iterator[type[BridgeError]]:
    """Yield the classes of `bridge.errors`, from the root of the tree to its leaves."""
    yield kind
    for inner in kind.__subclasses__():
        if inner.__module__.startswith(f"{errors.__name__}."):
            yield from error_kinds(inner)


def describe_errors() -> list[str]:
    """Return the table of errors as the page shows it."""
    lines = ["| code | status | message |", "| --- | --- | --- |"]
    return lines + [f"| `{kind.code}` | {kind.status} | {kind().message} |" for kind in error_kinds()]


def test_the_table_of_errors_is_that_of_the_code() -> None:
    assert "\n".join(describe_errors()) in read("signing-in.md")


def test_the_codes_of_other_errors_stand_below_the_table() -> None:
    below = read("signing-in.md").partition("| `lease_lost`")[2]

    named = set(code(below))
    assert named >= {kind.code for kind in other_errors()}
    assert named <= {kind.code for kind in (*error_kinds(), *other_errors())}


def other_errors(kind: type[BridgeError] = BridgeError) -> Iterator[type[BridgeError]]:
    """Yield the classes that stand beside what raises them, and have a code of their own."""
    for inner in kind.__subclasses__():
        if (
            inner.__module__.startswith("bridge.")
            and inner.__module__.split(".")[1] != "errors"
            and "code" in vars(inner)
        ):
            yield inner
        yield from other_errors(inner)


def test_the_answer_of_me_on_the_page_has_the_fields_that_an_application_reads() -> None:
    (example,) = blocks(section(read("signing-in.md"), "## Who is it?"), "json")

    found = json.loads(example)
    Me.model_validate(found)
    assert set(found) == set(Me.model_fields)
    assert set(found["user"]) == set(MeUser.model_fields)
    assert set(found["session"]) == set(MeSession.model_fields)


def commands(document: Path) -> list[list[str]]:
    """Return the commands of ours that a document names, in its shell blocks and in its sentences."""
    text = document.read_text(encoding="utf-8")
    shell = [line for block in blocks(text, "sh") for line in block.splitlines()]
    sentences = code(re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    words = [
        shlex.split(line, comments=True) for line in [*shell, *sentences] if re.match(r"(keycloak-bridge|make) ", line)
    ]
    assert all(words)
    return words


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_command_that_a_document_names_exists(document: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    for program, *words in commands(document):
        if program == "make":
            assert {word for word in words if "=" not in word} <= set(targets)
        else:
            assert_accepted(words)


def assert_accepted(words: list[str]) -> None:
    """Follow the words through the commands, groups, options and arguments of `keycloak-bridge`."""
    command: Any = typer.main.get_command(app)
    given = 0
    while words:
        word = words.pop(0)
        if word == "--help":
            continue
        if word.startswith("-"):
            options = {name: option for option in command.params for name in option.opts}
            assert word in options, f"there is no option {word}"
            if not options[word].is_flag and words:
                words.pop(0)
        elif hasattr(command, "commands"):
            assert word in command.commands, f"there is no command {word}"
            command = command.commands[word]
        else:
            given += 1
            taken = [one for one in command.params if one.param_type_name == "argument"]
            assert given <= len(taken), f"{command.name} takes no argument {word}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)

    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if not link.startswith(("https://", "http://")):
            target = (document.parent / path).resolve() if path else document
            assert target.is_file(), f"{link} leads to no file"
            assert not anchor or anchor in anchors(target), f"{link} leads to no heading"


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_documents_speak_of_this_version() -> None:
    readme, changes = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CHANGELOG.md"))

    assert f"(version {__version__})" in readme
    assert f"keycloak_bridge-{__version__}-py3-none-any.whl" in readme
    assert re.findall(r"^## \[([\d.]+)\]", changes, re.MULTILINE)[0] == __version__


def test_the_licence_is_the_one_the_package_names() -> None:
    project: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text(encoding="utf-8").split()
    assert text[:4] == ["Apache", "License", "Version", "2.0,"]
