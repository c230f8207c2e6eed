"""The Markdown report, read by a Markdown parser: values stay text, tables stay tables."""

from markdown_it import MarkdownIt
from test_report_samples import COMPARED, DIFF, FAILED, HOSTILE, PASSED, STRESSED

from muster.finding import Finding
from muster.report.markdown import render_markdown
from muster.summary import Summary
from muster.verdict import Verdict


def as_html(summary: Summary) -> str:
    return MarkdownIt("commonmark").enable("table").render(render_markdown(summary))


def failing(**values: object) -> Summary:
    finding = Finding.model_validate({"check": "c", "verdict": Verdict.FAIL, "expected": "e", "seen": "s"} | values)
    return PASSED.model_copy(update={"findings": (finding,)})


def test_a_hostile_value_stays_text():
    told = as_html(HOSTILE)
    assert "<script" not in told
    assert "<strong>loud" not in told
    assert "<code>x" not in told
    assert "&lt;script&gt;alert(1)&lt;/script&gt; | `x`" in told


def test_a_hostile_value_keeps_its_row():
    told = as_html(HOSTILE)
    assert told.count("<table>") == 5  # objectives, phases, checks, costs, facts
    for row in told.split("<tr>")[1:]:
        assert row.count("<td>") + row.count("<th>") in {2, 4, 5}


def test_a_fence_cannot_be_closed_from_within():
    told = as_html(failing(detail=("```", "# loud", "`````", "<b>")))
    assert "<pre><code" in told
    assert "<h1>loud" not in told
    assert "<b>" not in told


def test_text_makes_no_web_link():
    told = render_markdown(failing(seen="see https://evil.example, www.evil.example and [here](http://evil.example)"))
    assert "https://" not in told
    assert "www." not in told
    assert "<a" not in as_html(failing(seen="[here](/evil) <https://evil.example>"))


def test_a_diff_is_a_block():
    assert '<pre><code class="language-diff">--- committed' in as_html(FAILED)
    assert all(line in render_markdown(FAILED) for line in DIFF)
    assert "<pre>" not in as_html(PASSED)


def test_a_long_diff_says_what_it_left_out():
    told = render_markdown(failing(detail=tuple(f"+{n}" for n in range(100))))
    assert "+60 more in the HTML report" in told
    assert "+40\n" not in told


def test_not_asked_comes_after_the_checks():
    told = render_markdown(PASSED)
    assert told.index("rpo within") < told.index("Not asked for by the plan: server version, roles present.")


def test_tasks_over_time_are_a_block_of_text():
    told = as_html(STRESSED)
    block = told.split('<pre><code class="language-text">')[1].split("</code>")[0].splitlines()
    assert block[0] == "Lap 1, undisturbed: 20.0 s"
    assert block[4] == "Lap 2, disturbed: 33.0 s"
    assert "executor 1, lost at 16.0 s, 2 cores, 10.0.0.1" in block[6]
    assert all("✕" in line for line in block[5:8])
    assert not [line for line in (*block[:4], block[8]) if "✕" in line]


def test_costs_are_a_table():
    told = render_markdown(COMPARED)
    assert "|  | plain: undisturbed | plain: disturbed | kept: undisturbed | kept: disturbed |" in told
    assert "| Later than undisturbed | – | 12.0 s (11.0 s to 13.0 s) | – | 3.0 s (2.0 s to 4.0 s) |" in told


def test_advice_is_a_list_that_says_first_what_was_seen():
    told = as_html(STRESSED).split("cheaper</h2>")[1].split("</ul>")[0]
    assert "<li>Lap 2: 1 executor was lost" in told
    assert told.index("was lost") < told.index("→ an external shuffle service")
