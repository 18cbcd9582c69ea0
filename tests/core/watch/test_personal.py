"""Personal data is found by form and check digits, is hidden without loss, and is missed in favour of silence where it may be
something else."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.markup.inline import Inline, Span
from dragoman.core.watch.national_ids import luhn
from dragoman.core.watch.personal import added, hidden, masked, personal

FOUND = [
    ("en", "Mail jane.doe+x@mail.example.co.uk now", "email", "jane.doe+x@mail.example.co.uk"),
    ("de", "an jürgen@müller.de, bitte", "email", "jürgen@müller.de"),
    ("ja", "ｔａｒｏ＠example.jp まで", "email", "ｔａｒｏ＠example.jp"),
    ("en", "call +44 20 7946 0958.", "phone", "+44 20 7946 0958"),
    ("en", "call (415) 555-2671", "phone", "(415) 555-2671"),
    ("fr", "le 01 42 68 53 00 ou", "phone", "01 42 68 53 00"),
    ("de", "Tel. 0171 2345678", "phone", "0171 2345678"),
    ("ja", "電話 03-1234-5678", "phone", "03-1234-5678"),
    ("de", "IBAN DE89 3704 0044 0532 0130 00 danke", "iban", "DE89 3704 0044 0532 0130 00"),
    ("en", "to GB82WEST12345698765432.", "iban", "GB82WEST12345698765432"),
    ("en", "card 4111 1111 1111 1111 exp 12/25", "card", "4111 1111 1111 1111"),
    ("en", "amex 378282246310005", "card", "378282246310005"),
    ("en", "from 93.184.216.34 today", "ip", "93.184.216.34"),
    ("en", "from 2001:4860:4860::8888", "ip", "2001:4860:4860::8888"),
    ("es", "DNI 12345678Z", "national_id", "12345678Z"),
    ("es", "NIE X1234567L", "national_id", "X1234567L"),
    ("it", "cf RSSMRA85T10A562S", "national_id", "RSSMRA85T10A562S"),
    ("fr", "NIR 2 55 08 14 168 025 38", "national_id", "2 55 08 14 168 025 38"),
    ("de", "IdNr. 86 095 742 719", "national_id", "86 095 742 719"),
    ("fr", "NN 85.07.30-033.28", "national_id", "85.07.30-033.28"),
    ("pl", "PESEL 44051401458", "national_id", "44051401458"),
    ("fi", "131052-308T", "national_id", "131052-308T"),
    ("sv", "811218-9876", "national_id", "811218-9876"),
    ("nb", "fnr 01010750160", "national_id", "01010750160"),
    ("pt", "CPF 529.982.247-25", "national_id", "529.982.247-25"),
    ("zh", "号码11010519491231002X", "national_id", ""),  # a letter before it: not taken for one
    ("zh", "号码 11010519491231002X", "national_id", "11010519491231002X"),
    ("tr", "TC 10000000146", "national_id", "10000000146"),
    ("de", "AHV 756.9217.0769.85", "national_id", "756.9217.0769.85"),
    ("ro", "CNP 1800101221144", "national_id", "1800101221144"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "text", "rule", "datum"), FOUND)
def test_what_is_found(language: str, text: str, rule: str, datum: str) -> None:
    assert [(one.rule, text[one.start : one.end]) for one in personal(text, language)] == (
        [(rule, datum)] if datum else []
    )


@pytest.mark.parametrize(
    ("language", "text", "rule", "datum"), [one for one in FOUND if one[2] not in ("email", "ip", "phone") and one[3]]
)
def test_one_wrong_digit_is_no_number(language: str, text: str, rule: str, datum: str) -> None:
    place = text.index(datum) + max(place for place, sign in enumerate(datum) if sign.isdigit())
    others = [text[:place] + digit + text[place + 1 :] for digit in "0123456789" if digit != text[place]]
    found = sum(any(one.rule == rule for one in personal(other, language)) for other in others)
    assert found <= 1  # IBAN and most numbers: none; those of eleven digits may be right in another country


@pytest.mark.parametrize(
    "text",
    [
        "In 2008-2013, 10 000 000 people; 1 234 567 890 or 1.234.567 of them",
        "on 12.05.2020 14:30, 2020-05-12, 11/ 02/ 2009",
        "version 1.2.3.4, v10.20.30.40, 10.0.0.1, 127.0.0.1, 192.168.0.1, section 1.8.1.1, ::1",
        "EU/1/98/085/016 and ISBN 978-3-16-148410-0",
        "order 1234567890, 4111 1111 1111 1112, user@localhost, @name, a@b",
        "DE89 3704 0044 0532 0130 01",
    ],
)
@pytest.mark.parametrize("language", ["en", "fr", "de", "ja"])
def test_what_is_left_alone(text: str, language: str) -> None:
    assert personal(text, language) == []


def test_a_translation_may_write_a_datum_its_own_way() -> None:
    source = "Call 01 42 68 53 00 or mail A@example.com"
    assert added(source, "Rufen Sie +33 1 42 68 53 00 an, a@Example.com", "de") == []
    assert [one.rule for one in added(source, "Mail b@example.com or +33 6 12 34 56 78", "en")] == ["email", "phone"]
    assert masked("a@b.de, b@c.de", added("a@b.de", "a@b.de, b@c.de")) == "a@b.de, [email]"


@given(
    st.lists(
        st.sampled_from([one[1] for one in FOUND] + ["<b>", "{x}", "plain words. ", "@", "+", "0" * 30]), max_size=6
    )
)
def test_hiding_loses_nothing_and_leaves_nothing(parts: list[str]) -> None:
    text = " ".join(parts)
    made = hidden(Inline.of([text]), "en")
    assert made.text == text
    assert all(span.kind == "personal" for span in made.spans)
    assert len(made.spans) == len(personal(text, "en"))
    assert "jane.doe" not in made.plain and "4111 1111 1111 1111" not in made.plain


@given(
    st.sampled_from(
        ["jane.doe@example.org", "+33 6 12 34 56 78", "DE89 3704 0044 0532 0130 00", "4111 1111 1111 1111"]
    ),
    st.lists(st.integers(1, 15), max_size=3),
)
def test_markup_inside_a_datum_does_not_uncover_it(datum: str, cuts: list[int]) -> None:
    ends = [0, *sorted(set(cuts)), len(datum)]
    parts = [datum[a:b] for a, b in itertools.pairwise(ends)]
    mixed = [one for part in parts for one in (Span(("<i/>",), "x"), part)]
    text = Inline.of(["Note ", *mixed, " and a word."])
    made = hidden(text, "en")
    assert made.text == text.text
    assert [one for one in made.spans if one.kind == "x"] == list(text.spans)
    left = made.plain.removeprefix("Note ").removesuffix(" and a word.")
    assert not any(map(str.isalnum, left)) or any(personal(part, "en") for part in parts)


def test_what_follows_markup_is_no_part_of_a_datum() -> None:
    made = hidden(Inline.of(["Mail jane@example.org", Span(("<br>",), "x"), "Next line."]), "en")
    assert [one.raw for one in made.spans] == ["jane@example.org", "<br>"] and made.plain == "Mail Next line."


@given(st.text(max_size=200))
def test_no_text_is_too_strange(text: str) -> None:
    spots = personal(text, "en")
    assert all(a.end <= b.start for a, b in itertools.pairwise(spots)) and hidden(Inline.of([text]), "en").text == text


@pytest.mark.parametrize(
    "text",
    ["1 " * 20_000, "a@" * 20_000, "1." * 20_000, "DE89 " * 8_000, "((((" * 10_000, "1234-" * 8_000, "ab:" * 9_000],
)
def test_the_time_is_bounded(text: str) -> None:
    personal(text, "en")  # a pattern that went back and forth would take minutes: the timeout of the tests


def test_luhn() -> None:
    assert luhn("79927398713") and not any(luhn(f"7992739871{digit}") for digit in "012456789")


@given(st.data())
def test_a_datum_is_found_however_it_is_written(data: st.DataObject) -> None:
    """No-break and narrow spaces, other hyphens, wide letters, marks that nobody sees, accents apart from their letters."""
    rule, datum = data.draw(
        st.sampled_from(
            [
                ("email", "jürgen@münchen.de"),
                ("iban", "FR76 3000 6000 0112 3456 7890 189"),
                ("card", "4111 1111 1111 1111"),
                ("card", "4111-1111-1111-1111"),
                ("phone", "06 12 34 56 78"),
                ("phone", "+33 6 12 34 56 78"),
            ]
        )
    )
    kinds = {" ": " \u00a0\u202f\u2009\u3000", "-": "-\u2010\u2011\u2012\u2013"}
    space, hyphen = (data.draw(st.sampled_from(kinds[sign])) for sign in " -")
    written = datum.replace(" ", space).replace("-", hyphen)
    if data.draw(st.booleans()):
        written = unicodedata.normalize("NFD", written)
    place = data.draw(st.integers(1, len(written) - 1))
    written = (
        written[:place] + data.draw(st.sampled_from(["", "\u200b", "\u00ad", "\u2060", "\u200e"])) + written[place:]
    )
    text = f"Voilà\u202f: {written}, merci."
    spots = personal(text, "fr")
    assert [spot.rule for spot in spots] == [rule]
    assert text[spots[0].start : spots[0].end] == written
    sent = [piece for piece in hidden(Inline.of([text]), "fr").pieces if isinstance(piece, str)]
    assert "".join(sent) == text.replace(written, "")
