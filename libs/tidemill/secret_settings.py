"""Where settings find their secrets: in the file that a variable with ``_FILE`` names."""

from __future__ import annotations

import os
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from tidemill.secret_files import SUFFIX, secret


class SecretFileSource(PydanticBaseSettingsSource):
    """For each secret field of a settings class the file that its variable with ``_FILE`` names.

    A class that has a field for the file itself reads it by itself.
    """

    def __init__(self, settings_cls: type[BaseSettings], env_prefix: str) -> None:
        super().__init__(settings_cls)
        self._prefix = env_prefix

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The secret of one field; None where no file is named."""
        variable = f"{self._prefix}{field_name}".upper()
        reads_itself = field_name + SUFFIX.lower() in self.settings_cls.model_fields
        if reads_itself or not _is_secret(field) or not os.environ.get(variable + SUFFIX):
            return None, field_name, False
        return secret(variable), field_name, False

    def __call__(self) -> dict[str, Any]:
        """The secrets that files hold, by field."""
        found = {}
        for name, field in self.settings_cls.model_fields.items():
            value, key, _ = self.get_field_value(field, name)
            if value is not None:
                found[key] = value
        return found


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)
