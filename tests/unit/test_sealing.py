"""Sealing: a value opens in its own place, with its own key, unchanged, and nowhere else."""

import string
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.sealing import (
    LONGEST_LEGACY_TEXT,
    SealBroken,
    Sealer,
    TooLongToSeal,
    is_ours,
    open_legacy,
    open_under,
    seal_legacy,
    seal_under,
)

SECRET = "refresh-token-of-alice"
OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
PLACE = {"table": "keycloak_grant", "column": "sealed_refresh_token", "row": "session-1"}
PERSON = {"column": "Password", "package": "demo", "uuid": "11111111-1111-4111-8111-111111111111"}
CREDENTIAL = "c" * 43
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


def test_the_sealer_names_its_keys_the_sealing_one_first() -> None:
    sealer = Sealer([NEW, OLD])
    assert sealer.key_ids == (Sealer([NEW]).sealing_key_id, Sealer([OLD]).sealing_key_id)
    assert sealer.seal(SECRET, **PLACE).split(".")[1] == sealer.sealing_key_id == sealer.key_ids[0]


@settings(deadline=None)
@given(one=st.text(), other=st.text())
def test_no_bar_in_a_row_makes_it_another_row(one: str, other: str) -> None:
    """S1: what separates the parts of a place may stand in the id of a row, and shifts nothing."""
    places = [
        {"table": "t", "column": "c", "row": row} for row in (f"{one}|{other}", f"{other}|{one}", one, "c|" + one)
    ]
    sealer = Sealer([OLD])
    for place in places:
        sealed = sealer.seal(SECRET, **place)
        for elsewhere in places:
            if elsewhere["row"] == place["row"]:
                assert sealer.open(sealed, **elsewhere) == SECRET
            else:
                with pytest.raises(SealBroken):
                    sealer.open(sealed, **elsewhere)


@pytest.mark.parametrize("place", [{"table": "a|b"}, {"column": "a|b"}])
def test_a_table_or_column_with_a_bar_seals_nothing(place: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="hold no"):
        Sealer([OLD]).seal(SECRET, **{**PLACE, **place})


def test_a_text_that_was_never_sealed_is_not_in_the_evidence() -> None:
    """What stands where a key id should be may be the payload of somebody's token."""
    assert broken("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl").evidence["key_id"] == "eyJzdWIi"


@pytest.mark.parametrize("text", ["", "geheim", "grün ✓", "p" * LONGEST_LEGACY_TEXT])
def test_a_legacy_value_begins_with_a_tilde_fits_its_column_and_opens(text: str) -> None:
    sealed = seal_legacy(Sealer([OLD]), text, **PERSON)
    assert sealed.startswith("~v1.")
    assert len(sealed) <= 512
    assert is_ours(sealed)
    assert open_legacy(Sealer([NEW, OLD]), sealed, **PERSON) == text


@pytest.mark.parametrize("text", ["p" * (LONGEST_LEGACY_TEXT + 1), "ü" * 200])
def test_a_legacy_value_that_the_column_would_cut_is_refused_with_both_lengths(text: str) -> None:
    with pytest.raises(TooLongToSeal) as refused:
        seal_legacy(Sealer([OLD]), text, **PERSON)
    assert refused.value.code == "too_long_to_seal"
    assert "the column takes 512. At most 344 bytes of text fit." in refused.value.message
    assert text not in refused.value.message


@pytest.mark.parametrize(
    "moved", [{"column": "loginpassword"}, {"package": "other"}, {"uuid": "2" * 36}, {"package": "demo1", "uuid": ""}]
)
def test_a_legacy_value_moved_to_another_column_or_person_does_not_open(moved: dict[str, str]) -> None:
    """S1: whoever may write rows gives nobody the password of somebody else."""
    sealed = seal_legacy(Sealer([OLD]), SECRET, **PERSON)
    with pytest.raises(SealBroken):
        open_legacy(Sealer([OLD]), sealed, **{**PERSON, **moved})


def test_package_and_uuid_of_a_legacy_value_cannot_shift() -> None:
    sealer = Sealer([OLD])
    sealed = seal_legacy(sealer, SECRET, column="Password", package="a", uuid="b1")
    for package, uuid in (("ab", "1"), ("", "ab1"), ("ab1", "")):
        with pytest.raises(SealBroken):
            open_legacy(sealer, sealed, column="Password", package=package, uuid=uuid)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "~",
        "secret",
        "~secret",
        "~v1.secret",
        "~v1.4e5af2e7.",
        "~v1.4e5af2e7.c2hvcnQ=",
        "~v1.4E5AF2E7." + "A" * 40,
        "~v1.4e5af2e7." + "A" * 40 + " ",
        "~v2.4e5af2e7." + "A" * 40,
        "v1.4e5af2e7." + "A" * 40,
        "~~v1.4e5af2e7." + "A" * 40,
        "~v1.4e5af2e7." + "A" * 40 + "\n",
        "~$2b$12$" + "x" * 53,
    ],
)
def test_values_of_other_programs_are_not_taken_for_ours(value: str) -> None:
    assert not is_ours(value)
    with pytest.raises(SealBroken):
        open_legacy(Sealer([OLD]), value, **PERSON)


def test_a_legacy_value_that_was_cut_is_ours_and_does_not_open() -> None:
    sealed = seal_legacy(Sealer([OLD]), SECRET, **PERSON)[:-10]
    assert is_ours(sealed)
    with pytest.raises(SealBroken):
        open_legacy(Sealer([OLD]), sealed, **PERSON)


def test_text_sealed_under_a_credential_opens_with_it() -> None:
    sealed = seal_under(CREDENTIAL, SECRET, **PLACE)
    assert sealed.startswith("d1.")
    assert SECRET not in sealed
    assert sealed != seal_under(CREDENTIAL, SECRET, **PLACE)
    assert open_under(CREDENTIAL, sealed, **PLACE) == SECRET


@pytest.mark.parametrize("moved", [{"table": "oauth_state"}, {"column": "sealed_id_token"}, {"row": "session-2"}])
def test_text_sealed_under_a_credential_does_not_open_elsewhere(moved: dict[str, str]) -> None:
    sealed = seal_under(CREDENTIAL, SECRET, **PLACE)
    with pytest.raises(SealBroken):
        open_under(CREDENTIAL, sealed, **{**PLACE, **moved})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda sealed: sealed.replace("d1.", "v1.", 1),
        lambda sealed: sealed[:-8],
        lambda sealed: sealed[:10] + ("A" if sealed[10] != "A" else "B") + sealed[11:],
        lambda _sealed: "",
        lambda _sealed: Sealer([OLD]).seal(SECRET, **PLACE),
    ],
)
def test_a_changed_or_foreign_value_does_not_open_under_a_credential(spoil: Callable[[str], str]) -> None:
    with pytest.raises(SealBroken) as caught:
        open_under(CREDENTIAL, spoil(seal_under(CREDENTIAL, SECRET, **PLACE)), **PLACE)
    assert caught.value.__cause__ is None


def test_another_credential_opens_nothing() -> None:
    """RFC 5869: the key is derived from the whole secret."""
    sealed = seal_under(CREDENTIAL, SECRET, **PLACE)
    with pytest.raises(SealBroken):
        open_under(CREDENTIAL[:-1] + "d", sealed, **PLACE)
