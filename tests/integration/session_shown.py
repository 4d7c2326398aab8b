"""Everything that can be seen of sessions at one moment; the model and the database must show the same."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from bridge.model import digest
from tests.integration.session_model import BRIDGE, LOCAL, Credential, Model, Person, Session


@dataclass(frozen=True)
class Shown:
    """One look at everything."""

    opened: Mapping[str, str]
    """The session that each credential opens."""
    listed: Mapping[Person, list[str]]
    counted: Mapping[tuple[Person, str], int]
    rows: Mapping[str, tuple[object, ...]]
    credentials: Mapping[str, tuple[object, ...]]
    """Of active sessions, by digest."""
    overdue: tuple[int, int, int]
    """What a clean-up would say that it has done."""


def count_types(model: Model) -> set[tuple[Person, str]]:
    """Return the people and the types that the cap has something to count of."""
    return {(one.person, one.kind) for one in model.sessions.values() if one.origin == BRIDGE}


def show(
    model: Model, given: Iterable[str], people: Iterable[Person], *, expired_for: timedelta, inactive_for: timedelta
) -> Shown:
    """Return what the model shows, with all credentials that were ever given out."""
    found = {text: model.find(text) for text in given}
    return Shown(
        opened={text: one.id for text, one in found.items() if one is not None},
        listed={person: model.listed(person) for person in people},
        counted={
            (person, kind): len(model.living(person, kind=kind, origin=BRIDGE)) for person, kind in count_types(model)
        },
        rows={one.id: _describe_row(one) for one in model.sessions.values()},
        credentials={
            digest(text): _describe_credential(one)
            for text, one in model.credentials.items()
            if model.sessions[one.session_id].active
        },
        # What a dry run says is what a real one does.
        overdue=copy.deepcopy(model).clean_up(expired_for=expired_for, inactive_for=inactive_for),
    )


def _describe_row(one: Session) -> tuple[object, ...]:
    """Return what is compared of a row: MariaDB moves LastActivity when an application writes."""
    always = (one.person.name, one.person.package, one.kind, one.origin, one.expires, one.active)
    used = (one.used, one.idle_ends, one.rotations, one.rotated) if one.origin != LOCAL and one.active else ()
    return (*always, one.ended, one.ended_by, one.reason, *used)


def _describe_credential(one: Credential) -> tuple[object, ...]:
    return one.kind, one.expires, one.used, digest(one.successor) if one.successor else None
