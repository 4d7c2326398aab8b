"""Sealing: a value opens in its own place, with its own key, unchanged, and nowhere else."""

import string
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping

import pytest

from bridge.sealing import SealBroken, Sealer

SECRET = "refresh-token-of-alice"
OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
PLACE = {"table": "keycloak_grant", "column": "sealed_refresh_token", "row": "session-1"}
MESSAGE = "Something the bridge keeps sealed cannot be opened. Please sign in again."


def broken(sealed: str, *, keys: tuple[bytes, ...] = (OLD,), moved: Mapping[str, str] | None = None) -> SealBroken:
    """Return the error of opening a value, having checked that it gives nothing away."""
    with pytest.raises(SealBroken) as caught:
        Sealer(keys).open(sealed, **{**PLACE, **(moved or {})})
    assert caught.value.code == "seal_broken"
    assert caught.value.message == MESSAGE
    body = sealed.rpartition(".")[2]
    for told in (str(caught.value), repr(caught.value), str(caught.value.evidence), str(caught.value.hint)):
        assert SECRET not in told
        assert not body or body not in told
    assert caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize("text", ["", "a", SECRET, "grün ✓", "t" * 100_000])
def test_sealed_text_opens_in_its_own_place(text: str) -> None:
    sealer = Sealer([OLD])
    assert sealer.open(sealer.seal(text, **PLACE), **PLACE) == text


def test_sealed_text_shows_version_and_key_id_and_nothing_of_the_secret() -> None:
    """S1: Keycloak's tokens are kept encrypted, in text that every database can keep."""
    sealed = Sealer([OLD]).seal(SECRET, **PLACE)
    version, key_id, body = sealed.split(".")
    assert version == "v1"
    assert len(key_id) == 8
    assert len(urlsafe_b64decode(body)) == 12 + len(SECRET) + 16
    assert SECRET not in sealed
    assert set(sealed) <= set(string.ascii_letters + string.digits + "-_=.")


def test_sealing_twice_gives_different_values() -> None:
    """SP 800-38D 8: a nonce is never used twice with one key."""
    sealer = Sealer([OLD])
    assert sealer.seal(SECRET, **PLACE) != sealer.seal(SECRET, **PLACE)


@pytest.mark.parametrize(
    "moved",
    [{"table": "oauth_state"}, {"column": "sealed_id_token"}, {"row": "session-2"}, {"row": ""}],
)
def test_sealed_text_moved_elsewhere_does_not_open(moved: dict[str, str]) -> None:
    """S1: whoever may write rows cannot make one session use another's tokens."""
    error = broken(Sealer([OLD]).seal(SECRET, **PLACE), moved=moved)
    assert error.evidence["column"] == {**PLACE, **moved}["column"]
    assert error.hint is None


@pytest.mark.parametrize("position", [0, 11, 12, 20, -17, -16, -1])
def test_changed_byte_does_not_open(position: int) -> None:
    """SP 800-38D: nonce, ciphertext and tag are all authenticated."""
    sealed = Sealer([OLD]).seal(SECRET, **PLACE)
    head, _, body = sealed.rpartition(".")
    raw = bytearray(urlsafe_b64decode(body))
    raw[position] ^= 1
    broken(f"{head}.{urlsafe_b64encode(raw).decode()}")


@pytest.mark.parametrize("body", ["", "AAAA", "A", "!!!", "é", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA"])
def test_truncated_or_garbled_value_does_not_open(body: str) -> None:
    """S1: a column that was too short cut it."""
    head = Sealer([OLD]).seal(SECRET, **PLACE).rpartition(".")[0]
    broken(f"{head}.{body}")


def test_value_of_another_key_does_not_open_and_says_what_to_do() -> None:
    error = broken(Sealer([OTHER]).seal(SECRET, **PLACE))
    hint = "The key that sealed this value is not among sealing.keys; keep old keys behind the new one."
    assert error.hint == hint
    assert error.evidence.keys() == {"table", "column", "key_id"}


def test_value_relabelled_as_sealed_by_another_key_does_not_open() -> None:
    """The key id is a label; the tag decides."""
    version, _, body = Sealer([OTHER]).seal(SECRET, **PLACE).split(".")
    key_id = Sealer([OLD]).seal("", **PLACE).split(".")[1]
    assert broken(f"{version}.{key_id}.{body}").hint is None


@pytest.mark.parametrize("sealed", ["", "v1", "v1.", "..", "plain text", SECRET])
def test_text_that_was_never_sealed_does_not_open(sealed: str) -> None:
    broken(sealed)


def test_value_of_another_version_does_not_open() -> None:
    broken(Sealer([OLD]).seal(SECRET, **PLACE).replace("v1.", "v2.", 1))


def test_first_key_seals_and_old_keys_still_open() -> None:
    """Keys are changed by putting the new one first; nobody is signed out by that."""
    before, after = Sealer([OLD]), Sealer([NEW, OLD])
    old_value, new_value = before.seal(SECRET, **PLACE), after.seal(SECRET, **PLACE)
    assert after.open(old_value, **PLACE) == SECRET
    assert after.open(new_value, **PLACE) == SECRET
    assert Sealer([NEW]).open(new_value, **PLACE) == SECRET
    assert old_value.split(".")[1] != new_value.split(".")[1]
    broken(new_value, keys=(OLD,))
    broken(old_value, keys=(NEW,))
