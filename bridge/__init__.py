"""The Keycloak bridge: sign-in, sessions and sign-out for applications that ask two SQL tables.

    outer    bridge.web   (FastAPI, templates, cookies)          sync  (sweep, census, worker)
                 |                                                 |
             bridge.flows (one use case a file, no HTTP)           |
                 |                                                 |
    inner    bridge.keycloak (HTTP to Keycloak)    |    bridge.storage (SQL)
                 |                                                 |
             bridge.oidc  (pure protocol code, no I/O)
                 |
             bridge.config | bridge.telemetry | bridge.sealing | bridge.model
                 |
             bridge.errors

Imports point downwards; import-linter checks it (`make check`). This package never imports `sync`; only
`bridge.cli`, which composes both processes, may.
"""

__version__ = "0.1.0"
