"""What all sections of the settings share."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """Frozen, no unknown keys, and features of later versions refused by name.

    A setting that is silently ignored is worse than none (a proxy that nobody trusts, a key that nothing uses).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    not_available: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _refuse_later_features(cls, values: object) -> object:
        if isinstance(values, dict):
            for name in sorted(cls.not_available & values.keys()):
                raise ValueError(f"the setting {name} is not available in this version")
        return values
