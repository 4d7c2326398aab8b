"""`python -m bridge`: the command without its console script."""

from bridge.cli import app

app(prog_name="keycloak-bridge")
