"""The visitor's request cannot be honoured as it stands."""

from bridge.errors.tree import BridgeError


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


class UnsupportedForm(RequestRefused):
    """This address takes the form of its own page only."""

    code = "unsupported_form"
    status = 415


class SessionUnknown(RequestRefused):
    """There is no such session here."""

    code = "session_unknown"
    status = 404


class LockedOut(RequestRefused):
    """Too many attempts have failed from your address. Please wait a while and try again."""

    code = "locked_out"
    status = 429
