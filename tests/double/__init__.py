"""A Keycloak double for integration tests: a real HTTP server with real keys, whose faults are ordered by the test.

    test -> KeycloakDouble.realm (people, groups, clients, sessions)      state
         -> KeycloakDouble.faults                                         what goes wrong
    product -> socket -> wire (record, faults) -> authorize | exchange | openid | admin -> realm

It behaves as Keycloak 26.7.5 was measured to; `tests/contract` holds both to the same assertions. It must not be
cleverer than the real one, and nothing of the product is imported here.
"""

from tests.double.realm import Realm
from tests.double.server import KeycloakDouble
from tests.double.wire import Recorded

__all__ = ["KeycloakDouble", "Realm", "Recorded"]
