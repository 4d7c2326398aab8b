"""Every error of the bridge, and what three audiences learn from it.

    BridgeError
    ├── ConfigurationError          a setting is wrong or missing (exit status 2)
    ├── RequestRefused              the visitor's request cannot be honoured as it stands
    │   ├── UnknownPackage  DuplicatedParameter  ReturnToRefused  HintRefused  FormRefused  UnsupportedForm  NotSignedIn
    │   └── SessionUnknown  LockedOut
    ├── SignInRefused               a sign-in ends here
    │   ├── StateUnknown  StateExpired  StateOfOtherPackage  OtherBrowser  CookiesRefused  TooManyWaiting
    │   ├── AnswerRefused  AuthorizationFailed  LoginTimedOut  SignInInterrupted
    │   ├── TokenResponseRefused  IdTokenRefused
    │   ├── UserDisabled  IdentityConflict  UsernameRefused  UsernameMissing
    │   └── IdentityMissing  SessionRefused  SessionLimitReached
    ├── EntryRefused                what somebody enters about people cannot be stored
    │   └── UserRefused  UserExists  UserUnknown  UsergroupRefused  PreferenceRefused
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

from bridge.errors.keycloak import (
    KeycloakAnswerInvalid,
    KeycloakError,
    KeycloakUnavailable,
    OutcomeUnknown,
    PermissionMissing,
)
from bridge.errors.people import (
    EntryRefused,
    PreferenceRefused,
    UserExists,
    UsergroupRefused,
    UserRefused,
    UserUnknown,
)
from bridge.errors.requests import (
    DuplicatedParameter,
    FormRefused,
    HintRefused,
    LockedOut,
    NotSignedIn,
    RequestRefused,
    ReturnToRefused,
    SessionUnknown,
    UnknownPackage,
    UnsupportedForm,
)
from bridge.errors.sign_in import (
    AnswerRefused,
    AuthorizationFailed,
    CookiesRefused,
    IdentityConflict,
    IdentityMissing,
    IdTokenRefused,
    LoginTimedOut,
    OtherBrowser,
    SessionLimitReached,
    SessionRefused,
    SignInInterrupted,
    SignInRefused,
    StateExpired,
    StateOfOtherPackage,
    StateUnknown,
    TokenResponseRefused,
    TooManyWaiting,
    UserDisabled,
    UsernameMissing,
    UsernameRefused,
)
from bridge.errors.storage import (
    DatabaseUnavailable,
    DatabaseUnfit,
    LeaseHeld,
    LeaseLost,
    SchemaOutdated,
    StorageError,
)
from bridge.errors.tree import BridgeError, ConfigurationError

__all__ = [
    "AnswerRefused",
    "AuthorizationFailed",
    "BridgeError",
    "ConfigurationError",
    "CookiesRefused",
    "DatabaseUnavailable",
    "DatabaseUnfit",
    "DuplicatedParameter",
    "EntryRefused",
    "FormRefused",
    "HintRefused",
    "IdTokenRefused",
    "IdentityConflict",
    "IdentityMissing",
    "KeycloakAnswerInvalid",
    "KeycloakError",
    "KeycloakUnavailable",
    "LeaseHeld",
    "LeaseLost",
    "LockedOut",
    "LoginTimedOut",
    "NotSignedIn",
    "OtherBrowser",
    "OutcomeUnknown",
    "PermissionMissing",
    "PreferenceRefused",
    "RequestRefused",
    "ReturnToRefused",
    "SchemaOutdated",
    "SessionLimitReached",
    "SessionRefused",
    "SessionUnknown",
    "SignInInterrupted",
    "SignInRefused",
    "StateExpired",
    "StateOfOtherPackage",
    "StateUnknown",
    "StorageError",
    "TokenResponseRefused",
    "TooManyWaiting",
    "UnknownPackage",
    "UnsupportedForm",
    "UserDisabled",
    "UserExists",
    "UserRefused",
    "UserUnknown",
    "UsergroupRefused",
    "UsernameMissing",
    "UsernameRefused",
    "find_error",
]


def find_error(code: str) -> type[BridgeError]:
    """Return the class of a stored error code, so that a repeated request gets the same answer as the first."""
    waiting: list[type[BridgeError]] = [BridgeError]
    while waiting:
        kind = waiting.pop()
        if kind.code == code and kind.__module__.startswith("bridge."):
            return kind
        waiting.extend(kind.__subclasses__())
    return SignInRefused
