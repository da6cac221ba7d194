"""Text out of HTML, however it is written."""

from __future__ import annotations

import html
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.texts import strip_html


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>Hello<br>World</p><p>again</p>", "Hello World again"),
        ("a <b>b</b>old <i class='x'>word</i>", "a bold word"),
        ("x<script>if (a<b) {'</p>'}</script>y<style>p{}</style>z", "x y z"),
        ("<script>never closed", ""),
        ("a<!-- a > comment --> b<!---->c<!-->d", "a b c d"),
        ("a <!-- never closed", "a"),
        ("&lt;b&gt; &amp;&nbsp;&#x4e2d;&#25991; &copy", "<b> & 中文 ©"),
        ("&unknown; AT&T &", "&unknown; AT&T &"),
        ("<a href='>x'>y</a>", "y"),
        ('<a title="never closed>z', "z"),
        ("<A\nHREF=x>up</A >per", "upper"),
        ("<![CDATA[x<y & z]]>", "x<y & z"),
        ("<!DOCTYPE html><?xml version='1.0'?>q", "q"),
        ('cut <a href="http://x', "cut"),
        ("cut off <div", "cut off <div"),
        ("1 < 2 && 3 > 2, i <3 u, <john@x.org>", "1 < 2 && 3 > 2, i <3 u, <john@x.org>"),
        ("a <b and c", "a <b and c"),
        ("</p>stray</div>", "stray"),
        ("<b><i>crossed</b></i>", "crossed"),
        ("<p>你好<br/>世界</p>", "你好 世界"),
        ("no markup", "no markup"),
    ],
)
def test_what_a_reader_would_see(texts, markup: str, text: str) -> None:
    outcome = texts([markup, None, "x"], text_rules={"strip_html": True}, missing={"markers": []})
    assert outcome["text"] == ([text, "x"] if text else ["x"])


@given(st.text(alphabet=st.characters(exclude_characters="<", exclude_categories=["Cs"])))
@settings(deadline=None)
def test_escaped_text_comes_back(text: str) -> None:
    assert strip_html(html.escape(text)) == text


@given(st.text(alphabet="<>/!-=\"' abp&;[]scritCDAT"))
@settings(deadline=None, max_examples=200)
def test_no_markup_is_too_broken(markup: str) -> None:
    assert len(strip_html(markup)) <= len(markup)


@pytest.mark.parametrize("piece", ["<a ", '<a "', "<!--", "<script>", "<", "<a \"<a '", "</script", "<![CDATA[", "&"])
def test_hostile_markup_takes_no_more_than_its_length(piece: str) -> None:
    started = time.process_time()
    strip_html(piece * 50_000)
    assert time.process_time() - started < 2


def test_html_stays_unless_the_recipe_says_so(texts) -> None:
    assert texts(["<b>x</b>"])["text"] == ["<b>x</b>"]
