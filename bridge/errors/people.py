"""What somebody enters about people, groups and preferences cannot be stored, or nobody is found."""

from bridge.errors.tree import BridgeError


class EntryRefused(BridgeError):
    """This cannot be stored as it stands."""

    code = "entry_refused"
    status = 422


class UserRefused(EntryRefused):
    """This person cannot be stored as it stands."""

    code = "user_refused"


class UserExists(EntryRefused):
    """There is a person of this name already."""

    code = "user_exists"
    status = 409


class UserUnknown(EntryRefused):
    """There is no person of this name."""

    code = "user_unknown"
    status = 404


class UsergroupRefused(EntryRefused):
    """This group cannot be stored as it stands."""

    code = "usergroup_refused"


class PreferenceRefused(EntryRefused):
    """This preference cannot be stored as it stands."""

    code = "preference_refused"
