"""The settings file and the environment as sources of settings; names that no setting has are not ignored."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, TomlConfigSettingsSource

from schemas.errors import ConfigurationError
from schemas.nearest import did_you_mean

FILE_VARIABLE = "TELECINE_SETTINGS_FILE"
_PREFIX = "TELECINE_"
_FILE_SUFFIX = "_FILE"
_DEFAULT_FILE = "telecine.toml"
#: Variables that are no settings: the settings file's name and the failpoints of tests.
_OTHER_VARIABLES = frozenset(
    {FILE_VARIABLE, "TELECINE_FAILPOINT", "TELECINE_FAILPOINT_ONCE", "TELECINE_FAILPOINT_FILE"}
)
# Kubernetes and Docker links set these in every container next to a service whose name is or begins with telecine.
_SERVICE_LINK = re.compile(r"TELECINE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")


def settings_file() -> Path | None:
    """Return the settings file in force, or ``None`` if there is none.

    Raises:
        ConfigurationError: If TELECINE_SETTINGS_FILE names a file that cannot be read.
    """
    named = os.environ.get(FILE_VARIABLE)
    if named == "":
        return None  # switches the file off
    path = Path(named or _DEFAULT_FILE).expanduser()
    if named and (path.is_dir() or not path.exists()):
        raise ConfigurationError(
            f"{FILE_VARIABLE} names {named}, which is not a file; create it, or correct or unset the variable"
        )
    return path if path.exists() and not path.is_dir() else None


def variable(name: str, settings: type[BaseModel]) -> str:
    """Return the environment variable of a setting."""
    alias = settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else f"{_PREFIX}{name.upper()}"


def json_form(name: str, settings: type[BaseModel]) -> str:
    """Return the form of a setting that holds JSON in the environment, with an example; empty for other settings."""
    field = settings.model_fields.get(name)
    if field is None or not field.examples:
        return ""
    example = field.examples[0]
    return (
        f"a JSON {'object' if isinstance(example, dict) else 'array'} such as {json.dumps(example, ensure_ascii=False)}"
    )


def secret_file_variables(settings: type[BaseModel]) -> dict[str, str]:
    """Return the variables that name the file of a secret, each with the variable of the secret itself."""
    secret = [name for name, field in settings.model_fields.items() if _holds_secret(field.annotation)]
    return {f"{variable(name, settings)}{_FILE_SUFFIX}": variable(name, settings) for name in secret}


def _holds_secret(annotation: Any) -> bool:
    """Return whether a value of this type has a secret in it, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return any(_holds_secret(field.annotation) for field in annotation.model_fields.values())
    return annotation is SecretStr or any(_holds_secret(argument) for argument in get_args(annotation))


class Environment(EnvSettingsSource):
    """The environment variables. A secret may also be in a file that its variable with ``_FILE`` names."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        """Return the variables in lower case, with the content of the files of secrets.

        Raises:
            ConfigurationError: If a file cannot be read, or a secret is given in both ways.
        """
        found = dict(super()._load_env_vars())
        for file_variable, secret_variable in secret_file_variables(self.settings_cls).items():
            path = found.pop(file_variable.lower(), None)
            if not path:
                continue
            if found.get(secret_variable.lower()) is not None:
                raise ConfigurationError(f"both {secret_variable} and {file_variable} are set; unset one of them")
            found[secret_variable.lower()] = _secret_in(file_variable, Path(path))
        return found

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Parse a variable that holds JSON.

        Raises:
            ConfigurationError: If it does not. The message names the variable and does not repeat its value.
        """
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError as error:
            where = f" ({error.msg}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
            raise ConfigurationError(
                f"{variable(field_name, self.settings_cls)} must be {json_form(field_name, self.settings_cls)}; "
                f"its value is not JSON{where}"
            ) from None


def _secret_in(name: str, path: Path) -> str:
    """Return the content of a secret's file without the line break at its end; the error never repeats it."""
    try:
        secret = path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{name} names {path}, which cannot be read: {reason}") from None
    if not secret:
        raise ConfigurationError(f"{name} names {path}, which is empty")
    return secret


class SettingsFile(TomlConfigSettingsSource):
    """The settings file. Its keys are the variables' names in lower case without ``TELECINE_``."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        self._known = _keys(settings_cls)
        super().__init__(settings_cls, toml_file=settings_file())

    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        """Read the file, and return its values by the names that Pydantic expects.

        Raises:
            ConfigurationError: If a key is not a setting, or the file cannot be read.
        """
        try:
            # Editors on Windows begin a file with a byte order mark, which TOML does not allow.
            values = tomllib.loads(file_path.read_bytes().decode("utf-8-sig"))
        except OSError as error:
            raise ConfigurationError(f"the settings file {file_path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"the settings file {file_path} is not UTF-8; save it as UTF-8") from None
        unknown = [key for key in values if key not in self._known]
        if unknown:
            named = "; ".join(f"{key}{did_you_mean(key, self._known.keys(), prefix=_PREFIX)}" for key in unknown)
            raise ConfigurationError(f"the settings file {file_path} contains unknown settings: {named}")
        return {self._known[key]: value for key, value in values.items()}


def unknown_variables(settings: type[BaseModel], environment: Mapping[str, str]) -> list[str]:
    """Return the ``TELECINE_…`` variables that no setting has, each with the nearest name that exists."""
    known = {variable(name, settings) for name in settings.model_fields} | _OTHER_VARIABLES
    known |= secret_file_variables(settings).keys()
    found = []
    for name, value in sorted(environment.items()):
        upper = name.upper()
        is_link = _SERVICE_LINK.fullmatch(upper) or value.startswith(("tcp://", "udp://"))
        if upper.startswith(_PREFIX) and upper not in known and not is_link:
            found.append(f"{name}{did_you_mean(upper, known, prefix=_PREFIX)}")
    return found


def _keys(settings: type[BaseModel]) -> dict[str, str]:
    """Return the keys that the file may have, each with the name that Pydantic expects for it."""
    keys: dict[str, str] = {}
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        expected = alias if isinstance(alias, str) else name
        keys |= dict.fromkeys((name, expected, expected.lower()), expected)
    return keys
