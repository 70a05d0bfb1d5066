"""One line for each mistake in a config: where, which key, what was expected, what came."""

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any

from pydantic_core import ErrorDetails

Location = tuple[int | str, ...]  # pydantic's: keys, indices and names of union members


def explain(
    errors: Iterable[ErrorDetails],
    raw: dict[str, Any],
    *,
    source: Callable[[str], str],
    known_keys: Callable[[Location], Iterable[str]],
) -> list[str]:
    """Say every mistake that pydantic found, at most one line a key.

    Args:
      errors: what pydantic found.
      raw: the table that was validated.
      source: tells where a dotted key was given.
      known_keys: tells the keys of the table that holds a location.

    Returns:
      The lines, in the order of the keys.
    """
    lines: dict[str, str] = {}
    literals: set[str] = set()
    for details in errors:
        key = _key(details, raw)
        known = list(known_keys(details["loc"]))
        mistake = _mistake(details, key, known)
        if key in lines and key in literals:  # a word, or else a value of another kind
            word, got = lines[key].rsplit(", got ", 1)
            mistake = mistake.rpartition(", got ")[0].removeprefix("input should be ")
            lines[key] = f"{word} or {mistake}, got {got}"
        lines.setdefault(key, f"{source(key)}: {key}: {mistake}")
        literals = {key} if details["type"] == "literal_error" else set()
    return list(lines.values())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest known word, "" if none is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _mistake(error: ErrorDetails, key: str, known: list[str]) -> str:
    """Say what was expected and what came."""
    last = key.rpartition(".")[2]
    if error["type"] in ("missing", "union_tag_not_found"):
        return "required, and not given"
    if error["type"] == "extra_forbidden":
        return f"unknown key{did_you_mean(last, known) or f' (one of: {_listed(known)})'}"
    about = error.get("ctx", {})
    if "expected_tags" in about:
        tags = about["expected_tags"].replace("'", "").split(", ")
        word = str(error["input"].get(last))
        return f"unknown {last} {word!r}{did_you_mean(word, tags)} (one of: {_listed(tags)})"
    message = error["msg"].removeprefix("Value error, ")
    hint = ""
    if error["type"] == "literal_error":
        hint = did_you_mean(str(error["input"]), re.findall(r"'([^']+)'", message))
    return f"{message[0].lower()}{message[1:]}, got {_shown(error['input'])}{hint}"


def _key(error: ErrorDetails, raw: Any) -> str:
    """Return the dotted key of an error: its location without the names of union members."""
    keys: list[int | str] = []
    parts = error["loc"][1:]  # the first names the experiment
    is_about_a_key = error["type"] in ("missing", "extra_forbidden")
    for part in parts[:-1] if is_about_a_key else parts:
        here = isinstance(raw, list if isinstance(part, int) else dict)
        if here and (part < len(raw) if isinstance(part, int) else part in raw):
            raw = raw[part]
            keys.append(part)
    if is_about_a_key:
        keys.append(parts[-1])
    if discriminator := error.get("ctx", {}).get("discriminator"):
        keys.append(discriminator.strip("'"))
    return ".".join(map(str, keys))


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
