"""Every secret that passes over the wire in a test, and whether any of them shows up where it must not.

secrets = WireSecrets(double)      from now on the double's tokens are remembered
secrets.note("cookie", value)      what the browser's side of the wire carried
secrets.note_requests()            what the bridge sent to Keycloak
secrets.find_in(text)              names of the secrets that a text holds, in whatever spelling
"""

import base64
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote

from tests.double import KeycloakDouble
from tests.double.records import Json

SHORTEST = 16
"""A shorter text is found in others by chance."""
SENT = ("code", "code_verifier", "client_secret", "refresh_token", "id_token_hint", "state", "nonce")
ALIGNMENTS = (0, 1, 2)


class WireSecrets:
    """Names and values."""

    def __init__(self, double: KeycloakDouble) -> None:
        """Remember all tokens that this Keycloak gives from now on."""
        self._double = double
        self._values: dict[str, str] = {}
        double.faults.token_answer(self._note_answer)

    def note(self, name: str, value: str | None) -> None:
        """Remember a secret; of a signed token its signature and its contents too."""
        assert value is not None, name
        assert len(value) >= SHORTEST, name
        self._values[value] = name
        if value.startswith("ey"):
            # Its header is the same in every token, and no secret.
            for number, part in enumerate(value.split(".")[1:], start=1):
                self._values[part] = f"{name}, part {number}"

    def note_requests(self) -> None:
        """Remember what came to Keycloak: forms, queries and passwords of clients."""
        for one in list(self._double.requests):
            for name, value in (*one.form.items(), *one.query.items()):
                if name in SENT and value:
                    self.note(name, value)
            authorization = one.headers.get("authorization", "")
            if authorization.startswith("Basic "):
                _, _, password = base64.b64decode(authorization[6:]).decode().partition(":")
                self.note("client_secret", unquote(password))

    @property
    def names(self) -> set[str]:
        """What has been seen so far."""
        return set(self._values.values())

    def find_in(self, text: str) -> set[str]:
        """Return the names of the secrets that a text holds: as they are, in hex, base64 or percent-encoded."""
        small = text.lower()
        return {
            name
            for value, name in self._values.items()
            if any(spelling in text for spelling in _spellings(value)) or value.encode().hex() in small
        }

    def _note_answer(self, answer: Json) -> Json:
        for name in ("access_token", "refresh_token", "id_token"):
            self.note(name, str(answer[name]))
        return answer


def _spellings(value: str) -> Iterator[str]:
    yield value
    yield quote(value, safe="")
    yield quote(value, safe="").lower()
    raw = value.encode()
    for before in ALIGNMENTS:
        # Inside a longer text base64 may begin at any of three places; its first and last characters then differ.
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        inner = encoded[4 if before else 0 : -1]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")


def read_texts(row: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the columns of a row as texts."""
    for column, value in row.items():
        if isinstance(value, bytes):
            yield column, value.decode("latin-1")
        elif value is not None:
            yield column, str(value)
