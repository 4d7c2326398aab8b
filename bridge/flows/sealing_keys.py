"""Are the configured sealing keys those that the values in the database need?

build_sealer    the keys of the settings
check_keys      before anything seals: refuse to, or note the sealing key as in use
report_keys     the same as a finding; it writes nothing
list_keys       every key, and what is sealed under it
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bridge.config.sections import SealingSettings
from bridge.config.values import decode_key
from bridge.errors import ConfigurationError
from bridge.keycloak.findings import Finding
from bridge.sealing import Sealer
from bridge.storage import sealed_values, sealing_keys
from bridge.storage.database import Database, Db
from bridge.storage.sealed_values import SEALED_COLUMNS, ValueCounts

MISSING_HINT = (
    "Put the key back into sealing.keys, behind the first one. What it sealed changes over to the first key by "
    "keycloak-bridge keys rotate; after that the old one can go. If it is lost for good: keycloak-bridge keys rotate "
    "--lost KEY_ID."
)


@dataclass(frozen=True)
class KeyUse:
    """A sealing key: what the configuration says of it, since when it is in use, and its values by column."""

    key_id: str
    seals: bool
    configured: bool
    in_use_since: datetime | None
    values: Mapping[str, int]


def build_sealer(settings: SealingSettings) -> Sealer:
    """Return the sealer of the configured keys."""
    return Sealer([decode_key(key.get_secret_value()) for key in settings.keys])


async def check_keys(database: Database, sealer: Sealer, *, now: datetime) -> None:
    """Refuse a configuration that lacks a key which values need; note the sealing key as in use.

    Raises:
        ConfigurationError: with the ids of the missing keys and what to do.
        StorageError: the database cannot be read or written.
    """
    async with database.reading() as db:
        noted = {key.key_id for key in await sealing_keys.list_in_use(db)}
    # A database from before keys were noted may hold values all the same. It is looked through once.
    needed = noted or {key_id for counts in (await count_all(database)).values() for key_id in counts.by_key}
    _refuse_missing(needed, sealer)
    new = {*needed, sealer.sealing_key_id} - noted
    if new:
        await note_keys(database, new, now=now)


async def note_keys(database: Database, key_ids: set[str], *, now: datetime) -> None:
    """Note that values may need these keys.

    Raises:
        StorageError: nothing was written.
    """

    async def step(db: Db) -> None:
        for key_id in sorted(key_ids):
            await sealing_keys.note_in_use(db, key_id, now=now)

    await database.write(step)


async def report_keys(db: Db, sealer: Sealer) -> Finding:
    """Return the finding of `check_keys`, and write nothing."""
    noted = {key.key_id for key in await sealing_keys.list_in_use(db)}
    try:
        _refuse_missing(noted, sealer)
    except ConfigurationError as error:
        return Finding("sealing keys", ok=False, message=error.message, mend=error.hint)
    message = f"The key {sealer.sealing_key_id} seals; all keys that values need are there."
    return Finding("sealing keys", ok=True, message=message)


async def list_keys(database: Database, sealer: Sealer) -> tuple[list[KeyUse], dict[str, ValueCounts]]:
    """Return every key that is configured, noted or found in a value, and the counts of each column.

    Raises:
        StorageError: the database cannot be read.
    """
    counts = await count_all(database)
    async with database.reading() as db:
        since = {key.key_id: key.first_used_at for key in await sealing_keys.list_in_use(db)}
    found = {key_id for one in counts.values() for key_id in one.by_key}
    others = sorted((since.keys() | found) - set(sealer.key_ids))
    uses = [
        KeyUse(
            key_id,
            seals=key_id == sealer.sealing_key_id,
            configured=key_id in sealer.key_ids,
            in_use_since=since.get(key_id),
            values={name: one.by_key[key_id] for name, one in counts.items() if key_id in one.by_key},
        )
        for key_id in (*sealer.key_ids, *others)
    ]
    return uses, counts


async def count_all(database: Database) -> dict[str, ValueCounts]:
    """Return the counts of every column that holds sealed values, by its name. It reads them all.

    Raises:
        StorageError: the database cannot be read.
    """
    async with database.reading(patient=True) as db:
        return {column.name: await sealed_values.count_values(db, column) for column in SEALED_COLUMNS}


def _refuse_missing(needed: set[str], sealer: Sealer) -> None:
    missing = sorted(needed - set(sealer.key_ids))
    if missing:
        which = f"the key {missing[0]}, which is" if len(missing) == 1 else f"the keys {', '.join(missing)}, which are"
        raise ConfigurationError(
            f"The database holds values sealed under {which} not among sealing.keys.", hint=MISSING_HINT
        )
