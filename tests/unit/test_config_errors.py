"""What a wrong setting is told: its name, its value unless it is a secret, and an example."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.config.policy import (
    ApiPolicySettings,
    ConsolePolicySettings,
    MobilePolicySettings,
    RetentionSettings,
    WebPolicySettings,
)
from bridge.config.section import Section
from bridge.config.sections import HttpSettings, PackageSettings, ProxiesSettings, Settings, SyncSettings
from bridge.config.values import decode_key
from tests.unit.settings import CLIENT_SECRET, GOOD, KEY, load, refusal, spoil

pytestmark = pytest.mark.usefixtures("environment_of_nobody")

PUBLIC_URL = 'public_url = "https://sso.example.com"'
ISSUER = '"https://keycloak.example.com/realms/staff"'
RETURN_TO = '["https://shop.example.com/"]'
SECTIONS: list[tuple[type[Section], str, str]] = [
    (Settings, "", "settings"),
    (HttpSettings, "[http]", "http"),
    (ProxiesSettings, "[proxies]", "proxies"),
    (PackageSettings, "[packages.staff]", "packages.staff"),
    (SyncSettings, "[packages.staff.sync]", "packages.staff.sync"),
    (WebPolicySettings, "[policy.web]", "policy.web"),
    (ApiPolicySettings, "[policy.api]", "policy.api"),
    (MobilePolicySettings, "[policy.mobile]", "policy.mobile"),
    (ConsolePolicySettings, "[policy.console]", "policy.console"),
]
LATER = [(*place, name) for kind, *place in SECTIONS for name in sorted(kind.not_available)]
KINDS_OF_SECTIONS = [kind for kind, _, _ in SECTIONS]


def kinds_of_sections(kind: type[Section] = Section) -> Iterator[type[Section]]:
    """Yield every class of a section there is; one that others extend is none itself."""
    for inner in kind.__subclasses__():
        if not inner.__subclasses__():
            yield inner
        yield from kinds_of_sections(inner)


def insert(header: str, line: str) -> str:
    """Give the good configuration with one more line in a section."""
    if not header:
        return f"{line}\n{GOOD}"
    return GOOD.replace(header, f"{header}\n{line}", 1) if header in GOOD else f"{GOOD}\n{header}\n{line}\n"


@pytest.mark.parametrize(("header", "place", "name"), LATER)
def test_setting_of_a_later_version_is_refused_by_name(tmp_path: Path, header: str, place: str, name: str) -> None:
    """A setting that is silently ignored is worse than none: a cap that caps nothing."""
    message = refusal(tmp_path, insert(header, f'{name} = "geheim"'))
    assert f"  {place}: the setting {name} is not available in this version." in message


def test_every_section_with_later_settings_is_tested_here() -> None:
    assert {kind for kind in kinds_of_sections() if kind.not_available} == set(KINDS_OF_SECTIONS)


@pytest.mark.parametrize(
    ("_kind", "header", "place"),
    [*SECTIONS, (Section, "[sealing]", "sealing"), (RetentionSettings, "[retention]", "retention")],
)
def test_unknown_setting_is_refused_by_name_without_its_value(
    tmp_path: Path, _kind: type[Section], header: str, place: str
) -> None:
    """K1: a misspelt client_secrt still holds the secret."""
    name = "client_secrt" if place == "settings" else f"{place}.client_secrt"
    message = refusal(tmp_path, insert(header, 'client_secrt = "geheim"'))
    assert f"  {name}: there is no setting of this name; please check the spelling." in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            PUBLIC_URL,
            'public_url = "http://sso.example.com"',
            "public_url = 'http://sso.example.com': http is allowed for a loopback address only",
            id="http on a host that is not this machine",
        ),
        pytest.param(PUBLIC_URL, 'public_url = "sso.example.com"', "scheme and host alone", id="no scheme"),
        pytest.param(PUBLIC_URL, 'public_url = "ftp://sso.example.com"', "scheme and host alone", id="other scheme"),
        pytest.param(PUBLIC_URL, 'public_url = "https://"', "scheme and host alone", id="no host"),
        pytest.param(PUBLIC_URL, 'public_url = "https://a.example/b"', "scheme and host alone", id="path"),
        pytest.param(PUBLIC_URL, 'public_url = "https://a.example/?b"', "scheme and host alone", id="query"),
        pytest.param(PUBLIC_URL, 'public_url = "https://a.example/#b"', "scheme and host alone", id="fragment"),
        pytest.param(PUBLIC_URL, 'public_url = "https://u@a.example"', "a user name or password", id="user"),
        pytest.param(PUBLIC_URL, 'public_url = "https://[::1"', "Invalid IPv6 URL", id="unterminated IPv6"),
        pytest.param(PUBLIC_URL, "public_url = 5", "public_url = 5: Input should be a valid string", id="number"),
        pytest.param(ISSUER, '"kc.example/realms/a"', "the address of a realm", id="issuer without scheme"),
        pytest.param(ISSUER, '"https://kc.example/realms/a?b=c"', "the address of a realm", id="issuer with query"),
        pytest.param(ISSUER, '"https://kc.example/realms/a#b"', "the address of a realm", id="issuer with fragment"),
        pytest.param(
            ISSUER,
            '"https://kc.example/realms/a/"',
            "packages.staff.issuer = 'https://kc.example/realms/a/': it must end with /realms/NAME, without a slash",
            id="issuer with a slash at its end",
        ),
        pytest.param(ISSUER, '"https://kc.example/auth"', "it must end with /realms/NAME", id="issuer of no realm"),
        pytest.param('"bridge"', '""', "packages.staff.client_id = ''", id="empty client_id"),
        pytest.param(RETURN_TO, '["https://a.example"]', "needs a path", id="return_to without a path"),
        pytest.param(RETURN_TO, '["ftp://a.example/"]', '"ftp://a.example/" must be an origin', id="return_to scheme"),
        pytest.param(RETURN_TO, '["https://a@b.example/"]', "must be an origin", id="return_to with a user"),
        pytest.param(RETURN_TO, '["https://a.example/?b"]', "must be an origin", id="return_to with a query"),
        pytest.param(RETURN_TO, '["/path"]', "must be an origin", id="return_to without a host"),
        pytest.param(RETURN_TO, '"https://a.example/"', "packages.staff.return_to = ", id="return_to is no list"),
        pytest.param("[packages.staff]", "[packages.Staff]", "packages.Staff", id="package name"),
    ],
)
def test_wrong_setting_is_named_with_value_and_example(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = GOOD.replace("packages.staff", "packages.Staff") if "Staff" in new else spoil(old, new)
    message = refusal(tmp_path, text)
    assert message.startswith(f"The configuration from {tmp_path / 'bridge.toml'} is not usable:\n  ")
    assert expected in message
    assert "      Example: " in message


@pytest.mark.parametrize(
    ("header", "line", "expected"),
    [
        ("", 'listen = "8000"', "listen = '8000': it must be HOST:PORT with a port from 1 to 65535."),
        ("", 'listen = ":8000"', "it must be HOST:PORT"),
        ("", 'listen = "localhost:0"', "it must be HOST:PORT"),
        ("", 'listen = "localhost:65536"', "it must be HOST:PORT"),
        ("", 'listen = "localhost:http"', "it must be HOST:PORT"),
        ("", 'listen = "localhost:\N{SUPERSCRIPT TWO}"', "it must be HOST:PORT"),
        ("", "listen = 8000", "listen = 8000: Input should be a valid string"),
        ("[http]", "connections = 0", "http.connections = 0: "),
        ("[http]", 'connections = "many"', "http.connections = 'many': "),
        ("[proxies]", 'trusted = ["10.0.0.1/8"]', "proxies.trusted.0 = '10.0.0.1/8': "),
        ("[proxies]", 'trusted = ["proxy.example.com"]', "proxies.trusted.0 = 'proxy.example.com': "),
        ("[proxies]", 'trusted = "127.0.0.1/32"', "proxies.trusted = '127.0.0.1/32': Input should be a valid list"),
        ("[packages.staff]", 'scopes = ["profile"]', 'packages.staff.scopes: the scope "openid" is missing'),
        ("[packages.staff]", 'scopes = ["openid", "a b"]', "a scope is one word of printable ASCII"),
        ("[packages.staff]", 'scopes = ["openid", ""]', "a scope is one word of printable ASCII"),
        ("[packages.staff]", 'scopes = ["openid", "é"]', "a scope is one word of printable ASCII"),
        ("[packages.staff.sync]", "page_size = 5", "packages.staff.sync.page_size = 5: "),
    ],
)
def test_wrong_value_in_a_section_is_named(tmp_path: Path, header: str, line: str, expected: str) -> None:
    message = refusal(tmp_path, insert(header, line))
    assert expected in message
    assert "      Example: " in message


def test_good_values_of_lists_and_addresses_are_kept(tmp_path: Path) -> None:
    text = insert("[packages.staff]", 'scopes = ["openid", "roles"]')
    settings = load(tmp_path, f'listen = "[::1]:65535"\n{text}')
    assert settings.listen == "[::1]:65535"
    assert settings.packages["staff"].scopes == ["openid", "roles"]


def test_settings_that_were_read_can_be_checked_again(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert HttpSettings.model_validate(settings.http.model_dump()) == settings.http


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8000", "http://a.localhost", "http://127.0.0.1:8000", "http://127.9.9.9", "http://[::1]:80"],
)
def test_http_is_allowed_on_this_machine(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, spoil(PUBLIC_URL, f'public_url = "{url}"')).public_url == url


@pytest.mark.parametrize(
    "host", ["localhost.evil.example", "notlocalhost", "127.0.0.1.evil.example", "10.0.0.1", "[::2]"]
)
def test_http_is_refused_on_hosts_that_look_like_this_machine(tmp_path: Path, host: str) -> None:
    """E4, K8: cookies of people would travel in clear."""
    assert "a loopback address only" in refusal(tmp_path, spoil(PUBLIC_URL, f'public_url = "http://{host}"'))


def test_hosts_are_kept_in_small_letters(tmp_path: Path) -> None:
    """Browsers send them so, and addresses are compared to the character (A11, A12)."""
    text = spoil(PUBLIC_URL, 'public_url = "https://SSO.Example.com/"')
    settings = load(tmp_path, text.replace(RETURN_TO, '["https://Shop.Example.com/Path"]'))
    assert settings.public_url == "https://sso.example.com"
    assert settings.packages["staff"].return_to == ["https://shop.example.com/Path"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (f'"{KEY}"', '"geheim"', "sealing.keys.0: it holds 4 bytes, and a key has 32."),
        (f'"{KEY}"', '"geheim!!"', "sealing.keys.0: it is not base64url text."),
        (f'"{KEY}"', '"geheimé"', "sealing.keys.0: it is not base64url text."),
        (f'"{KEY}"', f'"{KEY}", "geheim"', "sealing.keys.1: it holds 4 bytes"),
        (f'"{KEY}"', "", "sealing.keys: List should have at least 1 item"),
        (f'["{KEY}"]', f'"{KEY}"', "sealing.keys: Input should be a valid list"),
        (f'[sealing]\nkeys = ["{KEY}"]', "", "sealing: it is missing."),
        (f'"{CLIENT_SECRET}"', '""', "packages.staff.client_secret: the secret is empty."),
        (f'"{CLIENT_SECRET}"', "51423", "packages.staff.client_secret: Input should be a valid string"),
        (f'client_secret = "{CLIENT_SECRET}"', "", "packages.staff.client_secret: it is missing."),
        ('"geheim-sync"', '""', "packages.staff.sync.client_secret: the secret is empty."),
        ('url = "postgresql://bridge:geheim-database@db.example.com/sso"', 'url = ""', "database.url: the secret is"),
    ],
)
def test_wrong_secret_is_named_and_never_shown(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """K1 (ASVS 16.2.5)."""
    message = refusal(tmp_path, spoil(old, new))
    assert f"  {expected}" in message
    assert "51423" not in message
    assert "      Example: " in message


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('database = "postgresql://u:geheim@h/db"\n[sealing]', "database"),
        (f'sealing = "{KEY}"', "sealing"),
        ('packages = "geheim"', "packages"),
        ('[packages]\nstaff = "geheim"', "packages.staff"),
        ('[packages.staff]\nsync = "geheim"', "packages.staff.sync"),
        ('http = "geheim"', "http"),
        ('policy = "geheim"', "policy"),
        ('[policy]\nweb = "geheim"', "policy.web"),
    ],
)
def test_text_in_the_place_of_a_section_is_not_shown(tmp_path: Path, text: str, place: str) -> None:
    """K1: database = "postgresql://..." is an easy mistake, and the address holds a password."""
    message = refusal(tmp_path, text)
    assert f"\n  {place}: Input should be a valid dictionary" in message
    assert "      Example: " in message.split(f"\n  {place}: ")[1].split("\n  p")[0]


def test_two_packages_may_not_be_the_same_client(tmp_path: Path) -> None:
    """A7: an answer of Keycloak must belong to one package."""
    package = f'issuer = {ISSUER}\nclient_id = "bridge"\nclient_secret = "other"\n'
    message = refusal(tmp_path, f"{GOOD}\n[packages.copy]\n{package}")
    assert "the packages staff and copy have the same issuer and client_id; give each its own client" in message


@pytest.mark.parametrize("difference", [("bridge", "bridge-2"), ("realms/staff", "realms/other")])
def test_two_packages_of_different_clients_are_fine(tmp_path: Path, difference: tuple[str, str]) -> None:
    package = f'issuer = {ISSUER}\nclient_id = "bridge"\nclient_secret = "other"\n'.replace(*difference)
    assert set(load(tmp_path, f"{GOOD}\n[packages.other]\n{package}").packages) == {"staff", "other"}


def test_every_wrong_setting_is_named_at_once(tmp_path: Path) -> None:
    text = spoil(PUBLIC_URL, 'public_url = "x"').replace(ISSUER, '"y"').replace('"bridge"', '""')
    message = refusal(tmp_path, text)
    assert all(
        f"\n  {name} = " in message for name in ("public_url", "packages.staff.issuer", "packages.staff.client_id")
    )


@pytest.mark.parametrize(
    "text",
    [
        urlsafe_b64encode(b"\xff" * 32).decode(),
        b64encode(b"\xff" * 32).decode(),
        b64encode(b"\xff" * 32).decode().rstrip("="),
        f" {b64encode(bytes([255] * 32)).decode()}\n",
    ],
)
def test_sealing_key_may_be_base64_or_base64url_with_or_without_padding(text: str) -> None:
    assert decode_key(text) == b"\xff" * 32
