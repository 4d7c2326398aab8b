"""OpenID Connect and OAuth 2.0, the relying party's side: pure functions, no I/O, no clock of their own.

    metadata -> authorization (build) -> ... -> authorization (check) -> token (build, check) -> id_token (verify)

Sending is done by `bridge.keycloak`; here requests are built and answers checked. What was checked has another type
than what was not: only a `CheckedCode` can be exchanged, only `IdTokenClaims` make a session.
"""
