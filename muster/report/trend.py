"""A measurement over many runs, drawn with characters: bars beside the objective they have to stay under.

Promises: a run without a measurement is a gap, not a zero; one beyond the objective is told by its sign, not by its
height alone; the drawing fits the width it is given, the newest runs at the right.
"""

from collections.abc import Sequence

from muster.quantity import format_seconds

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_ASCII = str.maketrans("▁▂▃▄▅▆▇█╌▲·", "...::||#-^,")
_LABEL = 11


def chart(
    values: Sequence[float | None], objective: float | None, *, width: int, height: int = 5, ascii_only: bool = False
) -> tuple[str, ...]:
    """Lines that draw seconds, the oldest first; none when nothing was measured.

    The objective is a dashed line where it is on the scale, which ends at twice the worst measurement. The line below
    the bars marks with `▲` what is beyond the objective and with `·` runs without a measurement.
    """
    shown = values[-max(1, width - _LABEL - 1) :]
    seen = [value for value in shown if value is not None]
    if not seen:
        return ()
    worst = max(seen)
    top = max(worst, objective) if objective and objective <= 2 * worst else worst
    top = top or 1.0
    at = round(objective / top * (height - 1)) if objective and objective <= top else None
    lines = [
        _labelled(_label(level, height, top, objective if level == at else None))
        + "".join(_cell(value, level, height, top, is_line=level == at) for value in shown)
        for level in reversed(range(height))
    ]
    marks = "".join(_mark(value, objective) for value in shown)
    drawn = (*lines, *((_labelled("") + marks,) if marks.strip() else ()))
    return tuple(line.rstrip().translate(_ASCII) if ascii_only else line.rstrip() for line in drawn)


def _labelled(text: str) -> str:
    return f"{text:>{_LABEL}} "


def _label(level: int, height: int, top: float, objective: float | None) -> str:
    if objective is not None:
        return format_seconds(objective)
    return format_seconds(top) if level == height - 1 else "0 s" if level == 0 else ""


def _cell(value: float | None, level: int, height: int, top: float, *, is_line: bool) -> str:
    """One character of a bar; an eighth is the least that a measurement gets."""
    eighths = 0 if value is None else max(1, round(value / top * height * 8)) - level * 8
    return _EIGHTHS[min(eighths, 8)] if eighths > 0 else "╌" if is_line else " "


def _mark(value: float | None, objective: float | None) -> str:
    if value is None:
        return "·"
    return "▲" if objective is not None and value > objective else " "
