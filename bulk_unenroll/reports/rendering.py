"""Templates of pages for people, and how values look on them. All text is escaped.

``templates/style.css`` is the look of pages, ``templates/parts.html.j2`` what they are made of.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bulk_unenroll.reports.marks import MARKS
from bulk_unenroll.reports.wording import duration, visible

OWN: Final = "bulk_unenroll.reports"


def render(template: str, package: str = OWN, /, **values: Any) -> str:
    """A template of a package, which may use those of reports, with these values, as HTML."""
    return environment_of(package).get_template(template).render(**values)


@cache
def environment_of(package: str) -> Environment:
    """The templates of a package and those of reports."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(one, "templates") for one in (package, OWN)]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else visible(value),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "as_numbers": as_numbers,
        "day": day,
        "duration": duration,
        "moment": moment,
        "number": number,
        "rate": rate,
        "seconds": seconds,
        "share": share,
        "short": short,
        "span": span,
        "step": step,
    }
    environment.globals |= {"marks": MARKS}
    return environment


def moment(at_s: float | None) -> Markup:
    """A moment in UTC, to the second; empty for None."""
    return _time(at_s, "%Y-%m-%d %H:%M:%S")


def day(at_s: float | None) -> Markup:
    """A moment in UTC as people write it, such as ``Tue 3 Nov 2026, 22:10``; empty for None."""
    return _time(at_s, "%a %-d %b %Y, %H:%M")


def _time(at_s: float | None, form: str) -> Markup:
    if at_s is None:
        return Markup("")
    at = datetime.fromtimestamp(at_s, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime(form)
    )


def span(times_s: tuple[float, float]) -> Markup:
    """From one moment to another in UTC, with one date if they are of the same day."""
    begin, end = (datetime.fromtimestamp(at_s, UTC) for at_s in times_s)
    form = "%H:%M:%S" if begin.date() == end.date() else "%a %-d %b %Y, %H:%M:%S"
    return Markup("{} to {}").format(
        _time(times_s[0], "%a %-d %b %Y, %H:%M:%S"), _time(times_s[1], form)
    )


def as_numbers(names: Iterable[str]) -> list[str]:
    """Headings marked as columns of numbers, for the macro ``table``."""
    return [f"#{name}" for name in names]


def number(value: float | None) -> str:
    """A whole number with separators; empty for None."""
    return "" if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """A rate, with a decimal where it is small; empty for None."""
    if value is None:
        return ""
    return f"{value:,.1f}" if 0 < value < 100 else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """Seconds, to the millisecond below one; empty for None."""
    if value is None:
        return ""
    return f"{value:,.3f}" if value < 1 else f"{value:,.1f}"


def share(part: int, whole: int) -> str:
    """``part`` of ``whole`` in per cent; never 0 % of something, nor 100 % of less than all."""
    if not part or not whole:
        return ""
    percent = part / whole * 100
    if percent < 0.1:
        return "< 0.1 %"
    if part < whole and percent > 99.9:
        return "> 99.9 %"
    return f"{percent:.1f} %".replace(".0 %", " %")


def step(width_s: int) -> str:
    """A width of time in its largest whole unit, such as ``5 min``."""
    for name, unit_s in (("day", 86_400), ("h", 3600), ("min", 60)):
        if width_s % unit_s == 0:
            return f"{width_s // unit_s} {name}{'s' * (name == 'day' and width_s > unit_s)}"
    return f"{width_s} s"


def short(text: str, most: int) -> str:
    """``text`` without its middle where it is longer than ``most`` characters."""
    end = most // 3
    return text if len(text) <= most else f"{text[: most - end - 1]}…{text[-end:]}"
