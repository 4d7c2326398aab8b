"""What can go wrong at Keycloak, on order.

Two kinds: faults of one answer (`latency`, `status`, `reset`, ...) chosen by a path pattern and a number of times, and
changes of what a right answer says (`id_token`, `authorization`, `discovery`, `token_answer`).

A pattern is a glob on the path; one without a leading slash matches the end of the path: `"token"`, `"users/*/groups"`.
`times=None` means until `clear()`. `processed` says whether Keycloak did the work before its answer was spoilt.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tests.double.keys import KeyRing, Signing
from tests.double.records import Json
from tests.double.spoiling import Act, Hold, cut_bytes, drip, huge, replaced, reset_connection, wait

Changes = Mapping[str, object] | Callable[[Json], Json]


def changed(original: Json, changes: Changes) -> Json:
    """Apply changes: a callable gives the new object; in a mapping the value None removes the name."""
    if callable(changes):
        return changes(dict(original))
    return {name: value for name, value in {**original, **changes}.items() if value is not None}


@dataclass
class Fault:
    """One ordered fault of an answer."""

    pattern: str
    act: Act
    times: int | None
    processed: bool
    method: str | None

    def fits(self, method: str, path: str) -> bool:
        """Say whether it is meant for this request."""
        glob = self.pattern if self.pattern.startswith("/") else f"*/{self.pattern}"
        return self.times != 0 and self.method in {None, method} and fnmatchcase(path, glob)


@dataclass
class Change:
    """One ordered change of a right answer."""

    changes: Changes
    times: int | None
    signing: Signing = "RS256"
    header: Json = field(default_factory=dict)
    omit: bool = False
    raw: str | None = None


class Faults:
    """The orders of a test; the first that fits and has times left is used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ordered: list[Fault] = []
        self._changes: dict[str, list[Change]] = {}
        self._holds: list[Hold] = []

    # Faults of one answer

    def latency(self, pattern: str, seconds: float, *, times: int | None = None, processed: bool = True) -> None:
        """Answer rightly, but this much later."""
        self._order(pattern, wait(seconds), times=times, processed=processed)

    def hold(self, pattern: str, *, times: int | None = 1, processed: bool = True, method: str | None = None) -> Hold:
        """Keep the answer back until `release()`; `wait_for_arrival()` says that the request is there."""
        held = Hold()
        self._holds.append(held)
        self._order(pattern, held.act, times=times, processed=processed, method=method)
        return held

    def status(
        self,
        pattern: str,
        status: int,
        *,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        times: int | None = None,
        processed: bool = False,
        method: str | None = None,
    ) -> None:
        """Answer this status instead, e.g. 429 with `headers={"Retry-After": "1"}`."""
        act = replaced(status, body.encode() if isinstance(body, str) else body, headers or {})
        self._order(pattern, act, times=times, processed=processed, method=method)

    def html(self, pattern: str, *, status: int = 200, times: int | None = None) -> None:
        """Answer a page where JSON belongs, as a proxy in front does."""
        page = "<!doctype html><title>Maintenance</title><h1>We will be back soon</h1>"
        self.status(pattern, status, body=page, headers={"content-type": "text/html;charset=utf-8"}, times=times)

    def non_object(self, pattern: str, *, body: str = '"surprise"', times: int | None = None) -> None:
        """Answer JSON of another type than expected."""
        self.status(pattern, 200, body=body, headers={"content-type": "application/json"}, times=times)

    def cut_json(self, pattern: str, *, times: int | None = None, processed: bool = True) -> None:
        """Answer 200 with the first half of the right JSON, as a whole HTTP message."""
        self._order(pattern, cut_bytes, times=times, processed=processed)

    def cut_connection(self, pattern: str, *, times: int | None = None) -> None:
        """Promise the whole answer, send half of it, reset the connection."""
        self._order(pattern, drip(0.0, cut=True), times=times, processed=True)

    def reset(self, pattern: str, *, times: int | None = None, processed: bool = True) -> None:
        """Reset the connection after the request was read and before any answer."""
        self._order(pattern, reset_connection, times=times, processed=processed)

    def huge(self, pattern: str, *, megabytes: int = 50, times: int | None = None) -> None:
        """Answer a JSON string of so many megabytes."""
        self._order(pattern, huge(megabytes), times=times, processed=False)

    def drip(self, pattern: str, *, seconds_a_byte: float = 0.1, times: int | None = None) -> None:
        """Answer rightly, one byte at a time: no single read times out, the whole takes for ever."""
        self._order(pattern, drip(seconds_a_byte), times=times, processed=True)

    # Changes of a right answer

    def id_token(
        self,
        changes: Changes | None = None,
        *,
        signing: Signing = "RS256",
        header: Json | None = None,
        omit: bool = False,
        raw: str | None = None,
        times: int | None = None,
    ) -> None:
        """Change the ID token: its claims, its signature, its header; leave it out; or send something else."""
        self._change("id_token", Change(changes or {}, times, signing, header or {}, omit, raw))

    def authorization(self, changes: Changes, *, times: int | None = None) -> None:
        """Change the parameters sent to the redirect URI, e.g. `{"iss": None}` or `{"code": None, "error": "x"}`."""
        self._change("authorization", Change(changes, times))

    def discovery(self, changes: Changes, *, times: int | None = None) -> None:
        """Change the discovery document."""
        self._change("discovery", Change(changes, times))

    def token_answer(self, changes: Changes, *, times: int | None = None) -> None:
        """Change the token answer around the tokens."""
        self._change("token_answer", Change(changes, times))

    def clear(self) -> None:
        """Work rightly again; answers held back are released."""
        with self._lock:
            held, self._holds = self._holds, []
            self._ordered.clear()
            self._changes.clear()
        for hold in held:
            hold.release()

    # Used by the server

    def take(self, method: str, path: str) -> Fault | None:
        """Take the first fault for this request, counting it."""
        with self._lock:
            fault = next((one for one in self._ordered if one.fits(method, path)), None)
            if fault is not None and fault.times is not None:
                fault.times -= 1
            return fault

    def apply(self, kind: str, original: Json) -> Json:
        """Apply the ordered change of this kind, if there is one."""
        change = self._take_change(kind)
        return original if change is None else changed(original, change.changes)

    def change_token_answer(self, answer: Json) -> Json:
        """Apply the ordered change of the token answer; an ID token left out is really absent."""
        return self.apply("token_answer", {name: value for name, value in answer.items() if value is not None})

    def sign_id_token(self, keys: KeyRing, claims: Json) -> str | None:
        """Sign the ID token as ordered; None when there is to be none."""
        change = self._take_change("id_token")
        if change is None:
            return keys.sign(claims)
        if change.omit or change.raw is not None:
            return change.raw
        return keys.sign(changed(claims, change.changes), signing=change.signing, header=change.header)

    def _order(self, pattern: str, act: Act, *, times: int | None, processed: bool, method: str | None = None) -> None:
        with self._lock:
            self._ordered.append(Fault(pattern, act, times, processed, method))

    def _change(self, kind: str, change: Change) -> None:
        with self._lock:
            self._changes.setdefault(kind, []).append(change)

    def _take_change(self, kind: str) -> Change | None:
        with self._lock:
            change = next((one for one in self._changes.get(kind, []) if one.times != 0), None)
            if change is not None and change.times is not None:
                change.times -= 1
            return change
