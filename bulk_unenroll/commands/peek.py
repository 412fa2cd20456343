"""Peek: what an input looks like. Makes no run folder, and cannot send."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Unpack

from bulk_unenroll.commands.options import ReadOptions, settings_from
from bulk_unenroll.inputs.finding import find_inputs
from bulk_unenroll.inputs.peek import Peek
from bulk_unenroll.inputs.peek import peek as peek_at


def peek(input_: str | os.PathLike[str], **options: Unpack[ReadOptions]) -> Peek:
    """Look at an input, the first one of a folder or glob, without making a run folder.

    ``Peek.problem`` is why a plan would refuse its header. Raises ``InputMissing`` (66), and
    ``InputRefused`` (65) for what cannot be read at all.
    """
    file = find_inputs([os.fspath(input_)])[0]
    with tempfile.TemporaryDirectory() as spool:
        return peek_at(file, settings_from(options).read, Path(spool))
