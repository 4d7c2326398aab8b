"""What all flows share: the relying party of a package, and how a verified sign-in becomes a session."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bridge.config import PackageSettings
from bridge.config.sections import SessionPolicy
from bridge.errors import NotSignedIn, SignInInterrupted, UsernameMissing
from bridge.flows.outcomes import Outcomes
from bridge.keycloak.provider import Provider
from bridge.model import (
    ClientFacts,
    Identity,
    KeycloakTokens,
    LoginMethod,
    NewSession,
    PendingLogin,
    Profile,
    User,
    UserSession,
    digest,
)
from bridge.oidc.id_token import IdTokenClaims
from bridge.sealing import Sealer
from bridge.storage import (
    keycloak_grants,
    mirrored_users,
    oauth_states,
    security_events,
    session_credentials,
    user_sessions,
    users,
)
from bridge.storage.database import Database, Db
from bridge.storage.security_events import SecurityEvent

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class RelyingParty:
    """The bridge as the client of one package's realm (OpenID Connect Core 1.0 section 1.2), and what it works with."""

    package: str
    settings: PackageSettings
    public_url: str
    policy: SessionPolicy
    claim_life: timedelta
    """How long an exchange and the transaction after it may take; past it the login counts as failed."""
    provider: Provider
    database: Database
    sealer: Sealer
    outcomes: Outcomes
    now: Clock
    is_user_gone: Callable[[str], Awaitable[bool]] | None
    """Asks the Admin API whether a `sub` no longer exists; None without the package's sync section."""

    @property
    def default_return_to(self) -> str:
        """Where a login without `return_to` ends: the first application that is configured, else our own page."""
        return self.settings.return_to[0] if self.settings.return_to else "/"

    @property
    def redirect_uri(self) -> str:
        """Where Keycloak sends browsers back to; from the configuration, never from a Host header."""
        return f"{self.public_url}/callback/{self.package}"

    @property
    def post_logout_redirect_uri(self) -> str:
        """Where Keycloak sends browsers after a sign-out."""
        return f"{self.public_url}/logout/done/{self.package}"


@dataclass(frozen=True)
class VerifiedSignIn:
    """A sign-in whose ID token was verified: all that a session is made of."""

    login: PendingLogin
    claim_id: str
    claims: IdTokenClaims
    tokens: KeycloakTokens
    client: ClientFacts
    replaced_credential: str | None


@dataclass(frozen=True)
class OpenedSession:
    """A session and the credential that opens it; the credential exists here and in the browser only."""

    session_id: str
    expires_at: datetime
    credential: str = field(repr=False)


def build_credential() -> str:
    """Return a session credential of 256 random bits."""
    return secrets.token_urlsafe(32)


async def open_session(rp: RelyingParty, sign_in: VerifiedSignIn) -> OpenedSession:
    """Write user, session, credential, sealed grant, outcome and audit event in one transaction.

    The session that this browser had for this package ends in it. When the user name is held by the row of an identity
    that Keycloak no longer has, that row steps aside (a person re-created under an old name is a new person).

    Raises:
        UserDisabled, IdentityConflict, UsernameRefused, UsernameMissing: the person may not sign in.
        SignInInterrupted: the claim's deadline has passed; whoever waited was told that the login failed.
        StorageError: nothing was written.
    """
    credential = build_credential()
    opened, profile = _describe(rp, sign_in, credential)

    async def step(db: Db, *, retire: Identity | None = None) -> None:
        if retire is not None:
            await mirrored_users.retire_user(
                db, issuer=retire.issuer, sub=retire.sub, package=retire.package, now=opened.created_at
            )
        user = await users.upsert_signed_in(db, opened.identity, profile, now=opened.created_at)
        await _write(rp, db, sign_in, opened=replace(opened, username=user.username))

    try:
        await rp.database.write(step)
    except users.NameHeld as conflict:
        gone = await _find_gone_holder(rp, conflict.holder)
        if gone is None:
            raise
        await rp.database.write(lambda db: step(db, retire=gone))
    return OpenedSession(opened.session_id, opened.expires_at, credential)


async def get_signed_in(rp: RelyingParty, credential: str | None) -> tuple[UserSession, User]:
    """Return the living session of a credential and its person.

    Raises:
        NotSignedIn: there is none.
    """
    found = None
    if credential is not None:
        async with rp.database.reading() as db:
            found = await user_sessions.get_active_session(db, digest(credential), package=rp.package, now=rp.now())
    if found is None:
        raise NotSignedIn
    return found


async def end_session(db: Db, session: UserSession, *, reason: str, invalidated_by: str | None, now: datetime) -> None:
    """End a session with all that opens it; history stays in its row and in the audit trail."""
    await user_sessions.invalidate_session(
        db, session.session_id, invalidated_by=invalidated_by, reason=reason, now=now
    )
    await session_credentials.delete_of_session(db, session.session_id)
    await keycloak_grants.delete_of_session(db, session.session_id)
    known = session.issuer is not None and session.sub is not None
    identity = Identity(str(session.issuer), str(session.sub), session.package) if known else None
    entry = SecurityEvent(
        "session_ended",
        session.package,
        identity=identity,
        username=session.username,
        session_id=session.session_id,
        evidence={"reason": reason},
    )
    await security_events.append(db, entry, now=now)


def _describe(rp: RelyingParty, sign_in: VerifiedSignIn, credential: str) -> tuple[NewSession, Profile]:
    """Return the session and profile that the claims tell of; a claim that is absent is unknown, never empty."""
    claims, now = sign_in.claims, rp.now()
    username = claims.text("preferred_username")
    if username is None:
        raise UsernameMissing(hint='The claim preferred_username is missing: add the scope "profile" to the package.')
    verified = claims.claims.get("email_verified")
    profile = Profile(
        username=username,
        email=claims.text("email"),
        email_verified=verified if isinstance(verified, bool) else None,
        first_name=claims.text("given_name"),
        last_name=claims.text("family_name"),
        display_name=claims.text("name", longest=512),
    )
    opened = NewSession(
        session_id=secrets.token_hex(32),
        credential_digest=digest(credential),
        identity=Identity(rp.settings.issuer, claims.sub, rp.package),
        username=username,
        client_id=rp.settings.client_id,
        sid=claims.sid,
        auth_time=claims.auth_time,
        acr=claims.acr,
        login_method=LoginMethod.SSO if _is_sso(sign_in, now) else None,
        oauth_state_id=sign_in.login.state_digest,
        ip_address=sign_in.client.ip_address,
        user_agent=sign_in.client.user_agent,
        created_at=now,
        expires_at=now + rp.policy.lifetime,
    )
    return opened, profile


def _is_sso(sign_in: VerifiedSignIn, now: datetime) -> bool:
    """Whether the person had authenticated before this login began, so that Keycloak only recognised the browser.

    Durations are compared, each by one clock: Keycloak's may differ from ours. Its times are whole seconds.
    """
    auth_time, issued = sign_in.claims.auth_time, sign_in.claims.issued_at
    return auth_time is not None and issued - auth_time > now - sign_in.login.created_at + timedelta(seconds=1)


async def _write(rp: RelyingParty, db: Db, sign_in: VerifiedSignIn, *, opened: NewSession) -> None:
    now = opened.created_at
    if not await oauth_states.close_with_session(
        db,
        sign_in.login.state_digest,
        claim_id=sign_in.claim_id,
        session_id=opened.session_id,
        now=rp.now(),
    ):
        raise SignInInterrupted
    if sign_in.replaced_credential is not None:
        replaced = await user_sessions.get_active_session(
            db, digest(sign_in.replaced_credential), package=rp.package, now=now
        )
        if replaced is not None:
            await end_session(db, replaced[0], reason="replaced", invalidated_by=replaced[1].username, now=now)
    await user_sessions.create_session(db, opened, session_type="web")
    await session_credentials.add_cookie(db, opened)
    await _add_grant(rp, db, sign_in.tokens, opened)
    entry = SecurityEvent(
        "signed_in",
        rp.package,
        identity=opened.identity,
        username=opened.username,
        session_id=opened.session_id,
        ip_address=opened.ip_address,
        evidence={"client_id": opened.client_id, "login_method": opened.login_method},
    )
    await security_events.append(db, entry, now=now)


async def _add_grant(rp: RelyingParty, db: Db, tokens: KeycloakTokens, opened: NewSession) -> None:
    place = {"table": keycloak_grants.TABLE, "row": opened.session_id}
    refresh_token, life = tokens.refresh_token, tokens.refresh_expires_in
    sealed_refresh_token = (
        rp.sealer.seal(refresh_token, column="sealed_refresh_token", **place) if refresh_token else None
    )
    await keycloak_grants.add(
        db,
        opened.session_id,
        sealed_id_token=rp.sealer.seal(tokens.id_token, column="sealed_id_token", **place),
        sealed_refresh_token=sealed_refresh_token,
        refresh_expires_at=opened.created_at + timedelta(seconds=life) if life else None,
        now=opened.created_at,
    )


async def _find_gone_holder(rp: RelyingParty, holder: User) -> Identity | None:
    """Return the holder's identity when Keycloak no longer has it; a hand-written holder always stays."""
    identity = holder.identity
    if identity is None or identity.issuer != rp.settings.issuer or rp.is_user_gone is None:
        return None
    return identity if await rp.is_user_gone(identity.sub) else None
