"""The times in an ID token: exp, iat, nbf and auth_time."""

from dataclasses import replace

import pytest

from tests.unit.id_tokens import EXPECTED, SECONDS, build_claims, refusal, sign, verify

NO_DATES = [
    pytest.param(str(SECONDS + 300), id="text"),
    pytest.param(True, id="bool"),
    pytest.param(None, id="null"),
    pytest.param(-1, id="negative"),
    pytest.param(0, id="zero"),
    pytest.param(1e300, id="1e300"),
    pytest.param(10**40, id="huge integer"),
    pytest.param(253_402_300_800, id="year 10000"),
    pytest.param(float("inf"), id="infinity"),
    pytest.param(float("-inf"), id="minus infinity"),
    pytest.param([SECONDS], id="array"),
    pytest.param({}, id="object"),
]
"""Not in the list: NaN, which equals nothing, not even itself; it has a test of its own."""


@pytest.mark.parametrize("value", NO_DATES)
@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "auth_time"])
def test_time_that_is_no_numeric_date_is_refused(name: str, value: object) -> None:
    """C7, V32: text, bool, negative and huge dates are refused without overflow (RFC 7519 2)."""
    evidence = refusal(sign(build_claims({name: value})))
    assert evidence == {"claim": name, "expected": "seconds since 1970", "found": value}


@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "auth_time"])
def test_nan_is_refused_as_a_time(name: str) -> None:
    """C7, V32: every comparison with NaN is false, so that a check written the other way round would let it pass."""
    evidence = refusal(sign(build_claims({name: float("nan")})))
    assert (evidence["claim"], str(evidence["found"])) == (name, "nan")


@pytest.mark.parametrize("name", ["exp", "iat"])
def test_required_time_that_is_missing_is_refused(name: str) -> None:
    """C7, V29; oidcc-client-test-missing-iat and invalid-missing-exp (Core 2)."""
    evidence = refusal(sign(build_claims(without=name)))
    assert evidence == {"claim": name, "expected": "seconds since 1970", "found": None}


@pytest.mark.parametrize("age", [60, 61, 7 * 86400])
def test_expired_id_token_is_refused(age: int) -> None:
    """C7; invalid-expired-exp: beyond 60 seconds of leeway (Core 3.1.3.7 (9))."""
    evidence = refusal(sign(build_claims(exp=SECONDS - age)))
    assert evidence == {"claim": "exp", "expected": f"after {SECONDS}", "found": SECONDS - age}


@pytest.mark.parametrize("expires", [SECONDS - 59, SECONDS - 59.5, SECONDS + 0.5, SECONDS + 86400])
def test_expiry_within_leeway_and_fractions_are_accepted(expires: float) -> None:
    """C7, F16: clocks differ by up to a minute; a NumericDate may have a fraction (RFC 7519 2)."""
    assert verify(sign(build_claims(exp=expires))).sub


@pytest.mark.parametrize("issued", [SECONDS - 601, SECONDS - 7 * 86400, SECONDS + 61, SECONDS + 7 * 86400])
def test_id_token_issued_at_another_time_is_refused(issued: int) -> None:
    """C7: an ID token answers a request of this very moment (Core 3.1.3.7 (10))."""
    evidence = refusal(sign(build_claims(iat=issued)))
    expected = f"about {SECONDS}; look at the clocks of both machines"
    assert evidence == {"claim": "iat", "expected": expected, "found": issued}


@pytest.mark.parametrize("issued", [SECONDS - 600, SECONDS + 60, SECONDS - 0.5])
def test_id_token_issued_about_now_is_accepted(issued: float) -> None:
    assert verify(sign(build_claims(iat=issued))).sub


def test_id_token_that_is_not_valid_yet_is_refused() -> None:
    """V29: nbf lies in the future beyond leeway (RFC 7519 4.1.5)."""
    evidence = refusal(sign(build_claims(nbf=SECONDS + 61)))
    assert evidence == {"claim": "nbf", "expected": f"before {SECONDS}", "found": SECONDS + 61}


@pytest.mark.parametrize("not_before", [SECONDS - 86400, SECONDS + 60])
def test_id_token_that_is_valid_already_is_accepted(not_before: int) -> None:
    assert verify(sign(build_claims(nbf=not_before))).sub


@pytest.mark.parametrize("max_age", [None, 0])
def test_auth_time_in_the_future_is_refused(max_age: int | None) -> None:
    """C10: nobody has signed in tomorrow (Core 2)."""
    expected = replace(EXPECTED, max_age=max_age)
    evidence = refusal(sign(build_claims(auth_time=SECONDS + 61)), expected=expected)
    assert evidence == {"claim": "auth_time", "expected": "in the past", "found": SECONDS + 61}


def test_sign_in_longer_ago_than_max_age_is_refused() -> None:
    """C10: the application asked for a fresh sign-in (Core 3.1.3.7 (13))."""
    evidence = refusal(sign(build_claims(auth_time=SECONDS - 361)), expected=replace(EXPECTED, max_age=300))
    assert evidence == {"claim": "auth_time", "expected": "at most 300 s ago", "found": SECONDS - 361}


def test_auth_time_is_required_when_max_age_was_asked_for() -> None:
    """C10: absent, it proves nothing (Core 3.1.3.7 (13))."""
    evidence = refusal(sign(build_claims(without="auth_time")), expected=replace(EXPECTED, max_age=300))
    assert evidence == {"claim": "auth_time", "expected": "seconds since 1970", "found": None}


@pytest.mark.parametrize(("max_age", "age"), [(300, 360), (300, 0), (0, 60), (None, 30 * 86400)])
def test_sign_in_within_max_age_is_accepted(max_age: int | None, age: int) -> None:
    claims = verify(sign(build_claims(auth_time=SECONDS - age)), expected=replace(EXPECTED, max_age=max_age))
    assert claims.auth_time is not None
    assert claims.auth_time.timestamp() == SECONDS - age
