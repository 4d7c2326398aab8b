"""Places: what a database file tells of an address, and what is said when the file is not one."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]  # it carries no types

from bridge.errors import ConfigurationError
from bridge.model.sessions import Place
from bridge.places import Places, open_places
from bridge.storage.tables import sys_usersession
from tests.unit.settings import GOOD, load, refusal

LONDON: dict[str, object] = {
    "city": {"names": {"de": "London an der Themse", "en": "London"}},
    "country": {"iso_code": "GB", "names": {"de": "Vereinigtes Königreich", "en": "United Kingdom"}},
}
RECORDS: dict[str, dict[str, object]] = {
    "81.2.69.0/24": LONDON,
    "2001:db8:1::/48": {"country": {"names": {"en": "Japan"}}},
    "198.51.100.0/28": {"city": {"names": {"en": "Zürich"}}},
    "10.1.0.0/16": {"city": {"names": {"en": "Head office"}}},
    "203.0.113.0/28": {"city": {"names": {"fr": "Genève"}}, "country": {"names": {"en": " "}}},
    "203.0.113.16/28": {"city": ["Rome"], "country": "IT"},
    "203.0.113.32/28": {"city": {"names": {"en": 7}}, "country": {"names": ["Italy"]}},
    "203.0.113.48/28": {"city": {"names": {"en": "x" * 153}}, "country": {"names": {"en": "y" * 100}}},
    "203.0.113.64/28": {"city": {"names": {"en": "x" * 154}}, "country": {"names": {"en": "y" * 101}}},
    "203.0.113.80/28": {"city": {"names": {"en": "New\0York"}}, "country": {"names": {"en": "U\u202eSA"}}},
}


def write_database(path: Path, records: Mapping[str, Mapping[str, object]], *, ip_version: int = 6) -> Path:
    writer = MMDBWriter(ip_version, "Test-City", languages=["de", "en"], ipv4_compatible=ip_version == 6)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), dict(record))
    writer.to_db_file(str(path))
    return path


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_database(tmp_path_factory.mktemp("geoip") / "city.mmdb", RECORDS)


@pytest.fixture(scope="module")
def places(database: Path) -> Iterator[Places]:
    with open_places(database) as found:
        yield found


@pytest.mark.parametrize(
    ("address", "city", "country"),
    [
        pytest.param("81.2.69.142", "London", "United Kingdom", id="city and country by their English names"),
        pytest.param("::ffff:81.2.69.142", "London", "United Kingdom", id="IPv4 as a socket of both families says it"),
        pytest.param("2001:db8:1::2", None, "Japan", id="country alone"),
        pytest.param("2001:db8:1::2%eth0", None, "Japan", id="IPv6 with a zone"),
        pytest.param("198.51.100.1", "Zürich", None, id="city alone"),
        pytest.param("10.1.2.3", "Head office", None, id="private network that the database names"),
    ],
)
def test_place_of_an_address_is_what_the_database_says(
    places: Places, address: str, city: str | None, country: str | None
) -> None:
    assert places.find(address) == Place(city=city, country=country)


@pytest.mark.parametrize("address", ["8.8.8.8", "127.0.0.1", "::1", "192.168.1.1", "fe80::1%1", "255.255.255.255"])
def test_address_that_the_database_does_not_hold_has_no_place(places: Places, address: str) -> None:
    assert places.find(address) == Place()


@pytest.mark.parametrize(
    "address",
    [None, "", " ", "%", "unknown", "81.2.69", "81.2.69.142:443", "[::1]", "81.2.69.142\0", "\ud800", "\uff11.2.3.4"],
)
def test_text_that_is_no_address_has_no_place(places: Places, address: str | None) -> None:
    assert places.find(address) == Place()


@settings(deadline=None)
@given(st.text(st.characters()) | st.text("0123456789abcdef.:%[]/") | st.ip_addresses().map(str))
def test_no_text_in_the_place_of_an_address_raises(places: Places, address: str) -> None:
    """A place is not worth a failed sign-in."""
    known = {places.find(network.split("/")[0]) for network in RECORDS}
    assert places.find(address) in known | {Place()}


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("203.0.113.1", id="no English name"),
        pytest.param("203.0.113.17", id="records of another shape"),
        pytest.param("203.0.113.33", id="names of another shape"),
        pytest.param("203.0.113.65", id="names longer than their columns"),
        pytest.param("203.0.113.81", id="names with control characters"),
    ],
)
def test_name_that_cannot_be_used_is_unknown(places: Places, address: str) -> None:
    assert places.find(address) == Place()


def test_longest_names_fit_the_columns_apart_and_together(places: Places) -> None:
    place = places.find("203.0.113.49")
    for column, text in (("LocationCity", place.city), ("LocationCountry", place.country), ("Location", place.text)):
        assert text
        assert len(text) <= getattr(sys_usersession.c[column].type, "length", 0)


def test_address_of_ipv6_has_no_place_in_a_database_of_ipv4(tmp_path: Path) -> None:
    with open_places(write_database(tmp_path / "4.mmdb", {"81.2.69.0/24": LONDON}, ip_version=4)) as places:
        assert places.find("2001:db8:1::2") == Place()
        assert places.find("81.2.69.142").city == "London"


def test_damaged_record_has_no_place(tmp_path: Path, database: Path) -> None:
    damaged = bytearray(database.read_bytes())
    start = damaged.index(b"London an der") - 100
    damaged[start : start + 200] = b"\xff" * 200
    (tmp_path / "damaged.mmdb").write_bytes(damaged)
    with open_places(tmp_path / "damaged.mmdb") as places:
        assert places.find("81.2.69.142") == Place()


def test_without_a_database_every_place_is_unknown() -> None:
    with open_places(None) as places:
        assert places.find("81.2.69.142") == Place()


def test_file_put_in_place_by_renaming_is_read_at_the_next_start(tmp_path: Path) -> None:
    path = write_database(tmp_path / "city.mmdb", {"81.2.69.0/24": LONDON})
    with open_places(path) as places:
        paris = {"81.2.69.0/24": {"city": {"names": {"en": "Paris"}}}}
        write_database(tmp_path / "new.mmdb", paris).rename(path)
        assert places.find("81.2.69.142").city == "London"
    with open_places(path) as places:
        assert places.find("81.2.69.142") == Place(city="Paris")


def test_database_is_closed_with_its_context(database: Path) -> None:
    with open_places(database) as places:
        assert places.find("81.2.69.142").city == "London"
    assert places.find("81.2.69.142") == Place()


def test_missing_file_is_a_configuration_error_that_names_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "none.mmdb"
    with pytest.raises(ConfigurationError) as caught, open_places(path):
        pass
    assert caught.value.message == (
        f"The place database {path} (geoip.database) cannot be read: No such file or directory."
    )
    assert caught.value.hint == (
        "Name a city database such as /var/lib/GeoIP/GeoLite2-City.mmdb, or leave the section [geoip] out."
    )


@pytest.mark.parametrize("content", [b"", b"not a database\n", None])
def test_broken_file_is_a_configuration_error_that_names_the_setting(
    tmp_path: Path, database: Path, content: bytes | None
) -> None:
    path = tmp_path / "broken.mmdb"
    path.write_bytes(database.read_bytes()[:-20] if content is None else content)
    with pytest.raises(ConfigurationError) as caught, open_places(path):
        pass
    assert caught.value.message == (
        f"The place database {path} (geoip.database) is no database in MaxMind's format, or is incomplete."
    )
    assert caught.value.evidence == {"setting": "geoip.database", "path": str(path)}


@pytest.mark.parametrize("name", ["", "with\0nul"])
def test_path_that_is_no_file_is_a_configuration_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\(geoip\.database\)"), open_places(tmp_path / name):
        pass


def test_setting_names_the_file_and_may_be_left_out(tmp_path: Path) -> None:
    found = load(tmp_path, f'{GOOD}\n[geoip]\ndatabase = "/var/lib/GeoIP/GeoLite2-City.mmdb"\n').geoip
    assert found is not None
    assert found.database == Path("/var/lib/GeoIP/GeoLite2-City.mmdb")
    assert load(tmp_path).geoip is None


def test_section_without_a_file_is_refused_with_an_example(tmp_path: Path) -> None:
    message = refusal(tmp_path, f"{GOOD}\n[geoip]\n")
    assert "  geoip.database: it is missing." in message
    assert 'Example: database = "/var/lib/GeoIP/GeoLite2-City.mmdb"' in message
