"""The cookie that binds a pending login to its browser: one a login, at most five."""

from datetime import timedelta

import pytest
from starlette.responses import Response

from bridge.model import digest
from bridge.web import cookies
from tests.unit.test_cookies import BINDING, LOGIN_NAME, NOW, STATE, assert_safe, request, set_cookies

DAY = 24 * 3600
SECONDS = int(NOW.timestamp())


def pending(number: int, *, begun: int) -> str:
    """Give the cookie of a pending login."""
    return f"__Host-kb_login_{number:016x}={begun}.{BINDING}"


def bind(*headers: str | bytes) -> dict[str, tuple[str, dict[str, str]]]:
    """Begin a login in a browser that sends these cookies; return what it is told to keep and drop."""
    response = Response()
    cookies.set_binding(request(*headers), response, state_digest=digest(STATE), binding=BINDING, now=NOW)
    return set_cookies(response)


def test_binding_cookie_has_the_attributes_of_a_host_cookie() -> None:
    """A3, E4: it lives a day, so that a late duplicate is still known as this browser's."""
    [(name, (value, attributes))] = bind().items()
    assert (name, value) == (LOGIN_NAME, f"{SECONDS}.{BINDING}")
    assert_safe(attributes, max_age=DAY)


def test_binding_is_read_back_for_its_own_state_alone() -> None:
    """A3: bound to the browser and to this very login."""
    [(name, (value, _))] = bind().items()
    assert cookies.read_binding(request(f"{name}={value}"), STATE) == BINDING
    assert cookies.read_binding(request(f"{name}={value}"), "another state") is None
    assert cookies.read_binding(request(), STATE) is None


@pytest.mark.parametrize(
    "value",
    [
        BINDING,
        f'"1.{BINDING}"',
        f"1.{BINDING}x",
        f".{BINDING}",
        f"-1.{BINDING}",
        f"1234567890123.{BINDING}",
        f"1.{BINDING[:-1]}",
        f"1.{BINDING}; {LOGIN_NAME}=2.{'e' * 43}",
        f"1.{BINDING}; {LOGIN_NAME}=2.{BINDING}",
        "",
    ],
)
def test_binding_of_another_form_or_given_twice_reads_as_none(value: str) -> None:
    """V51: a planted cookie beside ours makes both worthless."""
    assert cookies.read_binding(request(f"{LOGIN_NAME}={value}"), STATE) is None


@pytest.mark.parametrize("number", [0, 1, 4])
def test_up_to_five_logins_are_pending_in_a_browser(number: int) -> None:
    """V8: tabs opened at the same moment do not fight."""
    sent = "; ".join(pending(i, begun=SECONDS - i) for i in range(number))
    assert list(bind(sent)) == [LOGIN_NAME]


@pytest.mark.parametrize("number", [5, 6, 50])
def test_oldest_pending_logins_go_first(number: int) -> None:
    """V8: cookies do not grow without end, nor does an answer: it takes at most twenty away."""
    sent = "; ".join(pending(i, begun=SECONDS - i) for i in range(number))
    told = bind(sent)
    dropped = [name for name in told if name != LOGIN_NAME]
    assert sorted(dropped) == sorted(f"__Host-kb_login_{i:016x}" for i in range(max(4, number - 20), number))
    for name in dropped:
        assert told[name][0].strip('"') == ""
        assert_safe(told[name][1], max_age=0)


def test_age_is_compared_as_a_number() -> None:
    """V8: 9 is older than 10."""
    sent = "; ".join(pending(i, begun=begun) for i, begun in enumerate([10, 11, 9, 100, 12]))
    assert sorted(bind(sent)) == sorted([LOGIN_NAME, f"__Host-kb_login_{2:016x}"])


def test_other_cookies_are_left_alone() -> None:
    sent = "; ".join(f"other{i}=1.{BINDING}; __Host-kb-p{i}={BINDING}" for i in range(20))
    assert list(bind(sent)) == [LOGIN_NAME]


@pytest.mark.parametrize("name", [b"a/b", b"a b", b"a,b", b'a"b', b"\xe9", b"(", b"0" * 5000])
def test_planted_cookie_with_an_odd_name_does_not_prevent_a_login(name: bytes) -> None:
    """V51, V52: names that are not ours are neither counted nor repeated in an answer."""
    planted = [b"__Host-kb_login_%s%d=%d.%s" % (name, i, i, BINDING.encode()) for i in range(6)]
    assert list(bind(b"; ".join(planted))) == [LOGIN_NAME]


def test_life_of_a_binding_is_that_of_a_consumed_state() -> None:
    assert timedelta(days=1) == cookies.PENDING_LIFE
