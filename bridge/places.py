"""Where an address is, by a database file in MaxMind's format (GeoLite2-City and its like).

The file is opened once and stays mapped: one that an update puts in its place by renaming is read at the next start.
A file that is overwritten while it is mapped ends the process (SIGBUS), so updates must rename, as `geoipupdate` does.
A place is a guess of whoever made the file: good for a list of sessions and for hints, not to decide about access.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import maxminddb

from bridge.errors import ConfigurationError
from bridge.model.sessions import Place

LONGEST_COUNTRY = 100
LONGEST_CITY = 153
"""City and country stand together in `Location` too, which has 255 characters: 153, a comma, a blank, 100."""
UNKNOWN = Place()


class Places:
    """Finds the places of addresses; without a database every place is unknown."""

    def __init__(self, reader: maxminddb.Reader | None = None) -> None:
        """Take an open database."""
        self._reader = reader

    def find(self, address: str | None) -> Place:
        """Return city and country by their English names; what the database does not know is None. Never raises."""
        if self._reader is None or address is None:
            return UNKNOWN
        try:
            record = self._reader.get(_read_address(address))
        except (ValueError, maxminddb.InvalidDatabaseError):
            # No address, one of IPv6 in a database of IPv4, or a damaged record: a place is not worth a failed sign-in.
            return UNKNOWN
        return Place(
            city=_find_name(record, "city", LONGEST_CITY), country=_find_name(record, "country", LONGEST_COUNTRY)
        )


@contextmanager
def open_places(path: Path | None) -> Iterator[Places]:
    """Give the places of a database file until the context ends; without a path every place is unknown.

    Raises:
        ConfigurationError: the file cannot be read, or is no database of this format.
    """
    if path is None:
        yield Places()
        return
    with _open_database(path) as reader:
        yield Places(reader)


def _open_database(path: Path) -> maxminddb.Reader:
    try:
        return maxminddb.open_database(path)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except (ValueError, maxminddb.InvalidDatabaseError):
        reason = "is no database in MaxMind's format, or is incomplete"
    raise ConfigurationError(
        f"The place database {path} (geoip.database) {reason}.",
        hint="Name a city database such as /var/lib/GeoIP/GeoLite2-City.mmdb, or leave the section [geoip] out.",
        evidence={"setting": "geoip.database", "path": str(path)},
    )


def _read_address(address: str) -> IPv4Address | IPv6Address:
    read = ip_address(address.partition("%")[0])
    # A socket of both families shows IPv4 visitors so (RFC 4291 section 2.5.5.2).
    return (read.ipv4_mapped or read) if isinstance(read, IPv6Address) else read


def _find_name(record: object, subject: str, longest: int) -> str | None:
    found = record
    for key in (subject, "names", "en"):
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, str) or len(found) > longest or not found.isprintable():
        return None
    return found.strip() or None
