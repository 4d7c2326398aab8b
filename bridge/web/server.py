"""Run the web service under uvicorn: check first, bind the port ourselves, and say plainly what is in the way."""

import asyncio
import errno
import os
import socket
from pathlib import Path

import uvicorn
from uvicorn.supervisors import Multiprocess

from bridge.config import Settings
from bridge.config.load import CONFIG_VARIABLE
from bridge.errors import ConfigurationError
from bridge.flows.sealing_keys import build_sealer, check_keys
from bridge.places import open_places
from bridge.storage.database import check_clock, open_database
from bridge.storage.installed_triggers import describe_mend, find_missing_triggers
from bridge.storage.migrate import check_schema, is_newer, newest_revision
from bridge.telemetry import configure_logging, get_logger
from bridge.web.app import create_app, utc_now

BACKLOG = 2048
DRAIN_SECONDS = 30
log = get_logger()


def run(settings: Settings, *, config: Path | None, host: str | None, port: int | None, workers: int) -> None:
    """Serve until a signal comes; several workers share one socket.

    Raises:
        ConfigurationError: the address is taken or not ours, the place database cannot be used, or a sealing key is
            missing.
        StorageError: the database cannot be reached, lacks migrations, or would shift times.
    """
    with open_places(settings.geoip.database if settings.geoip else None):
        pass  # each worker opens it again, where a refusal would be a traceback
    asyncio.run(_check_database(settings))
    default_host, _, default_port = settings.listen.rpartition(":")
    listener = bind(host or default_host.strip("[]"), port or int(default_port))
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config.resolve())
    server_config = uvicorn.Config(
        "bridge.web.server:create_worker_app" if workers > 1 else create_app(settings),
        factory=workers > 1,
        workers=workers,
        loop="uvloop",
        http="httptools",
        # Its access log would hold the query of the callback, and so the code; ours does not.
        access_log=False,
        log_level="warning",
        # Forwarding headers are read by ourselves, from the proxies that are configured.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    address = "{}:{}".format(*listener.getsockname()[:2])
    log.info("serving", address=address, public_url=settings.public_url, packages=sorted(settings.packages))
    server = uvicorn.Server(server_config)
    if workers > 1:
        Multiprocess(server_config, sockets=[listener]).run()
    else:
        server.run(sockets=[listener])


def create_worker_app() -> object:
    """Build the application inside a worker process, from the same configuration file and environment."""
    configure_logging()
    return create_app()


def bind(host: str, port: int) -> socket.socket:
    """Bind the address before anything else is started.

    Raises:
        ConfigurationError: with what is in the way and which setting moves it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reasons = {
            errno.EADDRINUSE: "another program is using it",
            errno.EACCES: "this user may not use it",
            errno.EADDRNOTAVAIL: "this machine has no such address",
        }
        reason = reasons.get(error.errno or 0, error.strerror or str(error))
        raise ConfigurationError(
            f"The address {host}:{port} cannot be used: {reason}.",
            hint="Choose another with the setting listen, or with --host and --port.",
        ) from None
    listener.listen(BACKLOG)
    listener.set_inheritable(True)
    return listener


async def _check_database(settings: Settings) -> None:
    url = settings.database.url.get_secret_value()
    async with open_database(url, pool_size=1, longest=settings.database.timeout) as database:
        async with database.reading() as db:
            await check_clock(db)
            revision = await check_schema(db)
            if is_newer(revision):
                log.warning("database_schema_newer", revision=revision, needed=newest_revision())
            elif missing := await find_missing_triggers(db):
                log.warning(
                    "database_triggers_missing",
                    triggers=missing,
                    consequence="The service reads the row of the session at each request.",
                    mend=await describe_mend(db),
                )
        await check_keys(database, build_sealer(settings.sealing), now=utc_now())
