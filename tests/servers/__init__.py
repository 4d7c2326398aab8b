"""Throw-away database servers for the tests, from the system's own packages.

    with PostgresqlServer() as server:                with MariadbServer() as server:
        url = server.create_database("one")               url = server.create_database("one")

    programs     finds the programs of the packages, or says which package is missing
    throw_away   a temporary directory, a process in it, and a watcher that ends both when we die
    postgresql   PostgreSQL on a free loopback port
    mariadb      MariaDB on a free loopback port

Nothing here knows the product: tables and migrations are the business of `tests.databases`.
"""

from tests.servers.mariadb import MariadbServer
from tests.servers.postgresql import PostgresqlServer
from tests.servers.programs import ProgramMissing
from tests.servers.throw_away import ServerFailed

__all__ = ["MariadbServer", "PostgresqlServer", "ProgramMissing", "ServerFailed"]
