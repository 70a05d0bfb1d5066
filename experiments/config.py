"""Configs: a TOML file and overrides read into typed tables, one line for each mistake in them."""

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from experiments import config_errors
from experiments.tables import Config as Config
from experiments.tables.section import Section

_ADAPTER = TypeAdapter(Annotated[Config, Field(discriminator="experiment")])


class ConfigError(ValueError):
    """Every mistake of a config, one line each."""


def load(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config and apply overrides such as "optimizer.learning_rate=0.05".

    Args:
      path: a TOML file.
      overrides: dotted key = value in TOML's grammar; a bare word is a string, and the word
        none takes the key out of the file.

    Returns:
      The config, frozen.

    Raises:
      ConfigError: all mistakes at once, each with its source, key, what was expected and came.
    """
    raw = _read(path)
    given = [(_apply(raw, override), override) for override in overrides]
    taken_out = [error for error in _errors(raw) if _is_unknown_null(error)]
    raw = _without_nulls(raw)
    errors = [*_errors(raw), *taken_out]
    if not errors:
        return _ADAPTER.validate_json(_json(raw))

    def source(key: str) -> str:
        """Return the last override that gave a key or a table around it, else the file."""
        above = (override for k, override in reversed(given) if f"{key}.".startswith(f"{k}."))
        return next((f"override {override!r}" for override in above), str(path))

    lines = config_errors.explain(errors, raw, source=source, known_keys=_known_keys)
    raise ConfigError("\n".join(lines))


def dump(config: Config) -> dict[str, Any]:
    """Return a config as a table for TOML, which has no null; it loads back equal.

    But for the table `distributed`: that is each process's own, and another time another.
    """
    table = config.model_dump(mode="json", exclude_none=True, exclude={"distributed"})
    return {"experiment": config.experiment, **table}


def saves_checkpoints(config: Config) -> bool:
    """Tell whether a run of this config saves checkpoints, from which it can go on."""
    table = getattr(config, "checkpoint", None)
    return table is not None and table.every > 0


def schema() -> str:
    """Return the JSON schema of all configs, for editors that complete and check TOML."""
    return json.dumps(_ADAPTER.json_schema(), indent=2) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        known = sorted(str(other) for other in path.parent.glob("*.toml"))
        raise ConfigError(
            f"{path}: no such file{config_errors.did_you_mean(str(path), known)}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:  # tomllib passes some of Python's own on
        raise ConfigError(f"{path}: not TOML: {error}") from None


def _apply(raw: dict[str, Any], override: str) -> str:
    """Set one override in the raw table and return its key, or the table that it made for it.

    The word none takes out what the table has. For what it has not, a null stays, by which
    validation can tell whether there is such a key: TOML itself has no null.
    """
    key, equals, value = (part.strip() for part in override.partition("="))
    if not equals or not re.fullmatch(r"\w+(\.\w+)*", key):
        raise ConfigError(f"override {override!r}: expected KEY=VALUE, as in train.epochs=3")
    table, highest = raw, key
    *parents, last = key.split(".")
    for depth, parent in enumerate(parents, 1):
        if table.get(parent) is None:
            table[parent] = {}
            highest = min(highest, ".".join(parents[:depth]), key=len)
        table = table[parent]
        if not isinstance(table, dict):
            raise ConfigError(f"override {override!r}: {parent} is a value, not a table")
    if value == "none" and last in table:
        del table[last]
    else:
        table[last] = None if value == "none" else _value(override, value)
    return highest


def _value(override: str, text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
        if len(parsed) == 1:
            return parsed["value"]
        raise ConfigError(f"override {override!r}: expected one value")
    except (tomllib.TOMLDecodeError, RecursionError):
        if re.fullmatch(r"[^\s\"'\[\]{}=,#]+", text):
            return text
        if words := re.fullmatch(r"\[([^\"'\[\]{}=#]*)\]", text):
            return [_value(override, word.strip()) for word in words[1].split(",") if word.strip()]
        raise ConfigError(f"override {override!r}: {text!r} is not a TOML value") from None


def _json(raw: dict[str, Any]) -> str:
    return json.dumps(raw, default=str)  # TOML's dates among it


def _errors(raw: dict[str, Any]) -> list[ErrorDetails]:
    try:
        _ADAPTER.validate_json(_json(raw))
    except ValidationError as error:
        return error.errors()
    return []


def _is_unknown_null(error: ErrorDetails) -> bool:
    return error["type"] == "extra_forbidden" and error["input"] is None


def _without_nulls(raw: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_nulls(value) if isinstance(value, dict) else value
        for key, value in raw.items()
        if value is not None
    }


def _known_keys(loc: config_errors.Location) -> list[str]:
    """Return the keys of the table that a location's last key stands in.

    Pydantic names the member of a union before the key in it, as in ("lenet5", "optimizer",
    "sgd", "momentum").
    """
    sections = _sections(Config)
    for part in loc[:-1]:
        if len(sections) > 1:
            sections = [section for section in sections if _is_called(section, part)]
        elif isinstance(part, str):  # a number counts the tables of a list
            fields = [section.model_fields.get(part) for section in sections]
            sections = [s for field in fields if field for s in _sections(field.annotation)]
    return [key for section in sections for key in section.model_fields]


def _sections(annotation: Any) -> list[type[Section]]:
    """Return the tables that an annotation names: itself, or members of its unions and tuples."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]


def _is_called(section: type[Section], tag: int | str) -> bool:
    """Tell whether a word of one of its fields, such as `name`, chooses this table of a union."""
    return any(tag in get_args(field.annotation) for field in section.model_fields.values())
