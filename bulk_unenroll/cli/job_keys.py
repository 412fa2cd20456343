"""The keys of a job file: one for each option of a run, and a few that only a job file has.

From them comes a model that checks a file, and the JSON Schema of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_origin

from pydantic import BaseModel, ConfigDict, Field, conlist, create_model

from bulk_unenroll.cli.option_types import in_job
from bulk_unenroll.cli.options import OPTIONS, Option

Place = tuple[str, str]
"""A section of a job file, and a key in it."""

SECTIONS: Final[Mapping[str, str]] = {
    "input": "What to read. Without this section the job continues its folder.",
    "ledger": "A shared job, whose ledger is in PostgreSQL.",
    "api": "Where to send. Credentials are never written here: name the variables that hold them.",
    "pace": "How fast.",
    "retry": "What to try again. With codes, states or targets the job reopens rows of its folder.",
    "limits": "When not to start, and when to stop.",
    "schedule": "When to stop, and whether anyone is there to ask.",
    "output": "Where results and logs go.",
    "notify": "When to send a notification, and to whom.",
}
FILES: Final[Place] = ("input", "files")
FILES_HELP: Final = "Paths, globs, addresses; {date} is today, {date:%d%m} parts of it."
VARIABLES: Final[Mapping[Place, tuple[str, str]]] = {
    ("api", "username_env"): ("BULK_UNENROLL_USERNAME", "the username"),
    ("api", "password_env"): ("BULK_UNENROLL_PASSWORD", "the password"),
    ("api", "password_md5_env"): ("BULK_UNENROLL_PASSWORD_MD5", "the MD5 of the password"),
    ("api", "client_key_env"): ("BULK_UNENROLL_CLIENT_KEY", "the client key"),
    ("api", "client_secret_env"): ("BULK_UNENROLL_CLIENT_SECRET", "the client secret"),
    ("notify", "urls_env"): ("BULK_UNENROLL_NOTIFY_URLS", "apprise URLs"),
}
"""Keys that name a variable of the environment, the variable of ours that it replaces, and what
it holds."""
OPTION_AT: Final[Mapping[Place, Option]] = {option.place_in_job: option for option in OPTIONS}


def _section(name: str) -> type[BaseModel]:
    fields = {key: field for (section, key), field in _fields() if section == name}
    strict = ConfigDict(extra="forbid", strict=True)
    return create_model(name.title(), __config__=strict, __doc__=SECTIONS[name], **fields)


def _fields() -> Iterator[tuple[Place, Any]]:
    yield FILES, (str | conlist(str, min_length=1), Field(description=FILES_HELP))
    for place, option in OPTION_AT.items():
        about = option.job_help or option.help
        yield place, (_held_for(option) | None, Field(default=None, description=about))
    for place, (ours, held) in VARIABLES.items():
        about = f"Variable that holds {held}. [default: {ours}]"
        yield place, (str | None, Field(default=None, description=about))


def _held_for(option: Option) -> Any:
    """The type of a key's value: of an option that is given several times a list, or a table."""
    one = in_job(option.type)
    return conlist(one, min_length=1) if option.multiple and get_origin(one) is not dict else one


MODELS: Final[Mapping[str, type[BaseModel]]] = {name: _section(name) for name in SECTIONS}
_SECTIONS_OF_A_JOB: Final[dict[str, Any]] = {
    name: (model, Field(default_factory=model)) for name, model in MODELS.items()
} | {"input": (MODELS["input"] | None, None)}
Job: Final = create_model(
    "Job",
    __config__=ConfigDict(extra="forbid", strict=True),
    __doc__="A job of bulk-unenroll. Paths are relative to this file.",
    **_SECTIONS_OF_A_JOB,
)


def schema() -> dict[str, Any]:
    """The JSON Schema of job files, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Job.model_json_schema()}
