"""How a verified sign-in becomes a session: everything in one transaction."""

import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bridge.devices import describe_device
from bridge.errors import SignInInterrupted, UsernameMissing
from bridge.flows import lockout
from bridge.flows.ending import end_session, note_ended
from bridge.flows.relying_party import RelyingParty, build_credential
from bridge.model import (
    ClientFacts,
    Identity,
    KeycloakTokens,
    LoginMethod,
    NewSession,
    PendingLogin,
    Profile,
    SessionType,
    User,
    digest,
)
from bridge.oidc.id_token import IdTokenClaims
from bridge.storage import (
    keycloak_grants,
    mirrored_users,
    oauth_states,
    security_events,
    user_sessions,
    users,
)
from bridge.storage.database import Db
from bridge.storage.security_events import SecurityEvent


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
    described, profile = _describe(rp, sign_in, credential)
    lifetime = rp.policies[described.session_type].lifetime

    async def step(db: Db, *, retire: Identity | None = None) -> OpenedSession:
        if retire is not None:
            await mirrored_users.retire_user(
                db,
                issuer=retire.issuer,
                sub=retire.sub,
                package=retire.package,
                now=rp.now(),
                session_id=described.session_id,
            )
        user = await users.upsert_signed_in(
            db, described.identity, profile, now=rp.now(), session_id=described.session_id
        )
        # The person's row is held now: of many sign-ins at once, the one that comes last is the newest.
        now = rp.now()
        opened = replace(described, username=user.username, created_at=now, expires_at=now + lifetime)
        await _write(rp, db, sign_in, opened=opened)
        return OpenedSession(opened.session_id, opened.expires_at, credential)

    try:
        return await rp.database.write(step)
    except users.NameHeld as conflict:
        gone = await _find_gone_holder(rp, conflict.holder)
        if gone is None:
            raise
        return await rp.database.write(lambda db: step(db, retire=gone))


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
        session_type=SessionType.WEB,
        credential_digest=digest(credential),
        identity=Identity(rp.settings.issuer, claims.sub, rp.package),
        username=username,
        client_id=rp.settings.client_id,
        sid=claims.sid,
        auth_time=claims.auth_time,
        acr=claims.acr,
        login_method=_find_login_method(sign_in, now),
        oauth_state_id=sign_in.login.state_digest,
        ip_address=sign_in.client.ip_address,
        user_agent=sign_in.client.user_agent,
        device=describe_device(sign_in.client.user_agent),
        place=rp.places.find(sign_in.client.ip_address),
        created_at=now,
        expires_at=now + rp.policies[SessionType.WEB].lifetime,
    )
    return opened, profile


def _find_login_method(sign_in: VerifiedSignIn, now: datetime) -> LoginMethod | None:
    """Return how the person signed in, as far as it is known (amr: RFC 8176); Keycloak sends amr only when told to."""
    if _is_sso(sign_in, now):
        return LoginMethod.SSO
    amr = sign_in.claims.claims.get("amr")
    methods = set(map(str, amr)) if isinstance(amr, list) else set()
    if methods & {"otp", "mfa"}:
        return LoginMethod.OTP
    return LoginMethod.PASSWORD if "pwd" in methods else None


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
            username = replaced.user.username
            await end_session(db, replaced.session.session_id, reason="replaced", invalidated_by=username, now=now)
    created = await user_sessions.create_session(db, opened, policy=rp.policies[opened.session_type])
    await _add_grant(rp, db, sign_in.tokens, opened)
    if not sign_in.client.address_is_shared:
        name = lockout.name_client(rp.package, rp.settings.client_id)
        await lockout.note_success(db, client=name, address=opened.ip_address)
    await note_ended(db, created.ended, reason=user_sessions.SESSION_LIMIT, invalidated_by=opened.username, now=now)
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
    if created.is_new_device:
        evidence = {"device": opened.device.name}
        await security_events.append(db, replace(entry, event="new_device", evidence=evidence), now=now)


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
