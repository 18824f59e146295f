"""Texts of the notifications: complete in every language, and safe with user input."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.models import Language
from app.notifications.texts import LABELS, SUBJECT_LENGTH, TEMPLATE_SPECS, TEXTS, Template, render

FACTS = {
    "full_name": "Anna Petrova",
    "reference": "AB12CD",
    "references": "AB12CD (2026-12-01 10:00), EF34GH (2026-12-02 10:00)",
    "service": "Spring cleaning",
    "when": "2026-12-01 10:00",
    "address": "1 Main Street",
    "price": "99.00 EUR",
    "cleaner": "Clara",
    "client": "Carl",
    "reason": "ill",
    "fee": "49.50 EUR",
    "code": "c0de-of-32-random-characters",
    "new_email": "new@example.com",
}
URL = "https://example.com"
EVERY = [(template, language) for template in Template for language in Language]
CYRILLIC = re.compile("[\\u0400-\\u04ff]")
ADDRESSED = [template for template in Template if template.value.startswith(("booking_", "visit_"))]


@pytest.mark.parametrize(("template", "language"), EVERY)
@pytest.mark.parametrize("url", [URL, ""])
def test_every_message_is_complete(template: Template, language: Language, url: str) -> None:
    subject, body = render(template, language, FACTS, url)
    assert subject
    assert len(subject) <= SUBJECT_LENGTH
    assert subject.isprintable()
    assert not set("{}") & set(subject + body)
    for fact in {*TEMPLATE_SPECS[template].required, *TEMPLATE_SPECS[template].details}:
        assert FACTS[fact] in body
    assert bool(CYRILLIC.search(subject)) is (language == Language.RUSSIAN)
    assert bool(CYRILLIC.search(body)) is (language == Language.RUSSIAN)
    assert (URL in body) is (bool(url) and TEMPLATE_SPECS[template].page is not None)
    assert FACTS["code"] not in subject


@pytest.mark.parametrize(("template", "language"), EVERY)
def test_missing_optional_facts_leave_no_gap(template: Template, language: Language) -> None:
    needed = {name: FACTS[name] for name in TEMPLATE_SPECS[template].required}
    blank = dict.fromkeys(FACTS, " ") | needed
    subject, body = render(template, language, needed, URL)
    assert (subject, body) == render(template, language, blank, URL)
    assert "\n\n\n" not in body
    assert not re.search(r":\s*$", "\n".join(line for line in body.splitlines() if line.split(":")[0] in LABELS))


@pytest.mark.parametrize(
    ("template", "missing"), [(template, fact) for template, spec in TEMPLATE_SPECS.items() for fact in spec.required]
)
def test_missing_required_fact_raises(template: Template, missing: str) -> None:
    for facts in (FACTS | {missing: ""}, {name: fact for name, fact in FACTS.items() if name != missing}):
        with pytest.raises(KeyError, match=missing):
            render(template, "en", facts, URL)


def test_texts_and_labels_exist_for_every_template() -> None:
    assert set(TEMPLATE_SPECS) == set(Template)
    for language in Language:
        assert set(TEXTS[language]) == set(Template)
        assert {fact for spec in TEMPLATE_SPECS.values() for fact in spec.details} <= set(LABELS[language])


def test_link_holds_the_code_in_its_fragment() -> None:
    _, body = render(Template.VERIFY_EMAIL, "en", FACTS, URL)
    assert f"{URL}/verify-email#{FACTS['code']}\n" in body
    _, body = render(Template.RESET_PASSWORD, "ru", FACTS, URL)
    assert f"{URL}/reset-password#{FACTS['code']}\n" in body


def test_unknown_language_falls_back_to_english() -> None:
    assert render(Template.BOOKING_CONFIRMED, "xx", FACTS, URL) == render(Template.BOOKING_CONFIRMED, "en", FACTS, URL)


@pytest.mark.parametrize("template", Template)
def test_unconfirmed_addresses_are_not_greeted_by_name(template: Template) -> None:
    _, body = render(template, "en", FACTS, URL)
    assert (FACTS["full_name"] in body) is (template in ADDRESSED)


@given(st.text(), st.sampled_from(EVERY))
def test_facts_add_no_lines_and_are_no_placeholders(words: str, which: tuple[Template, Language]) -> None:
    template, language = which
    plain = render(template, language, dict.fromkeys(FACTS, "x"), URL)
    odd = render(template, language, dict.fromkeys(FACTS, f"{{code}}{words}y"), URL)
    assert len(odd[1].splitlines()) == len(plain[1].splitlines())
    assert len(odd[0].splitlines()) == 1
    assert len(odd[0]) <= SUBJECT_LENGTH
    for fact in TEMPLATE_SPECS[template].required:
        assert fact == "code" or "{code}" in odd[1]
