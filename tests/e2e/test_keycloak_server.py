"""What the person reads when the demo cannot have a Keycloak. No server is started here."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.demo.keycloak_home import Container
from deploy.demo.keycloak_server import ChildFailed, KeycloakMissing, KeycloakServer, PortTaken
from deploy.demo.keycloak_source import IMAGE, DockerEngine, RunningServer, find_source
from deploy.demo.ports import HOST, free_port

ALL_CHOICES = ("KEYCLOAK_URL", "KEYCLOAK_HOME", "Docker", "Maven and Java")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """Return an environment with an empty PATH and a cache of its own."""
    programs = tmp_path / "bin"
    programs.mkdir()
    return {"PATH": str(programs), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def add_program(environ: dict[str, str], name: str, *lines: str) -> Path:
    program = Path(environ["PATH"], name)
    program.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    program.chmod(0o755)
    return program


def add_java(environ: dict[str, str], version: str) -> Path:
    return add_program(environ, "java", f"echo 'openjdk version \"{version}\"' >&2")


def add_distribution(home: Path) -> Path:
    for directory in ("bin", "lib/quarkus"):
        (home / directory).mkdir(parents=True)
    for file in ("bin/kc.sh", "lib/quarkus-run.jar"):
        (home / file).touch()
    return home


def test_a_taken_port_is_one_sentence_with_the_port_and_its_variable(
    taken_port: int, bare: dict[str, str], tmp_path: Path
) -> None:
    server = KeycloakServer(taken_port, log=tmp_path / "keycloak.log", environ=bare)
    with pytest.raises(PortTaken) as caught, server:
        pass
    assert str(caught.value) == (
        f"Port {taken_port} is already in use; stop the program that listens there or set KEYCLOAK_PORT=."
    )


def test_nothing_is_left_behind_when_there_is_no_keycloak(bare: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(KeycloakMissing), KeycloakServer(port=0, log=tmp_path / "keycloak.log", environ=bare):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin"]


def test_missing_java_is_named_with_all_the_choices(bare: dict[str, str]) -> None:
    add_program(bare, "mvn")
    with pytest.raises(KeycloakMissing, match="Java is missing") as caught:
        find_source(bare)
    assert "no `java` on the PATH" in str(caught.value)
    assert [choice for choice in ALL_CHOICES if choice not in str(caught.value)] == []


def test_a_java_home_without_java_is_named(bare: dict[str, str], tmp_path: Path) -> None:
    add_java(bare, "21.0.1")
    with pytest.raises(KeycloakMissing, match=f"JAVA_HOME={tmp_path}/jdk has no bin/java"):
        find_source({**bare, "JAVA_HOME": f"{tmp_path}/jdk"})


@pytest.mark.parametrize(("version", "major"), [("11.0.24", "11"), ("1.8.0_402", "8"), ("16", "16")])
def test_an_old_java_is_named_with_its_version(bare: dict[str, str], version: str, major: str) -> None:
    java = add_java(bare, version)
    with pytest.raises(KeycloakMissing, match="Java is too old") as caught:
        find_source(bare)
    assert f"{java} is Java {major}, at least 17 is needed" in str(caught.value)


def test_missing_maven_is_named(bare: dict[str, str]) -> None:
    add_java(bare, "17.0.15")
    with pytest.raises(KeycloakMissing, match="Maven is missing") as caught:
        find_source(bare)
    assert [choice for choice in ALL_CHOICES if choice not in str(caught.value)] == []


def test_what_maven_says_is_quoted_and_nothing_half_fetched_stays(bare: dict[str, str], tmp_path: Path) -> None:
    add_java(bare, "25-ea")
    add_program(bare, "mvn", "echo 'Could not transfer artifact: Unknown host'", "exit 1")
    with pytest.raises(KeycloakMissing, match="Unknown host"):
        find_source(bare)
    assert [path.name for path in (tmp_path / "cache" / "keycloak-bridge").iterdir()] == ["fetch.lock"]


def test_a_keycloak_home_that_is_no_distribution_is_named(bare: dict[str, str], tmp_path: Path) -> None:
    add_java(bare, "21.0.1")
    with pytest.raises(KeycloakMissing) as caught:
        find_source({**bare, "KEYCLOAK_HOME": str(tmp_path)})
    assert f"KEYCLOAK_HOME={tmp_path} is no Keycloak distribution, bin/kc.sh is not there" in str(caught.value)


def test_a_keycloak_home_needs_java_as_well(bare: dict[str, str], tmp_path: Path) -> None:
    home = add_distribution(tmp_path / "keycloak")
    with pytest.raises(KeycloakMissing, match="Java is missing"):
        find_source({**bare, "KEYCLOAK_HOME": str(home)})


def test_a_keycloak_url_needs_its_administrator(bare: dict[str, str]) -> None:
    with pytest.raises(KeycloakMissing, match="not both KEYCLOAK_ADMIN and KEYCLOAK_ADMIN_PASSWORD"):
        find_source({**bare, "KEYCLOAK_URL": "http://127.0.0.1:8180", "KEYCLOAK_ADMIN": "admin"})


def test_a_keycloak_url_comes_before_everything_else(bare: dict[str, str]) -> None:
    given = {
        "KEYCLOAK_URL": "https://sso.example.com/",
        "KEYCLOAK_ADMIN": "root",
        "KEYCLOAK_ADMIN_PASSWORD": "secret",
        "KEYCLOAK_HOME": "/nowhere",
    }
    assert find_source({**bare, **given}) == RunningServer("https://sso.example.com", "root", "secret")


def test_a_keycloak_url_where_nobody_answers_is_named(bare: dict[str, str], tmp_path: Path) -> None:
    url = f"http://{HOST}:{free_port()}"
    given = {**bare, "KEYCLOAK_URL": url, "KEYCLOAK_ADMIN": "admin", "KEYCLOAK_ADMIN_PASSWORD": "admin"}
    server = KeycloakServer(log=tmp_path / "keycloak.log", environ=given)
    with pytest.raises(KeycloakMissing, match=f"KEYCLOAK_URL={url} does not answer as a Keycloak"), server:
        pass


def test_a_docker_engine_counts_only_when_it_answers(bare: dict[str, str]) -> None:
    docker = add_program(bare, "docker", 'test "$1" = info')
    assert find_source(bare) == DockerEngine(docker=str(docker))
    add_program(bare, "docker", "exit 1")
    with pytest.raises(KeycloakMissing, match="Java is missing"):
        find_source(bare)


def test_a_container_shares_the_network_on_linux_and_publishes_loopback_ports_elsewhere() -> None:
    container = Container(DockerEngine("docker"), persistent=False, options=(), providers=())
    linux = container.command(port=8180, management_port=9180, system="Linux")
    assert "--network=host" in linux
    assert "--http-host=127.0.0.1" in linux
    assert linux.index(IMAGE) + 1 == linux.index("start-dev")
    darwin = container.command(port=8180, management_port=9180, system="Darwin")
    assert {"--publish=127.0.0.1:8180:8080", "--publish=127.0.0.1:9180:9000"} <= set(darwin)
    assert "--hostname=http://127.0.0.1:8180" in darwin


def test_a_failed_start_quotes_the_log_and_removes_the_working_directory(
    bare: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_java(bare, "17.0.15")
    home = add_distribution(tmp_path / "keycloak")
    for directory in ("conf", "providers", "lib/app"):
        (home / directory).mkdir()
    (home / "version.txt").touch()
    (home / "bin" / "kc.sh").write_text("echo the database is broken; exit 3\n", encoding="utf-8")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work))
    log = tmp_path / "keycloak.log"
    with (
        pytest.raises(ChildFailed, match="the database is broken") as caught,
        KeycloakServer(port=0, log=log, environ={**bare, "KEYCLOAK_HOME": str(home)}),
    ):
        pass
    assert f"Keycloak ended while it was starting (exit status 3). The end of its log, {log}:" in str(caught.value)
    assert list(work.iterdir()) == []
