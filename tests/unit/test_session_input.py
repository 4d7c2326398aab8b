"""What may be stored of a session: refused with a reason, or kept by a written rule; never cut silently."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import SessionRefused
from bridge.model import Device, Identity, LoginMethod, NewSession, Place, SessionType, digest
from bridge.storage.session_input import (
    LONGEST_USER_AGENT,
    check_address,
    check_new_session,
    check_text,
    check_time,
    clean_user_agent,
    device_columns,
    digest_user_agent,
    may_be_asked_for,
)
from bridge.storage.tables import sys_usersession

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
NAIVE = datetime(2026, 11, 21, 10)  # noqa: DTZ001 - what is refused
GOOD = NewSession(
    session_id="a" * 64,
    session_type=SessionType.WEB,
    credential_digest=digest("credential"),
    identity=Identity("https://kc.example/realms/demo", "sub", "demo"),
    username="alice",
    created_at=NOW,
    expires_at=NOW + timedelta(hours=8),
    auth_time=NOW,
)
TEXTS = {
    "username": ("User", 150),
    "client_id": ("ClientId", 255),
    "sid": ("Sid", 255),
    "acr": ("Acr", 255),
    "oauth_state_id": ("OauthStateId", 64),
    "device.name": ("DeviceName", 255),
    "device.device_id": ("DeviceId", 255),
    "device.device_type": ("DeviceType", 50),
    "device.operating_system": ("OperatingSystem", 100),
    "device.operating_system_version": ("OperatingSystemVersion", 50),
    "device.browser": ("Browser", 100),
    "device.browser_version": ("BrowserVersion", 50),
    "device.fingerprint": ("DeviceFingerprint", 64),
    "place.city": ("LocationCity", 255),
    "place.country": ("LocationCountry", 100),
    "identity.issuer": ("Issuer", 255),
    "identity.sub": ("Sub", 255),
    "identity.package": ("Package", 100),
}
UNSTORABLE = ["\0", "a\0b", "a\nb", "\x1b[2J", "a\x85b", "\ud800", "a\udfffb"]


def changed(**changes: Any) -> NewSession:
    return replace(GOOD, **changes)


def with_text(path: str, value: str) -> NewSession:
    """Return a session with one text changed, also inside device, place or identity."""
    outer, _, inner = path.partition(".")
    whole: Any = replace(getattr(GOOD, outer), **{inner: value}) if inner else value
    return changed(**{outer: whole})


def refusal(opened: NewSession) -> str:
    with pytest.raises(SessionRefused) as refused:
        check_new_session(opened)
    assert refused.value.code == "session_refused"
    return refused.value.message


def test_a_session_of_ordinary_values_is_accepted() -> None:
    for kind in SessionType:
        check_new_session(replace(GOOD, session_type=kind))
    check_new_session(replace(GOOD, auth_time=None, device=Device(), place=Place()))


@pytest.mark.parametrize(("path", "column", "longest"), [(path, *rest) for path, rest in TEXTS.items()])
def test_the_longest_value_of_a_column_is_kept_and_a_longer_one_refused(path: str, column: str, longest: int) -> None:
    """S1, S12: the column's own length decides, counted in characters."""
    assert getattr(sys_usersession.c[column].type, "length", None) == longest
    check_new_session(with_text(path, "\U0001f511" * longest if path != "place.city" else "x" * longest))
    message = refusal(with_text(path, "x" * (longest + 1)))
    assert message == f"{column} is {longest + 1} characters long, and at most {longest} can be stored."


@pytest.mark.parametrize("path", TEXTS)
@pytest.mark.parametrize("value", UNSTORABLE)
def test_a_text_that_a_database_would_refuse_is_refused_before(path: str, value: str) -> None:
    column = TEXTS[path][0]
    assert refusal(with_text(path, value)) == f"{column} holds characters that cannot be stored."


def test_city_and_country_must_fit_together_too() -> None:
    check_new_session(replace(GOOD, place=Place(city="c" * 153, country="d" * 100)))
    message = refusal(replace(GOOD, place=Place(city="c" * 154, country="d" * 100)))
    assert message == "Location is 256 characters long, and at most 255 can be stored."


@pytest.mark.parametrize("kind", ["desktop", "", "WEB", "web ", "x" * 1000, "web\0"])
def test_an_unknown_type_is_refused_by_name_with_those_there_are(kind: Any) -> None:
    message = refusal(replace(GOOD, session_type=kind))
    assert message == f"{kind[:60]!r} is no session type; there are web, api, mobile, console."


@pytest.mark.parametrize("method", [None, "password", "otp", "sso", "api_key", *LoginMethod])
def test_a_known_way_to_sign_in_is_accepted(method: Any) -> None:
    check_new_session(changed(login_method=method))


@pytest.mark.parametrize("method", ["", "SSO", "magic", "x" * 1000, "\ud800"])
def test_an_unknown_way_to_sign_in_is_refused_by_name_with_those_there_are(method: str) -> None:
    message = refusal(changed(login_method=method))
    assert message == f"{method[:60]!r} is no login method; there are password, otp, sso, api_key."


@pytest.mark.parametrize("path", ["username", "identity.issuer", "identity.sub", "identity.package"])
def test_an_empty_text_is_nobody(path: str) -> None:
    assert refusal(with_text(path, "")) == f"{TEXTS[path][0]} is empty."


@pytest.mark.parametrize("path", sorted({*TEXTS} - {"username", "identity.issuer", "identity.sub", "identity.package"}))
def test_any_other_text_may_be_empty(path: str) -> None:
    check_new_session(with_text(path, ""))


@pytest.mark.parametrize("name", ["created_at", "expires_at", "auth_time"])
def test_a_time_without_a_zone_is_refused(name: str) -> None:
    """S9."""
    assert refusal(changed(**{name: NAIVE})) == f"{name} has no time zone."


@pytest.mark.parametrize("later", [0, -1, -1_000_000_000])
def test_a_session_that_ends_before_it_begins_is_refused(later: int) -> None:
    expires_at = NOW + timedelta(microseconds=later)
    assert refusal(replace(GOOD, expires_at=expires_at)) == "The session would end before it begins."


def test_times_of_other_zones_are_compared_as_moments() -> None:
    zone = timezone(timedelta(hours=14))
    check_new_session(replace(GOOD, expires_at=(NOW + timedelta(seconds=1)).astimezone(zone)))
    assert "before it begins" in refusal(replace(GOOD, expires_at=(NOW - timedelta(seconds=1)).astimezone(zone)))


@pytest.mark.parametrize("name", ["session_id", "credential_digest"])
@pytest.mark.parametrize("value", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 63 + "\n", "a" * 64 + "\n"])
def test_a_handle_or_digest_is_64_hexadecimal_characters(name: str, value: str) -> None:
    """A raw credential must never get into the tables by mistake."""
    assert refusal(changed(**{name: value})) == f"{name} must be 64 hexadecimal characters."


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (None, None),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("fe80::1%" + "x" * 1000, "fe80::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
    ],
)
def test_an_address_is_kept_in_its_shortest_form_without_its_zone(text: str | None, kept: str | None) -> None:
    """S12, RFC 4007: a zone means something on one machine only."""
    found = check_address(text)
    assert (found and ip_address(found)) == (kept and ip_address(kept))
    assert found is None or len(found) <= 45


@pytest.mark.parametrize(
    "text",
    ["", " ", "unknown", "192.0.2", "192.0.2.1:443", "[::1]", "192.0.2.1, 10.0.0.1", "1\0", "\ud800", "x" * 9999],
)
def test_what_is_no_address_is_refused_and_named(text: str) -> None:
    with pytest.raises(SessionRefused) as refused:
        check_address(text)
    assert refused.value.message == f"{text[:60]!r} is no IP address."
    assert refusal(replace(GOOD, ip_address=text)) == f"{text[:60]!r} is no IP address."


@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800", "a\udfffb"])
def test_what_no_database_holds_is_not_looked_for(text: str) -> None:
    assert not may_be_asked_for(text)
    assert not may_be_asked_for("alice", None, text)


def test_everything_else_may_be_looked_for() -> None:
    """Also what the bridge itself would not store: applications write rows of their own."""
    assert may_be_asked_for(None, "", "alice", "a\tb", "\x7f", "x" * 1000, "\U0001f511", "' OR 1=1 --")


@given(st.text(st.characters()) | st.text("0123456789abcdef.:%[]/"))
def test_any_text_is_an_address_that_fits_or_is_refused(text: str) -> None:
    try:
        found = check_address(text)
    except SessionRefused:
        return
    assert found is not None
    assert len(found) <= 45


@given(st.text(st.characters(), max_size=300))
def test_any_text_fits_unchanged_or_is_refused(text: str) -> None:
    """Nothing is cut, nothing is replaced."""
    try:
        assert check_text(text, column="DeviceName") is text
    except SessionRefused:
        return
    assert len(text) <= 255
    assert "\0" not in text
    text.encode()


def test_a_column_without_a_length_takes_any_length_and_nothing_is_nothing() -> None:
    assert check_text("x" * 100_000, column="UserAgent") == "x" * 100_000
    assert check_text(None, column="DeviceName") is None


def test_a_time_with_a_zone_stays_as_it_is() -> None:
    assert check_time(NOW, field="at") is NOW
    with pytest.raises(SessionRefused, match=r"^at has no time zone\.$"):
        check_time(NAIVE, field="at")


@pytest.mark.parametrize(
    ("agent", "kept"),
    [
        (None, None),
        ("", None),
        ("Mozilla/5.0", "Mozilla/5.0"),
        ("a\0b\nc\x7fd", "a\ufffdb\ufffdc\ufffdd"),
        ("half \ud83d a pair", "half \ufffd a pair"),
        ("Firefox \u00e9\U0001f98a", "Firefox \u00e9\U0001f98a"),
        ("x" * LONGEST_USER_AGENT, "x" * LONGEST_USER_AGENT),
        ("x" * 1_000_000, "x" * LONGEST_USER_AGENT),
    ],
)
def test_a_user_agent_stops_nobody_and_is_kept_by_a_rule(agent: str | None, kept: str | None) -> None:
    """S12: the first 2,000 characters, each one that cannot be stored replaced."""
    assert clean_user_agent(agent) == kept


def test_the_digest_of_a_user_agent_is_that_of_the_whole() -> None:
    """Two long ones with the same beginning are told apart."""
    assert digest_user_agent("x" * 3000) == digest("x" * 3000) != digest_user_agent("x" * 2000 + "y" * 1000)
    assert digest_user_agent(None) is digest_user_agent("") is None
    assert len(digest_user_agent("half \ud83d a pair") or "") == 64


@given(st.text(st.characters()))
def test_any_user_agent_can_be_stored(agent: str) -> None:
    kept = clean_user_agent(agent)
    assert kept is None or (0 < len(kept) <= LONGEST_USER_AGENT and "\0" not in kept and kept.encode())
    assert (digest_user_agent(agent) is None) is (agent == "")


def test_every_fact_of_a_device_has_a_column() -> None:
    device = Device("name", "id", "desktop", "Linux", "6", "Firefox", "140", "f" * 64)
    assert device_columns(device) == {
        "DeviceName": "name",
        "DeviceId": "id",
        "DeviceType": "desktop",
        "OperatingSystem": "Linux",
        "OperatingSystemVersion": "6",
        "Browser": "Firefox",
        "BrowserVersion": "140",
        "DeviceFingerprint": "f" * 64,
    }
