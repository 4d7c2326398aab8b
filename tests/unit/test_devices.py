"""Devices: what a user agent tells, what it may not do to the database, and when two devices count as one."""

import hashlib
import re
from dataclasses import asdict

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ua_parser.regex import Resolver

from bridge import devices
from bridge.devices import DeviceRefused, describe_device, warm_up
from bridge.errors import RequestRefused
from bridge.model.sessions import Device
from bridge.storage.tables import sys_usersession

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"
SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) {SAFARI} Mobile/15E148 Safari/604.1"
COLUMNS = {
    "name": "DeviceName",
    "device_id": "DeviceId",
    "device_type": "DeviceType",
    "operating_system": "OperatingSystem",
    "operating_system_version": "OperatingSystemVersion",
    "browser": "Browser",
    "browser_version": "BrowserVersion",
    "fingerprint": "DeviceFingerprint",
}
KINDS = {"desktop", "mobile", "tablet", "tv", "bot", None}


@pytest.mark.parametrize(
    ("user_agent", "system", "browser", "name"),
    [
        (FIREFOX, ("Linux", None), ("Firefox", "128.0"), "Firefox on Linux"),
        (WINDOWS, ("Windows", "10"), ("Chrome", "126.0.0.0"), "Chrome on Windows"),
        (IPHONE, ("iOS", "17.5.1"), ("Mobile Safari", "17.5"), "Mobile Safari on iOS"),
        ("curl/8.5.0", (None, None), ("curl", "8.5.0"), "curl"),
        ("MyApp/1.0 (build:7; iOS 17.5.0) Alamofire/5.9.1", ("iOS", "17.5.0"), (None, None), "iOS"),
        ("Dalvik/2.1.0 (Linux; U; Android 13; Pixel 7)", ("Android", "13"), ("Android", "13"), "Android"),
    ],
)
def test_system_browser_and_a_name_of_both_are_read_from_the_user_agent(
    user_agent: str, system: tuple[str | None, str | None], browser: tuple[str | None, str | None], name: str
) -> None:
    found = describe_device(user_agent)
    assert (found.operating_system, found.operating_system_version) == system
    assert (found.browser, found.browser_version) == browser
    assert found.name == name


@pytest.mark.parametrize(
    ("user_agent", "kind"),
    [
        (FIREFOX, "desktop"),
        (WINDOWS, "desktop"),
        ("Mozilla/5.0 (Windows NT 6.1; Trident/7.0; Tablet PC 2.0; rv:11.0) like Gecko", "desktop"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36", "desktop"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {SAFARI} Safari/605.1.15", "desktop"),
        (IPHONE, "mobile"),
        ("MyApp/1 (iPhone14,2; iOS 17.1)", "mobile"),
        ("PlutoTV/5.1 (iPhone; iOS 17.1)", "mobile"),
        (f"Mozilla/5.0 (Linux; Android 10; K) {CHROME} Mobile Safari/537.36", "mobile"),
        ("Opera/9.80 (Android 2.3; Opera Mobi/1; U) Presto/2.12 Version/12.11", "mobile"),
        ("Mozilla/5.0 (Phone; OpenHarmony 5.0) ArkWeb/4.1", "mobile"),
        (f"Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) {SAFARI} Mobile/15E148 Safari/604.1", "tablet"),
        (f"Mozilla/5.0 (Linux; Android 10; K) {CHROME} Safari/537.36", "tablet"),
        ("Mozilla/5.0 (Android 13; Tablet; rv:109.0) Gecko/109.0 Firefox/118.0", "tablet"),
        (f"Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7233; wv) {CHROME} Mobile Safari/537.36", "tv"),
        (f"Mozilla/5.0 (Web0S; Linux/SmartTV) {CHROME} Safari/537.36", "tv"),
        ("AppleTV11,1/11.1", "tv"),
        (f"Mozilla/5.0 (PlayStation; PlayStation 5/2.26) {SAFARI} Safari/605.1.15", "tv"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) {CHROME} Edge/44.18", "tv"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"),
        (f"Mozilla/5.0 (Linux; Android 6) {CHROME} Mobile Safari/537.36 (compatible; Googlebot/2.1)", "bot"),
    ],
)
def test_kind_of_device_is_told_where_the_user_agent_says_so(user_agent: str, kind: str) -> None:
    assert describe_device(user_agent).device_type == kind


@pytest.mark.parametrize(
    "user_agent",
    [
        pytest.param("aws-cli/2.15 Python/3.11 Linux/5.15", id="a program without a screen"),
        pytest.param("MyApp/3.1 (Android 14; Pixel 8) okhttp/4.12.0", id="an app on a phone or a tablet"),
        pytest.param("MyApp/5 CFNetwork/1474 Darwin/23.0.0", id="an app on a phone, a tablet or a Mac"),
        pytest.param(f"Mozilla/5.0 (Linux; Android 12; Quest 3) {CHROME} VR Safari/537.36", id="a headset"),
        pytest.param("Mozilla/5.0 (Tizen 4.0; SAMSUNG SM-R800)", id="a watch"),
    ],
)
def test_kind_of_device_is_unknown_where_the_user_agent_leaves_it_open(user_agent: str) -> None:
    assert describe_device(user_agent).device_type is None


@pytest.mark.parametrize("user_agent", [None, "", " ", "-", "Other", "\0", "\ud800", "a" * 2000])
def test_user_agent_that_tells_nothing_leaves_everything_unknown(user_agent: str | None) -> None:
    assert describe_device(user_agent) == Device()


def test_user_agent_is_read_to_its_2000th_character_only() -> None:
    """Parsing costs by length, and the length is the visitor's choice."""
    assert describe_device(FIREFOX.ljust(2000) + "a" * 1_000_000) == describe_device(FIREFOX)
    assert describe_device(" " * 2000 + FIREFOX) == Device()


def test_browser_whose_name_fits_no_column_is_unknown_with_its_version() -> None:
    longest = describe_device("x" * 100 + "/5 CFNetwork/1474 Darwin/23.0.0")
    too_long = describe_device("x" * 101 + "/5 CFNetwork/1474 Darwin/23.0.0")
    assert (longest.browser, longest.browser_version) == ("x" * 100, "5")
    assert (too_long.browser, too_long.browser_version, too_long.operating_system) == (None, None, "iOS")


def test_version_that_fits_no_column_is_unknown_rather_than_another_one() -> None:
    longest, too_long = describe_device(f"curl/{'1' * 50}"), describe_device(f"curl/{'1' * 51}")
    assert (longest.browser, longest.browser_version) == ("curl", "1" * 50)
    assert (too_long.browser, too_long.browser_version) == ("curl", None)


@settings(deadline=None)
@given(user_agent=st.text(st.characters(), max_size=2500))
@example(FIREFOX.replace("128.0", "128\x00\ud800\u202e"))
@example("\0MyApp\x85\ud83d/5 CFNetwork/1474 Darwin/23.0.0")
@example(f"{'é' * 300}/5 CFNetwork/1474 Darwin/23.0.0")
def test_no_user_agent_raises_or_reaches_the_database_unfit(user_agent: str) -> None:
    """Hostile bytes in a header must neither keep anybody from signing in nor break a row."""
    assert_fits(describe_device(user_agent))


@settings(deadline=None)
@given(st.text(st.characters(), max_size=300), st.text(st.characters(), max_size=300))
def test_what_an_app_gives_is_kept_as_it_is_or_refused(device_id: str, device_name: str) -> None:
    try:
        found = describe_device(None, device_id=device_id, device_name=device_name)
    except DeviceRefused:
        return
    assert_fits(found)
    assert found.device_id == (device_id if device_id.strip() else None)
    assert found.name == (device_name if device_name.strip() else None)


def assert_fits(device: Device) -> None:
    """Assert that every value may stand in its column."""
    for field, value in asdict(device).items():
        if value is not None:
            assert 0 < len(value) <= getattr(sys_usersession.c[COLUMNS[field]].type, "length", 0)
            assert not re.search("[\x00-\x1f\x7f-\x9f\u202e]", value)
            assert value.encode("utf-8").decode("utf-8") == value
    assert device.device_type in KINDS


@pytest.mark.parametrize(
    "name", ["Zoë's phone", "家庭用タブレット", "🏴\U000e0067\U000e0062\U000e007f 👨‍👩‍👧", "x" * 255, " a "]
)
def test_name_given_by_the_app_wins_and_is_kept_to_the_letter(name: str) -> None:
    assert describe_device(FIREFOX, device_name=name).name == name


def test_blank_name_and_identifier_are_not_given() -> None:
    assert describe_device(FIREFOX, device_id="", device_name="  ") == describe_device(FIREFOX)


@pytest.mark.parametrize("field", ["device_id", "device_name"])
def test_overlong_value_given_by_an_app_is_refused_and_never_cut(field: str) -> None:
    with pytest.raises(DeviceRefused) as caught:
        describe_device(FIREFOX, **{field: "x" * 256})
    assert caught.value.message == f"The {field} is 256 characters long; at most 255 can be kept."
    assert caught.value.evidence == {"field": field, "length": 256, "longest": 255}
    assert isinstance(caught.value, RequestRefused)
    assert (caught.value.code, caught.value.status) == ("device_refused", 400)


@pytest.mark.parametrize("field", ["device_id", "device_name"])
@pytest.mark.parametrize("character", ["\0", "\n", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\u2066", "\udc80"])
def test_value_with_characters_that_cannot_be_kept_is_refused(field: str, character: str) -> None:
    with pytest.raises(DeviceRefused) as caught:
        describe_device(FIREFOX, **{field: f"phone{character}"})
    assert caught.value.message == f"The {field} holds characters that cannot be kept."


def test_fingerprint_of_a_device_is_the_same_in_every_version_of_the_bridge() -> None:
    """It is compared with stored ones: another way to make it would turn every device into a new one."""
    expected = hashlib.sha256(b'["desktop", "Linux", "Firefox", "phone-1"]').hexdigest()
    assert describe_device(FIREFOX, device_id="phone-1").fingerprint == expected


def test_update_of_browser_or_system_and_another_name_make_no_new_device() -> None:
    first = describe_device(IPHONE, device_id="phone-1", device_name="Phone")
    updated = describe_device(
        IPHONE.replace("17_5_1", "18_0").replace("17.5", "18.0"), device_id="phone-1", device_name="Old phone"
    )
    assert updated.operating_system_version == "18.0"
    assert updated.fingerprint == first.fingerprint


def test_another_kind_system_browser_or_identifier_makes_another_device() -> None:
    android = f"Mozilla/5.0 (Linux; Android 10; K) SamsungBrowser/25.0 {CHROME} Safari/537.36"
    agents = [FIREFOX, FIREFOX.replace("Linux", "Ubuntu; Linux"), WINDOWS, IPHONE, android, f"{android} Mobile"]
    prints = [describe_device(agent).fingerprint for agent in agents]
    prints += [describe_device(FIREFOX, device_id=given).fingerprint for given in ("a", "b")]
    prints.append(describe_device(None, device_id="a").fingerprint)
    assert None not in prints
    assert len(set(prints)) == len(prints)


def test_nothing_known_has_no_fingerprint_and_a_name_alone_tells_nothing() -> None:
    assert describe_device(None, device_name="Phone") == Device(name="Phone")


def test_warm_up_loads_the_patterns_of_the_rust_core() -> None:
    """The fallback in Python takes 70 times as long for every sign-in."""
    devices._load_parser.cache_clear()
    warm_up()
    assert devices._load_parser.cache_info().currsize == 1
    assert isinstance(devices._load_parser().resolver, Resolver)
