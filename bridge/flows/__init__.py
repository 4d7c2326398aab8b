"""Use cases, one a file, without HTTP: numbered steps, top to bottom as the protocol runs.

    web_login.start  -> browser to Keycloak -> web_login.finish -> session.open_session
    logout.sign_out  -> browser to Keycloak -> back

A flow decides when to commit: a claim is committed before the outward call, everything else in one transaction. One
flow never calls another; what they share is in `session`, `outcomes` and `return_to`.
"""
