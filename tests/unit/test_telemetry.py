"""Logs: nothing secret, one line an event, and which request it belongs to."""

import json
import sys

import pytest

from bridge.telemetry import REDACTED, REQUEST_ID, SECRET_NAMES, configure_logging, get_logger, redact

pytestmark = pytest.mark.usefixtures("logging_as_it_was")


def read(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """Return the one event that was logged."""
    [line] = capsys.readouterr().err.splitlines()
    event: dict[str, object] = json.loads(line)
    return event


@pytest.mark.parametrize("name", sorted(SECRET_NAMES))
@pytest.mark.parametrize("value", ["geheim", None, 5, ["geheim"], {"a": "geheim"}])
def test_value_with_the_name_of_a_secret_is_blanked(name: str, value: object) -> None:
    """K1, V56 (ASVS 16.2.5): whatever it holds."""
    assert redact(None, "info", {"event": "x", name: value}) == {"event": "x", name: REDACTED}


@pytest.mark.parametrize(
    "name",
    [
        *("access_token", "authorization", "client_secret", "code", "code_verifier", "cookie", "id_token"),
        *("id_token_hint", "logout_token", "nonce", "password", "refresh_token", "state"),
    ],
)
def test_names_of_the_protocol_are_secret(name: str) -> None:
    """K1: these travel in every sign-in."""
    assert name in SECRET_NAMES


def test_nested_secrets_are_blanked_and_the_original_is_kept() -> None:
    """K1: the evidence of an error is a table in a table."""
    evidence = {"code": "geheim", "deeper": {"state": "geheim", "claim": "iss"}}
    event = redact(None, "info", {"event": "refused", "evidence": evidence})
    assert event["evidence"] == {"code": REDACTED, "deeper": {"state": REDACTED, "claim": "iss"}}
    assert evidence["code"] == "geheim"


@pytest.mark.parametrize(
    "value", [[{"code": "geheim"}], ({"code": "geheim"},), {"list": [{"deep": {"code": "geheim"}}]}]
)
def test_secrets_inside_lists_are_blanked(value: object) -> None:
    """K1, V56: a list hides nothing."""
    assert "geheim" not in str(redact(None, "info", {"event": "x", "value": value}))


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "COOKIE", "Access_Token"])
def test_names_of_secrets_know_no_case(name: str) -> None:
    """K1: headers are spelled in every way."""
    assert redact(None, "info", {"event": "x", "headers": {name: "geheim"}})["headers"] == {name: REDACTED}


@pytest.mark.parametrize("text", ["a\nlevel=info forged", "a\r\nforged", "a\rforged"])
def test_line_breaks_in_a_value_are_neutralised(text: str) -> None:
    """K2 (ASVS 16.4.1): nobody writes lines of their own into the log."""
    event = redact(None, "info", {"event": text, "error": text, "evidence": {"found": text}})
    for value in (event["event"], event["error"], event["evidence"]["found"]):
        assert "\n" not in value
        assert "\r" not in value
        assert value.startswith("a\\")


@pytest.mark.parametrize("text", ["\x1b[2Jcleared", "\x00", "\x9b31m", "a\x85b", "a\u2028b", "a\u202eb"])
def test_controls_of_a_terminal_are_neutralised(text: str) -> None:
    """K2 (ASVS 16.4.1): a visitor's text does not move the cursor of whoever reads the log."""
    assert redact(None, "info", {"event": "x", "error": text})["error"].isprintable()


def test_long_values_are_cut() -> None:
    event = redact(None, "info", {"event": "x", "error": "e" * 10_000})
    assert event["error"] == "e" * 500


def test_other_values_stay_as_they_are() -> None:
    event = {"event": "x", "number": 5, "none": None, "flag": True, "list": ["a"], "exception": "line\nline"}
    assert redact(None, "info", dict(event)) == event


def test_event_carries_level_time_and_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    """K3: one JSON object a line, with UTC time (ASVS 16.2.2)."""
    configure_logging()
    known = REQUEST_ID.set("request-1")
    try:
        get_logger().info("signed_in", package="staff", code="geheim", error="a\nb")
    finally:
        REQUEST_ID.reset(known)
    event = read(capsys)
    assert str(event.pop("timestamp")).endswith("Z")
    assert event == {
        "event": "signed_in",
        "level": "info",
        "request_id": "request-1",
        "package": "staff",
        "code": REDACTED,
        "error": "a\\nb",
    }


def test_event_outside_a_request_has_no_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    get_logger().info("serving")
    assert "request_id" not in read(capsys)


def test_request_id_given_by_hand_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    known = REQUEST_ID.set("request-1")
    try:
        get_logger().info("answered", request_id="request-2")
    finally:
        REQUEST_ID.reset(known)
    assert read(capsys)["request_id"] == "request-2"


def test_level_decides_what_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="warning")
    get_logger().info("quiet")
    get_logger().warning("loud")
    assert read(capsys)["event"] == "loud"


def test_terminal_gets_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    configure_logging()
    get_logger().info("signed_in", code="geheim")
    written = capsys.readouterr().err
    assert "signed_in" in written
    assert "geheim" not in written
    assert not written.startswith("{")
