"""${message}.

Say here whether the previous release still runs on the new schema; it must. Additive first, destructive later and
alone. MariaDB commits every statement by itself: each must be repeatable (`if_not_exists`, `if_exists`).
"""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
