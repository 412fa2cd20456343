"""What somebody typed wrongly, kept so that the form is shown again as it was sent.

It lies beside the job's file, for it may hold an id; no address and no audit line has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bulk_unenroll.web.gate import Person
from bulk_unenroll.web.jobs import Job

ANSWER: Final = "answer.json"


def keep(job: Job, person: Person, form: Mapping[str, str]) -> None:
    """Keep what a person typed last."""
    job.write(ANSWER, {"who": person.name, "form": dict(form)})


def kept(job: Job, person: Person, plan: str | None = None) -> dict[str, str]:
    """What this person typed last, to the plan that is shown or to none; empty if nothing."""
    answer = job.read(ANSWER) or {"who": "", "form": {}}
    form: dict[str, str] = answer["form"]
    return form if answer["who"] == person.name and form.get("plan") == plan else {}
