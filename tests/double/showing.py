"""How the Admin API writes people, groups, clients and sessions down (26.7)."""

from __future__ import annotations

from tests.double.realm import Realm
from tests.double.records import Client, Group, Json, Session, User

ACCESS: Json = {"view": True, "viewMembers": True, "manageMembers": False, "manage": False, "manageMembership": False}


def shown_user(user: User, *, brief: bool, access: bool = True) -> Json:
    """Write a user; nothing marks a service account, and no list has groups or roles."""
    shown: Json = {
        "id": user.id,
        "username": user.username,
        "firstName": user.first_name,
        "lastName": user.last_name,
        "email": user.email,
        "emailVerified": user.email_verified,
        "enabled": user.enabled,
        "createdTimestamp": user.created,
        "federationLink": user.federation_link,
    }
    if not brief:
        shown["attributes"] = dict(user.attributes) or None
        shown |= {"totp": False, "disableableCredentialTypes": [], "requiredActions": [], "notBefore": 0}
    if access:
        shown["access"] = {"manage": False}
    return {name: value for name, value in shown.items() if value is not None}


def shown_group(realm: Realm, group: Group, *, brief: bool, count: bool = True, access: bool = True) -> Json:
    """Write a group; `subGroups` is always empty in these lists, the count says whether there are any."""
    shown: Json = {"id": group.id, "name": group.name, "path": realm.group_path(group)}
    if group.parent_id is not None:
        shown["parentId"] = group.parent_id
    if count:
        shown["subGroupCount"] = sum(one.parent_id == group.id for one in realm.groups.values())
    shown["subGroups"] = []
    if not brief:
        shown |= {"attributes": dict(group.attributes), "realmRoles": [], "clientRoles": {}}
    if access:
        shown["access"] = ACCESS
    return shown


def shown_client(client: Client) -> Json:
    """Write a client, with its secret: view-clients shows it before 26.8."""
    attributes: Json = {"realm_client": "false", "post.logout.redirect.uris": "##".join(client.post_logout_uris)}
    if client.pkce is not None:
        attributes["pkce.code.challenge.method"] = client.pkce
    shown: Json = {
        "id": client.uuid,
        "clientId": client.client_id,
        "enabled": client.enabled,
        "clientAuthenticatorType": "client-secret",
        "secret": client.secret,
        "redirectUris": list(client.redirect_uris),
        "webOrigins": [],
        "bearerOnly": False,
        "consentRequired": False,
        "standardFlowEnabled": client.standard_flow,
        "implicitFlowEnabled": False,
        "directAccessGrantsEnabled": False,
        "serviceAccountsEnabled": client.service_account,
        "publicClient": client.secret is None,
        "frontchannelLogout": client.frontchannel_logout,
        "protocol": "openid-connect",
        "attributes": attributes | client.attributes,
        "fullScopeAllowed": True,
        "access": {"view": True, "configure": False, "manage": False},
    }
    return {name: value for name, value in shown.items() if value is not None}


def shown_session(realm: Realm, session: Session) -> Json:
    """Write a session; its times are whole seconds, written in milliseconds."""
    user = realm.users.get(session.user_id)
    clients = {uuid: realm.clients[uuid].client_id for uuid in session.clients if uuid in realm.clients}
    return {
        "id": session.id,
        "username": "" if user is None else user.username,
        "userId": session.user_id,
        "ipAddress": session.ip_address,
        "start": session.started * 1000,
        "lastAccess": session.last_access * 1000,
        "rememberMe": False,
        "clients": clients,
        "transientUser": False,
    }


def shown_realm(realm: Realm, *, full: bool) -> Json:
    """Write the realm; without view-realm only its name is seen."""
    if not full:
        return {"realm": realm.name, "bruteForceProtected": False, "organizationsEnabled": False}
    return {
        "id": realm.id,
        "realm": realm.name,
        "enabled": realm.enabled,
        "revokeRefreshToken": realm.sessions.revoke_refresh_token,
        "refreshTokenMaxReuse": 0,
        "accessTokenLifespan": realm.sessions.access_token_seconds,
        "ssoSessionIdleTimeout": realm.sessions.idle_seconds,
        "ssoSessionMaxLifespan": realm.sessions.max_seconds,
        "clientSessionIdleTimeout": 0,
        "clientSessionMaxLifespan": 0,
        "offlineSessionIdleTimeout": 2592000,
        "offlineSessionMaxLifespanEnabled": False,
        "accessCodeLifespan": realm.sessions.code_seconds,
        "eventsEnabled": realm.events_enabled,
        "eventsExpiration": realm.events_expiration,
        "adminEventsEnabled": realm.admin_events_enabled,
    }
