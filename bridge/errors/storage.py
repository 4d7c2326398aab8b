"""The database cannot be reached or used, or somebody else has the job."""

from bridge.errors.tree import BridgeError


class StorageError(BridgeError):
    """The data of the bridge cannot be read or written at the moment. Please try again in a few seconds."""

    code = "storage_error"
    status = 503


class DatabaseUnavailable(StorageError):
    """The database of the bridge cannot be reached at the moment. Please try again in a few seconds."""

    code = "database_unavailable"


class DatabaseUnfit(StorageError):
    """The database of the bridge is set up in a way that would lose or shift data."""

    code = "database_unfit"


class SchemaOutdated(StorageError):
    """The tables of the bridge are not those of this version."""

    code = "schema_outdated"


class LeaseHeld(StorageError):
    """Another worker is doing this job at the moment."""

    code = "lease_held"


class LeaseLost(StorageError):
    """Another worker has taken this job over."""

    code = "lease_lost"
