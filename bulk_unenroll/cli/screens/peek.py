"""How an input is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from bulk_unenroll.inputs.peek import Peek


def show_peek(console: Console, found: Peek) -> None:
    """Print how an input is read, and its first rows."""
    traits = [found.format, *(f"{name} {value}" for name, value in found.traits)]
    console.print(f"[bold]{escape(found.name)}[/]  {escape(', '.join(traits))}")
    if len(found.sheets) > 1:
        console.print(f"sheets: {escape(', '.join(found.sheets))}")
    table = Table(box=None, pad_edge=False)
    names = {header: name for name, header in found.columns.items() if header != name}
    for header in found.header:
        table.add_column(Text(f"{header} → {names[header]}" if header in names else header))
    for row in found.rows:
        table.add_row(*map(Text, row.cells))
    if found.header:
        console.print(table)
    for row in found.rows:
        if row.invalid:
            console.print(f"[yellow]row {row.row}:[/] {escape(row.invalid.message)}")
    if found.problem:
        console.print(f"[yellow]a plan would refuse it:[/] {escape(str(found.problem))}")
