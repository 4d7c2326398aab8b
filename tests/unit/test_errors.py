"""The errors: what each of the three audiences learns."""

import inspect
import re

import pytest

from bridge import errors
from bridge.errors import BridgeError, IdTokenRefused, SignInRefused, find_error
from bridge.oidc.keys import UnknownKey
from bridge.sealing import SealBroken

KINDS: list[type[BridgeError]] = [
    kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, BridgeError)
]
END_A_SIGN_IN = [kind for kind in KINDS if issubclass(kind, SignInRefused | errors.KeycloakError)]
"""What a flow may store as the outcome of a sign-in, beside UnknownKey and SealBroken."""


@pytest.mark.parametrize("kind", KINDS)
def test_docstring_is_the_default_message_on_one_line(kind: type[BridgeError]) -> None:
    error = kind()
    assert error.message == " ".join(str(kind.__doc__).split())
    assert str(error) == error.message
    assert "\n" not in error.message
    assert error.message.endswith(".")


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_code_and_a_status_of_its_kind(kind: type[BridgeError]) -> None:
    assert re.fullmatch(r"[a-z_]+", kind.code)
    assert 400 <= kind.status <= 599


def test_no_two_errors_share_a_code() -> None:
    kinds: list[type[BridgeError]] = [*KINDS, UnknownKey, SealBroken]
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", KINDS)
def test_tree_in_the_docstring_names_every_error(kind: type[BridgeError]) -> None:
    assert re.search(rf"\b{kind.__name__}\b", str(errors.__doc__))


def test_error_keeps_its_three_texts_apart() -> None:
    evidence = {"expected": "a", "found": "b"}
    error = BridgeError("Something.", hint="Do this.", evidence=evidence, retry_after=5)
    evidence["found"] = "changed afterwards"
    assert (error.message, error.hint, error.retry_after) == ("Something.", "Do this.", 5)
    assert error.evidence == {"expected": "a", "found": "b"}
    assert str(error) == "Something."


def test_error_without_texts_has_no_hint_and_no_evidence() -> None:
    error = BridgeError()
    assert (error.hint, error.evidence, error.retry_after) == (None, {}, None)


@pytest.mark.parametrize("kind", [*END_A_SIGN_IN, UnknownKey, SealBroken])
def test_stored_code_of_a_failed_sign_in_finds_its_error_again(kind: type[BridgeError]) -> None:
    """B1, F18: a repeated callback gets the same answer as the first, status and text."""
    assert find_error(kind.code) is kind


def test_stored_code_of_another_version_is_a_refused_sign_in() -> None:
    assert find_error("of_a_later_version") is SignInRefused


def test_unknown_key_is_a_refused_id_token() -> None:
    """C6: whoever does not fetch the keys again treats it as any other refusal."""
    assert issubclass(UnknownKey, IdTokenRefused)
    assert UnknownKey.status == IdTokenRefused.status
