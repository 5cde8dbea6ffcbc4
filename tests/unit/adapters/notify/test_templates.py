"""Templates say what happened and what to do, and nothing in a fact can become more than text."""

from __future__ import annotations

import re
import shlex

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from dragons.adapters.notify.templates import (
    BUILT_IN,
    FIELDS,
    SUBJECT_MAX,
    TEMPLATE_MAX,
    cut,
    next_steps,
    one_line,
    parse_template,
    say,
)
from dragons.cli.main import app
from dragons.control.messages import TOPICS
from dragons.core.errors import InvalidInputError
from tests.tidy.command_line import problem
from tests.unit.adapters.notify.messages import FACTS

anything = st.text(max_size=300)


def test_an_escalation_tells_all_that_is_known() -> None:
    said = say(BUILT_IN, "quarantined", FACTS)
    assert said.subject == "[Dragons] reconciler is quarantined"
    for name, value in FACTS.items():
        if name != "state":
            assert str(value) in said.text, name
    assert 'dragons agents release reconciler --reason "…"' in said.text
    assert 'dragons agents stop reconciler --reason "…"' in said.text
    assert "dragons receipts list --agent reconciler" in said.text
    assert f"dragons incidents show {FACTS['incident_id']}" in said.text


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_has_words_with_and_without_facts(topic: str) -> None:
    for facts in (FACTS, {}):
        said = say(BUILT_IN, topic, facts)
        assert said.subject
        assert said.text
        assert "{" not in said.subject + said.text
    assert say(BUILT_IN, topic, {"subject": "-", "text": "-"}).subject.strip()


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("facts", [FACTS, {"agent": "a"}, {}], ids=["all", "agent", "none"])
def test_the_commands_that_are_told_exist(topic: str, facts: dict[str, object]) -> None:
    root = typer.main.get_command(app)
    for step in next_steps(topic, facts):
        assert step.startswith("dragons ")
        assert not problem(root, shlex.split(step)[1:])


def test_what_is_unknown_is_a_dash() -> None:
    template = parse_template("{agent} {reason} {restarts}")
    assert template.render({"reason": "", "restarts": 0}) == "- - 0"


def test_braces_are_written_twice() -> None:
    assert parse_template("{{{agent}}} }}{{").render({"agent": "a"}) == "{a} }{"
    assert parse_template("").render({}) == ""


@pytest.mark.parametrize(
    "text",
    ["{", "}", "{agent", "agent}", "{}", "{agent.__class__}", "{agent!r}", "{agent:>99}", "{0}", "{Agent}",
     "{agent }", "{nothing}", "{{agent}", "{a{agent}}", "x" * (TEMPLATE_MAX + 1)],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_template(text)
    assert caught.value.code == "template_invalid"
    assert caught.value.fix


def test_an_unknown_field_is_told_what_there_is() -> None:
    with pytest.raises(InvalidInputError, match=r"'agnet'.*agent, at, "):
        parse_template("{agnet}")


@given(st.lists(st.tuples(anything, st.sampled_from(sorted(FIELDS))), max_size=5), anything)
def test_a_template_is_its_parts(parts: list[tuple[str, str]], end: str) -> None:
    def doubled(text: str) -> str:
        return text.replace("{", "{{").replace("}", "}}")

    source = "".join(f"{doubled(text)}{{{name}}}" for text, name in parts) + doubled(end)
    facts = dict.fromkeys(FIELDS, "value")
    assert parse_template(source).render(facts) == "".join(f"{text}value" for text, _ in parts) + end


@given(anything)
def test_parsing_ends_in_a_template_or_a_refusal(text: str) -> None:
    try:
        made = parse_template(text)
    except InvalidInputError:
        assert "{" in text or "}" in text
    else:
        assert len(made.literals) == len(made.fields) + 1


@given(anything)
def test_a_fact_is_one_printable_line(reason: str) -> None:
    shown = parse_template("{reason}").render({"reason": reason})
    assert shown.isprintable()
    lines = say(BUILT_IN, "quarantined", {**FACTS, "reason": reason}).text.splitlines()
    assert len(lines) == len(say(BUILT_IN, "quarantined", FACTS).text.splitlines())


@given(anything, anything)
def test_a_fact_is_never_read_as_a_template(reason: str, agent: str) -> None:
    shown = parse_template("{reason}").render({"reason": f"{reason}{{agent}}", "agent": agent})
    assert shown == one_line(f"{reason}{{agent}}", 500)


@given(anything)
def test_a_subject_is_one_short_line(agent: str) -> None:
    for topic in TOPICS:
        subject = say(BUILT_IN, topic, {"agent": agent, "subject": agent}).subject
        assert subject.isprintable()
        assert len(subject) <= SUBJECT_MAX


@given(anything)
def test_only_facts_are_escaped(reason: str) -> None:
    shown = parse_template("<{reason}>").render({"reason": reason}, lambda text: re.sub("[<>]", "_", text))
    assert (shown[0], shown[-1]) == ("<", ">")
    assert not re.search("[<>]", shown[1:-1])


@given(anything, st.integers(min_value=1, max_value=50))
def test_a_cut_text_says_so(text: str, limit: int) -> None:
    found = cut(text, limit)
    assert len(found) <= limit
    assert found == text or (found.endswith("…") and text.startswith(found[:-1]))


def test_a_notice_keeps_its_lines() -> None:
    said = say(BUILT_IN, "notice", {"subject": "a\nb", "text": "one\ntwo\x1b[31m"})
    assert (said.subject, said.text) == ("a b", "one\ntwo [31m")
