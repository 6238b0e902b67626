"""Settings that stand in files: `TRUNKLINE_SECRET_KEY_FILE=/run/secrets/key` for `TRUNKLINE_SECRET_KEY`.

So are secrets handed to processes by Docker, Kubernetes and systemd: an environment is seen by every child, by
`inspect` and in core dumps.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic_settings import BaseSettings

SUFFIX = "_FILE"


Sources = Sequence[Mapping[str, str]]


def sources(env_files: Sequence[Path]) -> Sources:
    """What is set, by variable in capitals: the environment, then these files, the last of them first.

    Empty is not set. The first source that knows a variable, or its file, decides.
    """
    found: list[Mapping[str, str | None]] = [os.environ, *(dotenv_values(path) for path in reversed(env_files))]
    return [{name.upper(): value for name, value in one.items() if value} for one in found]


def read(kind: type[BaseSettings], given: Sources, faults: list[str]) -> dict[str, Any]:
    """The contents of the files that are named for settings of this kind, by field, without the line's end.

    What is wrong is added to the faults: a file that cannot be read or is empty, and a setting that is given both ways.
    """
    prefix = kind.model_config.get("env_prefix", "")
    found: dict[str, Any] = {}
    for field in kind.model_fields:
        variable = f"{prefix}{field}".upper()
        named = variable + SUFFIX
        source = next((one for one in given if variable in one or named in one), {})
        if variable in source and named in source:
            faults.append(f"{named}: set, and {variable} too; take one of them away")
        elif named in source:
            try:
                found[field] = _content(Path(source[named]))
            except ValueError as error:
                faults.append(f"{named}: {source[named]} {error}")
    return found


def _content(path: Path) -> str:
    try:
        content = path.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("is not text") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    if not content:
        raise ValueError("is empty")
    return content
