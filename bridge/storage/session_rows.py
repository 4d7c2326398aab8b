"""Rows of `sys_usersession` and what stands for them in Python, both ways."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge.model import Activity, Identity, NewSession, Origin, SessionPolicy, User, UserSession
from bridge.storage.session_input import (
    check_address,
    check_digest,
    check_number,
    check_text,
    check_time,
    clean_user_agent,
    device_columns,
    digest_user_agent,
)

IN_A_LIST = 500
Parameters = dict[str, Any]


@dataclass(frozen=True)
class Credential:
    """What the database knows of a credential: its kind and its place in a rotation."""

    kind: str
    created_at: datetime
    first_used_at: datetime | None
    superseded_by: str | None


@dataclass(frozen=True)
class ActiveSession:
    """A living session, its active person, and the credential that opened it."""

    session: UserSession
    user: User
    credential: Credential


def to_session(row: Any) -> UserSession:
    """Return the model object of a row of `SESSION_COLUMNS`."""
    return UserSession(
        session_id=row.SessionId,
        username=row.User,
        package=row.Package,
        session_type=row.SessionType,
        created_at=row.CreatedAt,
        expires_at=row.ExpiresAt,
        idle_expires_at=row.IdleExpiresAt,
        last_activity=row.LastActivity or row.CreatedAt,
        is_active=row.IsActive,
        login_method=row.LoginMethod,
        auth_time=row.AuthTime,
        issuer=row.Issuer,
        sub=row.Sub,
        sid=row.Sid,
        ip_address=row.IpAddress,
        last_ip_address=row.LastIpAddress,
        origin=row.Origin,
        client_id=row.ClientId,
        device_name=row.DeviceName,
        device_type=row.DeviceType,
        browser=row.Browser,
        operating_system=row.OperatingSystem,
        location=row.Location,
        is_trusted=row.IsTrusted,
        suspicious_activity_count=row.SuspiciousActivityCount,
        rotation_count=row.RotationCount,
        last_rotated_at=row.LastRotatedAt,
        invalidated_at=row.InvalidatedAt,
        invalidated_by=row.InvalidatedBy,
        invalidated_reason=row.InvalidatedReason,
    )


def to_active(row: Any) -> ActiveSession:
    """Return what the look-up of a credential has found."""
    user = User(
        username=row.user_User,
        uuid=row.user_Uuid,
        package=row.user_Package,
        active=row.user_Active,
        usergroups=tuple(code for code in (row.user_Usergroups or "").split(",") if code),
        email=row.user_Email,
        first_name=row.user_FirstName,
        last_name=row.user_LastName,
        display_name=row.user_DisplayName,
        identity=Identity(row.user_Issuer, row.user_Sub, row.user_Package),
        row_version=row.user_RowVersion,
    )
    credential = Credential(
        kind=row.credential_kind,
        created_at=row.credential_created_at,
        first_used_at=row.credential_first_used_at,
        superseded_by=row.credential_superseded_by,
    )
    return ActiveSession(to_session(row), user, credential)


def describe_new_session(
    opened: NewSession, *, policy: SessionPolicy, suspicious: int
) -> tuple[Parameters, tuple[str, ...]]:
    """Return the parameters of the INSERT of a new session, and the names of its columns beyond the public ones."""
    address = check_address(opened.ip_address)
    public = {
        "session_id": opened.session_id,
        "user": opened.username,
        "package": opened.identity.package,
        "session_token_sha256": opened.credential_digest,
        "session_type": opened.session_type,
        "ip_address": address,
        "user_agent": clean_user_agent(opened.user_agent),
        "expires_at": opened.expires_at,
        "login_method": opened.login_method,
        "now": opened.created_at,
    }
    further = {
        "LastIpAddress": address,
        "UserAgentHash": digest_user_agent(opened.user_agent),
        "IdleExpiresAt": _idle_end(opened, policy.idle),
        "Issuer": opened.identity.issuer,
        "Realm": opened.identity.realm,
        "Sub": opened.identity.sub,
        "Sid": opened.sid,
        "ClientId": opened.client_id,
        "ClientsAccessed": opened.client_id,
        "LastClientAccessed": opened.client_id,
        "LastClientAccessedAt": opened.created_at if opened.client_id else None,
        "Origin": Origin.BRIDGE,
        "AuthTime": opened.auth_time,
        "Acr": opened.acr,
        "OauthStateId": opened.oauth_state_id,
        "RememberMe": opened.remember_me,
        "IsTrusted": opened.is_trusted,
        "SuspiciousActivityCount": suspicious,
        "LocationCity": opened.place.city,
        "LocationCountry": opened.place.country,
        "Location": opened.place.text,
        "UpdatedAt": opened.created_at,
        **device_columns(opened.device),
    }
    return {**public, **{f"v_{name}": value for name, value in further.items()}}, tuple(sorted(further))


def _idle_end(opened: NewSession, idle: timedelta | None) -> datetime | None:
    return None if idle is None else opened.created_at + idle


def describe_use(one: Activity) -> tuple[Parameters, tuple[str, ...]]:
    """Return the parameters of the UPDATE that notes a use, and the names of what it changes beyond its time.

    Raises:
        SessionRefused: a time has no zone, a digest is none, `suspicious` is negative, or a text does not fit.
    """
    check_number(one.suspicious, field="suspicious")
    for name in ("rotated_to", "refreshed_to", "token_family_id"):
        check_digest(getattr(one, name), field=name)
    if one.refresh_expires_at is not None:
        check_time(one.refresh_expires_at, field="refresh_expires_at")
    parameters: Parameters = {"session_id": one.session_id, "now": check_time(one.at, field="at")}
    further: list[str] = []
    if one.idle_expires_at is not None:
        further.append("idle")
        parameters["idle_expires_at"] = check_time(one.idle_expires_at, field="idle_expires_at")
    if one.ip_address is not None:
        further.append("ip_address")
        parameters["ip_address"] = check_address(one.ip_address)
    if one.suspicious:
        further.append("suspicious")
        parameters["suspicious"] = one.suspicious
    if one.rotated_to is not None:
        further.append("rotated")
        parameters["session_token_sha256"] = one.rotated_to
    columns = {
        "RefreshToken": one.refreshed_to,
        "RefreshTokenExpiresAt": one.refresh_expires_at,
        "TokenFamilyId": one.token_family_id,
        # A family of tokens begins with the exchange of the app's code, and with nothing else.
        "TokensExchanged": None if one.token_family_id is None else True,
        "DeviceName": check_text(one.device_name, column="DeviceName"),
        "IsTrusted": one.is_trusted,
    }
    for name, value in columns.items():
        if value is not None:
            further.append(name)
            parameters[f"v_{name}"] = value
    return parameters, tuple(sorted(further))


def in_parts(values: Sequence[str]) -> list[Sequence[str]]:
    """Return the values in parts that one IN list holds."""
    return [values[first : first + IN_A_LIST] for first in range(0, len(values), IN_A_LIST)]
