"""The terminal summary: legible at any width, safe, with one line to copy."""

import pytest
from rich.cells import cell_len
from test_report_samples import (
    ABORTED,
    BUNDLE,
    EVERY,
    FAILED,
    HOSTILE,
    PASSED,
    STRESSED,
    VERIFY,
    terminal,
)


@pytest.mark.parametrize("summary", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("width", [80, 120, 200])
def test_every_line_fits_but_those_to_copy(summary, width):
    lines = terminal(summary, width=width).splitlines()
    assert {VERIFY, BUNDLE} <= set(lines)
    assert not [line for line in lines if cell_len(line) > min(width, 120) and line not in (VERIFY, BUNDLE)]
    assert not [line for line in lines if line != line.rstrip()]


@pytest.mark.parametrize("summary", EVERY.values(), ids=EVERY)
def test_an_ascii_terminal_gets_the_same_words(summary):
    told = terminal(summary, encoding="ascii")
    assert told.isascii()
    assert VERIFY in told.splitlines()
    assert len(told.splitlines()) == len(terminal(summary).splitlines())


def test_a_narrow_terminal_still_gets_the_whole_command():
    assert VERIFY in terminal(FAILED, width=20).splitlines()


def test_a_long_command_is_never_cut():
    verify = "muster verify " + "x" * 2000
    assert verify in terminal(PASSED, verify=verify).splitlines()


def test_a_pipe_gets_no_colour_and_a_terminal_does():
    assert "\x1b" not in terminal(FAILED)
    assert "\x1b" in terminal(FAILED, color="standard")


def test_markup_is_text():
    assert "[bold red]**loud**[/]" in terminal(HOSTILE)


def test_a_passed_check_is_one_line():
    line = next(line for line in terminal(PASSED).splitlines() if "volume" in line)
    assert line.startswith("  ✓ pass  volume ")
    assert "at most 5 % fewer rows" in line
    assert "0.4 % more rows" in line


def test_a_failed_check_is_told_whole_with_the_next_move():
    told = " ".join(terminal(FAILED).split())
    assert "public.orders_customer_idx is invalid in the restored database" in told
    assert "→ reindex public.orders_customer_idx in the source, then take a new backup" in told
    assert "→" not in terminal(PASSED)


def test_a_diff_is_cut_and_says_so():
    told = terminal(FAILED)
    assert "+12 more in the report" in told
    assert "public.payments/1" in told
    assert "public.payments/2" not in told


def test_the_gravest_checks_come_first_and_not_asked_last():
    lines = terminal(FAILED).splitlines()
    order = [line.split()[1] for line in lines if line.startswith(("  ✕", "  ?", "  ✓"))][1:]
    assert order == ["fail"] * 2 + ["inconclusive"] + ["pass"] * 8
    assert lines.index("  not asked: server version, roles present") > lines.index(
        next(line for line in lines if "isolated" in line)
    )


def test_a_broken_phase_says_so_in_words():
    lines = terminal(ABORTED).splitlines()
    assert "cut short" in next(line for line in lines if "replay to the reference" in line)
    assert "failed" in next(line for line in lines if "verify bytes" in line)
    assert "failed" not in terminal(PASSED)


def test_each_lap_is_one_line():
    lines = [line for line in terminal(STRESSED).splitlines() if line.startswith("  Lap ")]
    assert [line[:28] for line in lines[:2]] == ["  Lap 1, undisturbed: 20.0 s", "  Lap 2, disturbed: 33.0 s  "]
    assert "✕" not in lines[0]
    assert "✕" in lines[1]
    assert len(lines[0]) < len(lines[1]), "one axis for both"


def test_advice_comes_below_the_checks_and_says_what_it_leaves_out():
    told = terminal(STRESSED)
    assert told.index("Checks") < told.index("What would have made it cheaper") < told.index("Evidence:")
    assert "    → an external shuffle service" in told
    assert "more in the report" not in told
    many = STRESSED.model_copy(update={"advice": STRESSED.advice * 5})
    assert "+2 more in the report" in terminal(many)


def test_where_nothing_would_have_been_cheaper_nothing_is_said():
    assert "cheaper" not in terminal(STRESSED.model_copy(update={"advice": ()}))
    assert "Lap" not in terminal(PASSED)
