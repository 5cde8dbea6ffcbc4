"""What Slack is sent keeps to its limits, and no fact in it can mention, link or mark up."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dragons.adapters.notify.post import Receiver
from dragons.adapters.notify.slack import HEADER_MAX, SECTION_MAX, Slack, cut_escaped, escape, slack_body
from dragons.adapters.notify.templates import BUILT_IN, Wording, parse_template
from dragons.core.hashing import sha256_hex
from tests.support.receivers import http_receiver
from tests.unit.adapters.notify.messages import INCIDENT, MESSAGE, message

_MARKUP = re.compile(r"[<>]|&(?!(?:amp|lt|gt);)")
hostile = st.text(alphabet=st.sampled_from("<>&!|@;#aglmpt \n…"), max_size=400) | st.text(max_size=200)


def texts(body: dict[str, Any]) -> list[str]:
    """Every text that Slack reads marks in."""
    section, context = body["blocks"][1], body["blocks"][2]
    return [body["text"], section["text"]["text"], context["elements"][0]["text"]]


def test_an_escalation_is_a_header_a_text_and_the_names() -> None:
    with http_receiver() as receiver:
        sent = Slack(Receiver(receiver.url), BUILT_IN).send(message())
    (got,) = receiver.posts
    assert sent == (True, "answered 200", sha256_hex(got.body))
    header, section, context = got.json["blocks"]
    assert header["text"] == {"type": "plain_text", "text": "[Dragons] reconciler is quarantined"}
    assert "restarted 3 times" in section["text"]["text"]
    assert context["elements"][0]["text"] == f"{MESSAGE} · {INCIDENT}"
    assert section["text"]["verbatim"] is context["elements"][0]["verbatim"] is True
    assert got.json["link_names"] is got.json["unfurl_links"] is False


def test_a_mention_is_only_text() -> None:
    body = slack_body(message(reason="<!channel> <https://evil.example|docs> &lt;"), BUILT_IN)
    assert "&lt;!channel&gt; &lt;https://evil.example|docs&gt; &amp;lt;" in texts(body)[1]


@given(hostile, hostile)
def test_no_fact_marks_anything_up(reason: str, agent: str) -> None:
    for topic in ("quarantined", "notice", "order"):
        body = slack_body(message(topic, reason=reason, agent=agent, subject=agent, text=reason), BUILT_IN)
        assert not [text for text in texts(body) if _MARKUP.search(text)]


@given(st.text(min_size=1, max_size=20))
def test_lengths_are_bounded(part: str) -> None:
    body = slack_body(message("notice", subject=part * 60, text="\n".join([part * 20] * 30)), BUILT_IN)
    assert len(body["text"]) <= HEADER_MAX
    assert len(body["blocks"][0]["text"]["text"]) <= HEADER_MAX
    assert len(body["blocks"][1]["text"]["text"]) <= SECTION_MAX


@given(hostile)
def test_escaping_loses_nothing(text: str) -> None:
    assert (
        unescape(escape(text)) == text if "&" not in text else escape(text).count("&amp;") == text.count("&")
    )
    assert not _MARKUP.search(escape(text))


@given(hostile, st.integers(min_value=2, max_value=60))
def test_a_cut_leaves_no_half_entity(text: str, limit: int) -> None:
    found = cut_escaped(escape(text), limit)
    assert len(found) <= limit
    assert not _MARKUP.search(found)


def test_ones_own_words_may_mark_up() -> None:
    own = Wording(parse_template("{agent}"), parse_template("<!here> *{agent}*"))
    body = slack_body(message(agent="<!channel>"), {**BUILT_IN, "quarantined": own})
    assert texts(body)[1] == "<!here> *&lt;!channel&gt;*"
