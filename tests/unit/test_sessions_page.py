"""The page about sessions says what is true: limits, reasons, events, and what may be stored."""

import re
from collections.abc import Iterator
from datetime import timedelta

from bridge.config.policy import PolicySettings, RetentionSettings
from bridge.model import SessionType
from bridge.storage.lockouts import FORGOTTEN_AFTER, STEPS
from bridge.storage.schema.figures import retention_words
from bridge.storage.session_input import LONGEST_USER_AGENT, check_address, clean_user_agent
from bridge.storage.session_statements import EXPIRED, IDLE
from bridge.storage.token_families import TOKEN_THEFT
from bridge.storage.user_sessions import CLEANUP, SESSION_LIMIT
from sync.reconcile import SESSION_ENDED
from tests.documents import ROOT, code, read, rows, section

UNITS = {"hour": 3600, "day": 86400}
CODE = [*(ROOT / "bridge").rglob("*.py"), *(ROOT / "sync").rglob("*.py")]


def in_seconds(words: str) -> float | None:
    """Return a duration that is written as `8 hours`; None for `none`."""
    if words == "none":
        return None
    number, unit = words.split()
    return int(number) * UNITS[unit.removesuffix("s")]


def test_the_limits_of_each_type_are_those_that_nobody_has_set() -> None:
    found = rows(section(read("sessions.md"), "## Types and limits"), columns=5)

    policy = PolicySettings()
    assert [row[0].strip("`") for row in found] == list(SessionType)
    for kind, _, lifetime, idle, most in found:
        limits = getattr(policy, kind.strip("`"))
        assert in_seconds(lifetime) == limits.lifetime.total_seconds()
        assert in_seconds(idle) == (limits.idle.total_seconds() if limits.idle else None)
        assert int(most) == limits.max_sessions


def test_the_retentions_are_those_that_nobody_has_set() -> None:
    text = " ".join(section(read("sessions.md"), "## Clean-up").split())

    for name in ("expired_sessions", "inactive_sessions"):
        days, _, setting = retention_words()[name].partition(" (setting ")
        assert re.search(rf"{days}\b[^(]*\({re.escape(setting)}", text), name
    assert RetentionSettings().security_events.days == 365
    assert "for a year (`retention.security_events`)" in " ".join(read("sessions.md").split())


def written_reasons() -> Iterator[str]:
    """Yield the reasons that stand in the code as words."""
    for path in CODE:
        yield from re.findall(r'\breason="(\w+)"', path.read_text(encoding="utf-8"))
        yield from re.findall(r'^USER_\w+ = "(\w+)"', path.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_page_names_every_reason_there_is() -> None:
    found = {row[0].strip("`") for row in rows(section(read("sessions.md"), "## How a session ends"), columns=3)}

    known = {EXPIRED, IDLE, SESSION_LIMIT, SESSION_ENDED, TOKEN_THEFT, *written_reasons()}
    assert found == {*known, "admin"}
    assert f"| `{EXPIRED}` | `{CLEANUP}` |" in read("sessions.md")


def written_events() -> Iterator[str]:
    """Yield the names of audit events, which open an entry or are put into a copy of one."""
    for path in CODE:
        yield from re.findall(r'SecurityEvent\(\s*"(\w+)"|\bevent="(\w+)"', path.read_text(encoding="utf-8"))


def test_the_page_names_every_event_of_the_audit_trail() -> None:
    found = {row[0].strip("`") for row in rows(section(read("sessions.md"), "## The audit trail"), columns=2)}

    assert found == {name for pair in written_events() for name in pair if name}


def test_the_rules_for_what_visitors_send_are_those_of_the_page() -> None:
    text = section(read("sessions.md"), "## What may be stored")

    assert f"the first {LONGEST_USER_AGENT:,} characters are kept" in text
    assert "become `U+FFFD`" in text
    assert clean_user_agent("a\x00b" + "c" * LONGEST_USER_AGENT) == "a\N{REPLACEMENT CHARACTER}b" + "c" * 1997
    (zoned, kept) = re.findall(r"\(`(\S+)` becomes `(\S+)`\)", text)[0]
    assert check_address(zoned) == kept
    (types,) = [row[1] for row in rows(text, columns=2) if row[0] == "type"]
    assert code(types) == list(SessionType)


def test_the_steps_of_the_lockout_are_those_that_the_page_of_signing_in_tells() -> None:
    text = section(read("signing-in.md"), "## Too many failures")

    told = re.findall(r"(\d+) (minutes|hours)", text)[: len(STEPS)]
    lengths = [timedelta(**{unit: int(number)}) for number, unit in told]
    assert lengths == list(STEPS.values())
    assert [int(one) for one in re.findall(r"[Aa]fter (\d+)", text)] == list(STEPS)
    assert f"so do {FORGOTTEN_AFTER // timedelta(hours=1)} hours without a failure" in " ".join(text.split())


def test_the_way_in_leads_to_the_page() -> None:
    assert "(deploy/docs/sessions.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
