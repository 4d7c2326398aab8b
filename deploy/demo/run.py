"""`make demo`: a real Keycloak with people in it, the bridge, and an application behind it, until Ctrl-C.

    1. check that the three ports are free
    2. start Keycloak and create the demo realm
    3. write the configuration, migrate the database, read the people once
    4. start the bridge and the application, and wait until both answer
    5. say where to look, and wait
    6. end all of it, in the opposite order

Exit status 0 after Ctrl-C or SIGTERM, 1 when something failed; the message then says what, with the end of its log.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from deploy.demo.child import Child, ChildFailed, wait_until
from deploy.demo.configuration import REALM, DemoAddresses, DemoFiles, write_configuration
from deploy.demo.keycloak_server import KeycloakMissing, KeycloakServer, PortTaken
from deploy.demo.ports import check_port
from deploy.demo.realm import load_realm

_ROOT = Path(__file__).resolve().parents[2]
_BRIDGE_READY_SECONDS = 30.0


class WrongSetting(Exception):
    """An environment variable of the demo has a value that it cannot have."""


def main() -> int:
    """Run the demo; return the exit status."""
    # Set both, whatever we inherited: a shell starts background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            try:
                _run(stack)
            finally:
                # The servers end when the stack closes; a second Ctrl-C meanwhile would leave some behind.
                _ignore_signals()
    except KeyboardInterrupt:
        print("\nAll of the demo has ended.")
        return 0
    except (PortTaken, KeycloakMissing, ChildFailed, WrongSetting) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def _run(stack: ExitStack) -> None:
    ports = {name: _port(name, default) for name, default in (("PORT", 8000), ("APP_PORT", 8001))}
    keycloak_port = _port("KEYCLOAK_PORT", 8180)
    _check_ports({**ports, "KEYCLOAK_PORT": keycloak_port})
    files = DemoFiles(_ROOT / ".demo")
    files.directory.mkdir(mode=0o700, exist_ok=True)

    print("Starting Keycloak (half a minute the first time, and longer if it must be fetched) ...", flush=True)
    keycloak = stack.enter_context(KeycloakServer(keycloak_port, log=_fresh(files.log("keycloak"))))
    addresses = DemoAddresses(ports["PORT"], ports["APP_PORT"], keycloak.url)
    keycloak.create_realm(load_realm(name=REALM, bridge_url=addresses.bridge_url, app_url=addresses.app_url))

    write_configuration(files, addresses)
    command = _bridge_command(files)
    _run_to_end("Preparing the database", [*command, "migrate"])
    _run_to_end("Reading the people of the realm", [*command, "sync", "run"])

    bridge = _start(stack, "bridge", [*command, "serve"], files)
    app = _start(stack, "app", _app_command(files, addresses), files)
    with httpx.Client(timeout=5, trust_env=False) as http:
        wait_until(bridge, lambda: _answers(http, f"{addresses.bridge_url}/livez"), seconds=_BRIDGE_READY_SECONDS)
        wait_until(app, lambda: _answers(http, f"{addresses.app_url}/style.css"), seconds=_BRIDGE_READY_SECONDS)
    print(_where_to_look(keycloak, addresses, files), flush=True)
    _watch(keycloak, [bridge, app])


def _port(variable: str, default: int) -> int:
    value = os.environ.get(variable) or str(default)
    if not value.isascii() or not value.isdigit() or not 0 < int(value) < 1 << 16:
        raise WrongSetting(f"{variable}={value} is no port number; an example is {variable}={default}.")
    return int(value)


def _check_ports(ports: dict[str, int]) -> None:
    if os.environ.get("KEYCLOAK_URL"):
        del ports["KEYCLOAK_PORT"]
    for variable, port in ports.items():
        check_port(port, variable=variable)
    if len(set(ports.values())) < len(ports):
        raise WrongSetting(f"{', '.join(ports)} must be different ports.")


def _bridge_command(files: DemoFiles) -> list[str]:
    """Return the bridge's own command from the environment that runs us, with the demo's configuration."""
    program = Path(sys.executable).with_name("keycloak-bridge")
    if not program.exists():
        raise WrongSetting(f"{program} is not there; `make demo` installs the product before it starts.")
    return [str(program), "--config", str(files.configuration)]


def _app_command(files: DemoFiles, addresses: DemoAddresses) -> list[str]:
    arguments = {
        "--port": addresses.app_port,
        "--bridge-url": addresses.bridge_url,
        "--keycloak-url": addresses.keycloak_url,
        "--database": files.database,
    }
    return [sys.executable, "-m", "deploy.demo.page", *(str(part) for pair in arguments.items() for part in pair)]


def _run_to_end(what: str, command: list[str]) -> None:
    """Run one step on the terminal, so that its progress is seen."""
    print(f"{what} ...", flush=True)
    status = subprocess.run(command, check=False, cwd=_ROOT).returncode
    if status:
        raise ChildFailed(f"{what} failed (exit status {status}): {' '.join(command)}")


def _start(stack: ExitStack, name: str, command: list[str], files: DemoFiles) -> Child:
    child = Child(f"The {name}", command, log=_fresh(files.log(name)), env=os.environ, cwd=_ROOT)
    stack.callback(child.stop)
    return child


def _fresh(log: Path) -> Path:
    """Return the path of a log file that holds this run only."""
    log.unlink(missing_ok=True)
    return log


def _answers(http: httpx.Client, url: str) -> bool:
    try:
        return not http.get(url).is_server_error
    except httpx.HTTPError:
        return False


def _watch(keycloak: KeycloakServer, children: list[Child]) -> None:
    """Wait for ever; raise `ChildFailed` when one of them ends by itself."""
    while True:
        time.sleep(0.5)
        if not keycloak.running:
            raise keycloak.failure("has ended by itself")
        for child in children:
            if not child.running:
                raise child.failure("has ended by itself")


def _ignore_signals() -> None:
    """Ignore further signals while everything is being ended, which takes a few seconds."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _where_to_look(keycloak: KeycloakServer, addresses: DemoAddresses, files: DemoFiles) -> str:
    return f"""
The demo runs. Start here:

  {addresses.app_url}    Corner Shop, an application behind the bridge
  {addresses.bridge_url}    the bridge
  {addresses.keycloak_url}    Keycloak, its console at /admin ({keycloak.admin_username}, realm {REALM})

  alice / alice    works in sales and support
  bob / bob        is a customer
  admin / admin    is in the group /bridge-admins

Configuration, database and logs: {files.directory}
Ctrl-C ends all of it."""


if __name__ == "__main__":
    sys.exit(main())
