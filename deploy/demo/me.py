"""The bridge's answer at `/me`, as far as an application needs it."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict


class MeUser(BaseModel):
    """The person."""

    model_config = ConfigDict(frozen=True)

    username: str
    uuid: str
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    display_name: str | None = None
    groups: list[str] = []

    @property
    def name(self) -> str:
        """What to call the person."""
        full = " ".join(part for part in (self.first_name, self.last_name) if part)
        return self.display_name or full or self.username


class MeSession(BaseModel):
    """The session that the visitor's cookie belongs to."""

    model_config = ConfigDict(frozen=True)

    id: str
    created_at: datetime
    expires_at: datetime
    login_method: str | None = None
    auth_time: datetime | None = None


class Me(BaseModel):
    """Who is signed in, in which session, and the token that forms to the bridge must carry."""

    model_config = ConfigDict(frozen=True)

    package: str
    user: MeUser
    session: MeSession
    form_token: str


def readable_time(moment: datetime) -> str:
    """Return the moment for people: in UTC, which is what a time without a zone means here."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%-d %B %Y, %H:%M UTC")
