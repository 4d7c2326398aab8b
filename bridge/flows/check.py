"""Are configuration, database and Keycloak in order? Everything is looked at, and nothing is changed.

    1 configuration, place database    2 database: reachable, schema, clock, triggers, sealing keys
    3 for each package: discovery, client secret, service account, its roles, the bridge's own client

One after the other, so that the findings read like a story; what stands on something that failed is left out.
"""

import json
import time
from datetime import UTC, datetime
from functools import partial

from bridge.config import PackageSettings, Settings
from bridge.errors import ConfigurationError, KeycloakError, StorageError
from bridge.flows.sealing_keys import build_sealer, report_keys
from bridge.keycloak.admin import Admin, open_admin
from bridge.keycloak.client_settings import Registration, check_client_settings, report_missing_client
from bridge.keycloak.credentials import Credentials, TokenEndpoint, try_secret, try_service_account
from bridge.keycloak.findings import Finding, find_realm, report_failure
from bridge.keycloak.http import open_http
from bridge.keycloak.permissions import check_permissions, check_scope, check_surplus
from bridge.keycloak.provider import Provider
from bridge.places import open_places
from bridge.sealing import Sealer
from bridge.storage.database import Db, check_clock, open_database
from bridge.storage.installed_triggers import describe_mend, find_missing_triggers
from bridge.storage.migrate import check_schema, is_newer, newest_revision

__all__ = ["Finding", "run_check"]


async def run_check(settings: Settings) -> list[Finding]:
    """Check everything and return what was found, in order.

    Raises:
        ConfigurationError: database.url names no database that is supported.
    """
    found = [_report_configuration(settings), *_check_places(settings), *await _check_database(settings)]
    for name, package in settings.packages.items():
        found += await _check_package(settings, name, package=package)
    return found


def _report_configuration(settings: Settings) -> Finding:
    names = ", ".join(sorted(settings.packages))
    return Finding("configuration", ok=True, message=f"public_url is {settings.public_url}; packages: {names}.")


def _check_places(settings: Settings) -> list[Finding]:
    if settings.geoip is None:
        return []
    try:
        with open_places(settings.geoip.database):
            return [Finding("geoip.database", ok=True, message=f"{settings.geoip.database} can be read.")]
    except ConfigurationError as error:
        return [Finding("geoip.database", ok=False, message=error.message, mend=error.hint)]


async def _check_database(settings: Settings) -> list[Finding]:
    found: list[Finding] = []
    url = settings.database.url.get_secret_value()
    async with open_database(url, pool_size=1, longest=settings.database.timeout) as database:
        try:
            async with database.reading() as db:
                found.append(Finding("database", ok=True, message=f"It answers ({db.dialect.name})."))
                schema, *others = await _check_schema(db, build_sealer(settings.sealing))
                found += [schema, await _check_clock(db), *others]
        except StorageError as error:
            mend = "Look at database.url: the server must run, and the database and its user must exist."
            found.append(report_failure("database", error, mend=mend))
    return found


async def _check_schema(db: Db, sealer: Sealer) -> list[Finding]:
    """Look at the schema, and at what can be asked only where there is one."""
    try:
        revision = await check_schema(db)
    except StorageError as error:
        return [Finding("database schema", ok=False, message=error.message, mend="keycloak-bridge migrate")]
    keys = await report_keys(db, sealer)
    if is_newer(revision):
        # Its triggers may differ from ours, and rightly so.
        message = f"It is at {revision}, newer than this version's {newest_revision()}: replace this version soon."
        return [Finding("database schema", ok=True, message=message), keys]
    schema = Finding("database schema", ok=True, message="It is the one of this version.")
    return [schema, await _check_triggers(db), keys]


async def _check_clock(db: Db) -> Finding:
    try:
        await check_clock(db)
    except StorageError as error:
        return Finding("database clock", ok=False, message=error.message, mend=error.hint)
    return Finding("database clock", ok=True, message="Times are UTC.")


async def _check_triggers(db: Db) -> Finding:
    missing = await find_missing_triggers(db)
    if not missing:
        return Finding("database triggers", ok=True, message="They note who must be forgotten.")
    message = f"These do not work: {', '.join(missing)}. The service reads the row at each request instead."
    return Finding("database triggers", ok=False, message=message, mend=await describe_mend(db))


async def _check_package(settings: Settings, name: str, *, package: PackageSettings) -> list[Finding]:
    wanted = _registration(settings, name, package=package)
    section, realm = f"packages.{name}", wanted.realm
    async with open_http(settings.http) as http:
        try:
            metadata = await Provider(
                http, package, settings.http, now=partial(datetime.now, UTC), elapsed=time.monotonic
            ).fetch_metadata()
        except KeycloakError as error:
            return [_report_discovery(error, section)]
        endpoint = TokenEndpoint(http, metadata.token_endpoint, settings.http.total_timeout)
        own = Credentials(section, realm, package.client_id, package.client_secret)
        found = [
            Finding(f"{section}.issuer", ok=True, message=f"{package.issuer} answers and offers PKCE with S256."),
            await try_secret(endpoint, own, redirect_uri=wanted.redirect_uri),
        ]
        if package.sync is None:
            return [*found, _report_unread(wanted, section)]
        reader = Credentials(f"{section}.sync", realm, package.sync.client_id, package.sync.client_secret)
        service, access_token = await try_service_account(endpoint, reader)
    found.append(service)
    if access_token is not None:
        async with open_admin(package.issuer, package.sync, settings.http) as admin:
            found += await _check_realm(admin, reader, wanted=wanted, access_token=access_token)
    return found


def _registration(settings: Settings, name: str, *, package: PackageSettings) -> Registration:
    return Registration(
        f"packages.{name} client {package.client_id}",
        find_realm(package.issuer),
        package.client_id,
        redirect_uri=f"{settings.public_url}/callback/{name}",
        post_logout_redirect_uri=f"{settings.public_url}/logout/done/{name}",
    )


async def _check_realm(admin: Admin, reader: Credentials, *, wanted: Registration, access_token: str) -> list[Finding]:
    roles = await check_permissions(admin, reader)
    found = [*roles.values(), *check_scope(roles, reader), *check_surplus(access_token, reader)]
    # Without view-clients Keycloak shows an empty list, which would look like a client that is not there.
    return [*found, *await _check_client(admin, wanted)] if roles["view-clients"].ok else found


def _report_discovery(error: KeycloakError, section: str) -> Finding:
    issuer = error.evidence.get("found_issuer")
    if isinstance(issuer, str):
        mend = f"Set in [{section}]: issuer = {json.dumps(issuer)}"
    else:
        mend = f"Start Keycloak, or correct issuer in [{section}]."
    return report_failure(f"{section}.issuer", error, mend=mend)


def _report_unread(wanted: Registration, section: str) -> Finding:
    message = (
        f"Not checked: enabled, the flows, PKCE, {wanted.redirect_uri} and {wanted.post_logout_redirect_uri}. "
        f"Only a service account can read them, and there is no [{section}.sync]."
    )
    return Finding(wanted.subject, ok=True, message=message)


async def _check_client(admin: Admin, wanted: Registration) -> list[Finding]:
    try:
        found = await admin.fetch("/clients", {"clientId": wanted.client_id})
    except KeycloakError as error:
        return [report_failure(wanted.subject, error)]
    for registration in found if isinstance(found, list) else []:
        if isinstance(registration, dict) and registration.get("clientId") == wanted.client_id:
            return check_client_settings(registration, wanted)
    return [report_missing_client(wanted)]
