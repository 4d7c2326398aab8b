"""The same assertions against the Keycloak double and a real Keycloak: what the product relies on, and nothing else."""
