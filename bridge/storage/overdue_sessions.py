"""What time has ended, and what ended long ago: the statements that find such sessions.

    due to end      over     bridge: past its absolute end    mirrored: only when it is deleted at once
                    idle     bridge alone
    due to go       long over, long ended, or ended by an application that did not say when

Each statement asks for one origin and comes to its rows in the order of one index, so that it never walks over rows
that are not due: the rows of applications, which are theirs to delete, may be older and more than all the others. The
rows are held until the transaction ends; what another replica holds is passed over.
"""

from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, and_, bindparam, func, literal_column, or_, select

from bridge.model import Origin
from bridge.storage.session_statements import ACTIVE, EXPIRED, IDLE, INACTIVE, KEYCLOAK_ENDED, NOW, s
from bridge.storage.tables import sys_usersession
from bridge.storage.tables.columns import UtcDateTime

EXPIRED_BEFORE = bindparam("expired_before", type_=UtcDateTime())
INACTIVE_BEFORE = bindparam("inactive_before", type_=UtcDateTime())
NOT_LOCAL = s.Origin != literal_column(f"'{Origin.LOCAL}'")
"""Implied, and said nevertheless: the partial indexes of the clean-up serve only who says so."""
OVER = {
    Origin.BRIDGE: and_(ACTIVE, s.ExpiresAt <= NOW),
    # The census moves its end on, and ends it.
    Origin.KEYCLOAK: and_(ACTIVE, s.ExpiresAt < EXPIRED_BEFORE),
}
IS_IDLE = and_(ACTIVE, s.IdleExpiresAt <= NOW, s.ExpiresAt > NOW, s.Origin == Origin.BRIDGE)
LONG_OVER = {
    Origin.BRIDGE: and_(INACTIVE, s.ExpiresAt < EXPIRED_BEFORE),
    # What somebody else ended stays the longer time: without its row the census knows nothing of that end.
    Origin.KEYCLOAK: and_(INACTIVE, s.ExpiresAt < EXPIRED_BEFORE, s.InvalidatedReason.in_((EXPIRED, KEYCLOAK_ENDED))),
}
LONG_ENDED = and_(INACTIVE, s.InvalidatedAt < INACTIVE_BEFORE)
LONG_ENDED_UNTOLD = and_(INACTIVE, s.InvalidatedAt.is_(None), s.ExpiresAt < INACTIVE_BEFORE)


def _find(origin: Origin, condition: ColumnElement[bool], order: ColumnElement[Any]) -> Select[Any]:
    query = select(s.SessionId).where(s.Origin == origin, NOT_LOCAL, condition).order_by(order)
    return query.limit(bindparam("limit", type_=Integer)).with_for_update(skip_locked=True)


DELETED = "deleted"
FIND = (
    *((EXPIRED, _find(origin, over, s.ExpiresAt)) for origin, over in OVER.items()),
    (IDLE, _find(Origin.BRIDGE, IS_IDLE, s.IdleExpiresAt)),
    *((DELETED, _find(origin, long_over, s.ExpiresAt)) for origin, long_over in LONG_OVER.items()),
    *((DELETED, _find(origin, LONG_ENDED, s.InvalidatedAt)) for origin in LONG_OVER),
    *((DELETED, _find(origin, LONG_ENDED_UNTOLD, s.ExpiresAt)) for origin in LONG_OVER),
)
"""In this order: the reason to end rows for, or that they are to go; and the query that finds at most `limit`."""


def _count(condition: ColumnElement[bool]) -> Select[Any]:
    return select(func.count()).select_from(sys_usersession).where(condition)


def _is_old(long_over: ColumnElement[bool]) -> ColumnElement[bool]:
    # What is so long over that it goes as soon as it has ended counts too.
    long_over_and_active = and_(ACTIVE, s.ExpiresAt < EXPIRED_BEFORE)
    return or_(long_over, LONG_ENDED, LONG_ENDED_UNTOLD, long_over_and_active)


# What a clean-up would do, all at once.
COUNT_EXPIRED = _count(or_(*(and_(s.Origin == origin, over) for origin, over in OVER.items())))
COUNT_IDLE = _count(IS_IDLE)
COUNT_TO_DELETE = _count(or_(*(and_(s.Origin == origin, _is_old(over)) for origin, over in LONG_OVER.items())))
