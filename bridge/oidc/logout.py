"""Sign-out at the provider by redirect (OpenID Connect RP-Initiated Logout 1.0 section 2)."""

from authlib.common.urls import add_params_to_uri

from bridge.oidc.metadata import ProviderMetadata


def build_end_session_url(
    metadata: ProviderMetadata,
    *,
    client_id: str,
    id_token_hint: str | None,
    post_logout_redirect_uri: str,
    state: str,
) -> str | None:
    """Return the address that signs the browser out at the provider; None when it offers none.

    With a hint Keycloak asks nothing; without one it shows a page of its own to confirm.
    """
    if metadata.end_session_endpoint is None:
        return None
    parameters = {
        "id_token_hint": id_token_hint,
        "client_id": client_id,
        "post_logout_redirect_uri": post_logout_redirect_uri,
        "state": state,
    }
    given = [(name, value) for name, value in parameters.items() if value is not None]
    url: str = add_params_to_uri(metadata.end_session_endpoint, given)
    return url
