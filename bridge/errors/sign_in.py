"""A sign-in ends here."""

from bridge.errors.tree import BridgeError


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


class SessionRefused(SignInRefused):
    """This session cannot be stored as it stands."""

    code = "session_refused"
    status = 422


class SessionLimitReached(SignInRefused):
    """You have as many sessions as may be open at the same time. Please sign out somewhere else first."""

    code = "session_limit_reached"
    status = 409


class IdentityMissing(SignInRefused):
    """This account is not known to Keycloak, and cannot sign in."""

    code = "identity_missing"
    status = 409
