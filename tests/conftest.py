"""What all tests have in common: databases, one real Keycloak, and the list of what could not run."""

# In this order: a plugin that another one imports must come before it, or pytest cannot rewrite its assertions.
pytest_plugins = ["tests.skipping", "tests.databases", "tests.real_keycloak"]
