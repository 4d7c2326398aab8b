"""Every error of the bridge, and what three audiences learn from it.

    BridgeError
    ├── ConfigurationError          a setting is wrong or missing (exit status 2)
    ├── RequestRefused              the visitor's request cannot be honoured as it stands
    │   ├── UnknownPackage  DuplicatedParameter  ReturnToRefused  HintRefused  FormRefused  UnsupportedForm  NotSignedIn
    ├── SignInRefused               a sign-in ends here
    │   ├── StateUnknown  StateExpired  StateOfOtherPackage  OtherBrowser  CookiesRefused  TooManyWaiting
    │   ├── AnswerRefused  AuthorizationFailed  LoginTimedOut  SignInInterrupted
    │   ├── TokenResponseRefused  IdTokenRefused
    │   └── UserDisabled  IdentityConflict  UsernameRefused  UsernameMissing
    ├── KeycloakError
    │   ├── KeycloakUnavailable     nothing was sent, or a read may be repeated
    │   ├── OutcomeUnknown          something was sent and the answer is lost: never repeat it
    │   ├── KeycloakAnswerInvalid   an answer that is no answer
    │   └── PermissionMissing       the service account may not
    └── StorageError
        ├── DatabaseUnavailable  DatabaseUnfit  SchemaOutdated
        └── LeaseHeld  LeaseLost

The docstring of a class is its default message: safe for the person in front of the browser, and it says what to do
now. `hint` is for whoever configures the bridge, `evidence` (expected and found) is for the log alone; neither ever
holds a secret.
"""

from collections.abc import Mapping
from typing import ClassVar


class BridgeError(Exception):
    """Something went wrong inside the bridge. Please try again."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        evidence: Mapping[str, object] | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Take the texts; `retry_after` is in seconds."""
        self.message = message or " ".join((type(self).__doc__ or self.code).split())
        self.hint = hint
        self.evidence = dict(evidence or {})
        self.retry_after = retry_after
        super().__init__(self.message)


class ConfigurationError(BridgeError):
    """The configuration of the bridge is not usable."""

    code = "configuration"


class RequestRefused(BridgeError):
    """The request cannot be honoured as it stands."""

    code = "request_refused"
    status = 400


class UnknownPackage(RequestRefused):
    """There is no application area of this name here. Please check the address."""

    code = "unknown_package"
    status = 404


class DuplicatedParameter(RequestRefused):
    """The address carries the same parameter twice. Please start again from your application."""

    code = "duplicated_parameter"


class ReturnToRefused(RequestRefused):
    """The address to return to is not one that this sign-in may send you to."""

    code = "return_to_refused"


class HintRefused(RequestRefused):
    """The sign-in was asked for in a way that cannot be honoured."""

    code = "hint_refused"


class FormRefused(RequestRefused):
    """This form has expired or was sent from another site. Please load the page again and retry."""

    code = "form_refused"
    status = 403


class NotSignedIn(RequestRefused):
    """You are not signed in."""

    code = "not_signed_in"
    status = 401


class SignInRefused(BridgeError):
    """You could not be signed in."""

    code = "sign_in_refused"
    status = 400


class StateUnknown(SignInRefused):
    """This sign-in is not known here any more. Please start again from your application."""

    code = "state_unknown"


class StateExpired(SignInRefused):
    """This sign-in took too long and has expired. Please start again from your application."""

    code = "state_expired"


class StateOfOtherPackage(SignInRefused):
    """This sign-in was begun for another application area. Please start again from your application."""

    code = "state_of_other_package"


class OtherBrowser(SignInRefused):
    """This sign-in was begun in another browser or window. Please start again in this one."""

    code = "other_browser"


class CookiesRefused(SignInRefused):
    """Your browser did not keep the cookie of this sign-in. Please allow cookies for this site and start again."""

    code = "cookies_refused"


class TooManyWaiting(SignInRefused):
    """This sign-in was requested too often at the same moment. Please wait a moment and reload."""

    code = "too_many_waiting"
    status = 429


class AnswerRefused(SignInRefused):
    """The answer of the sign-in service does not belong to this sign-in. Please start again from your application."""

    code = "answer_refused"


class AuthorizationFailed(SignInRefused):
    """The sign-in service ended the sign-in. Please start again from your application."""

    code = "authorization_failed"
    status = 403


class LoginTimedOut(AuthorizationFailed):
    """The sign-in service waited too long for you. Please start again from your application."""

    code = "login_timed_out"


class SignInInterrupted(SignInRefused):
    """The sign-in was interrupted before it was complete. Please start again from your application."""

    code = "sign_in_interrupted"
    status = 503


class TokenResponseRefused(SignInRefused):
    """The sign-in service did not confirm this sign-in. Please start again from your application."""

    code = "token_response_refused"
    status = 502


class IdTokenRefused(SignInRefused):
    """The sign-in service sent a proof of identity that is not valid. You have not been signed in."""

    code = "id_token_refused"
    status = 502


class UserDisabled(SignInRefused):
    """This account is disabled. Please ask your administrator."""

    code = "user_disabled"
    status = 403


class IdentityConflict(SignInRefused):
    """This user name already belongs to another account here. Please ask your administrator to resolve it."""

    code = "identity_conflict"
    status = 409


class UsernameRefused(SignInRefused):
    """This user name cannot be used here. Please ask your administrator."""

    code = "username_refused"
    status = 409


class UsernameMissing(UsernameRefused):
    """The sign-in service did not tell a user name that can be used here. Please ask your administrator."""

    code = "username_missing"


class UnsupportedForm(RequestRefused):
    """This address takes the form of its own page only."""

    code = "unsupported_form"
    status = 415


class KeycloakError(BridgeError):
    """The sign-in service answered in a way that cannot be used. Please try again later."""

    code = "keycloak_error"
    status = 502


class KeycloakUnavailable(KeycloakError):
    """The sign-in service cannot be reached at the moment. Please try again in a few seconds."""

    code = "keycloak_unavailable"
    status = 503


class OutcomeUnknown(KeycloakError):
    """The answer of the sign-in service was lost on the way. Please start again from your application."""

    code = "outcome_unknown"


class KeycloakAnswerInvalid(KeycloakError):
    """The sign-in service answered something that cannot be read. Please try again later."""

    code = "keycloak_answer_invalid"


class PermissionMissing(KeycloakError):
    """The service account lacks a permission at Keycloak."""

    code = "permission_missing"


class StorageError(BridgeError):
    """The data of the bridge cannot be read or written at the moment. Please try again in a few seconds."""

    code = "storage_error"
    status = 503


class DatabaseUnavailable(StorageError):
    """The database of the bridge cannot be reached at the moment. Please try again in a few seconds."""

    code = "database_unavailable"


class DatabaseUnfit(StorageError):
    """The database of the bridge is set up in a way that would lose or shift data."""

    code = "database_unfit"


class SchemaOutdated(StorageError):
    """The tables of the bridge are not those of this version."""

    code = "schema_outdated"


class LeaseHeld(StorageError):
    """Another worker is doing this job at the moment."""

    code = "lease_held"


class LeaseLost(StorageError):
    """Another worker has taken this job over."""

    code = "lease_lost"


def find_error(code: str) -> type[BridgeError]:
    """Return the class of a stored error code, so that a repeated request gets the same answer as the first."""
    waiting: list[type[BridgeError]] = [BridgeError]
    while waiting:
        kind = waiting.pop()
        if kind.code == code and kind.__module__.startswith("bridge."):
            return kind
        waiting.extend(kind.__subclasses__())
    return SignInRefused
