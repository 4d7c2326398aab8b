"""HTTP to Keycloak: the OpenID provider for sign-ins, the Admin API for the sync and the check.

    http       one pooled client with limits on time and size
    provider   discovery, signing keys, the exchange of a code (sent once)
    admin      the Admin API through python-keycloak, with one token refresh in flight
    pages      bulk reading of users, groups and sessions
    mapping    representations of the Admin API to objects of `bridge.model` (pure)

Nothing here knows the database. Reads may be repeated; the exchange of a code never is.
"""
