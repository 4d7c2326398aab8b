"""Keycloak cannot be reached, or answers in a way that cannot be used."""

from bridge.errors.tree import BridgeError


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
