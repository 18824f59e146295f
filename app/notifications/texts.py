"""Texts of the notifications in all languages.

Facts such as names and reasons are user input: each stays on one line, and none appears in a subject. A message to an
unconfirmed address does not greet the recipient by name: a "name" could carry an advertisement to strangers.
"""

# ruff: noqa: RUF001  # half of it is Russian

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.accounts.models import Language

SUBJECT_LENGTH = 200  # characters


class Template(StrEnum):
    """The kinds of notification."""

    VERIFY_EMAIL = "verify_email"
    CHANGE_EMAIL = "change_email"
    EMAIL_TAKEN = "email_taken"
    EMAIL_CHANGED = "email_changed"
    RESET_PASSWORD = "reset_password"  # noqa: S105  # a name
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # a name
    BOOKING_RECEIVED = "booking_received"
    BOOKING_CONFIRMED = "booking_confirmed"
    BOOKING_ASSIGNED = "booking_assigned"
    BOOKING_RESCHEDULED = "booking_rescheduled"
    BOOKING_CANCELLED = "booking_cancelled"
    VISIT_ASSIGNED = "visit_assigned"
    """To the cleaner, like the next two."""
    VISIT_RESCHEDULED = "visit_rescheduled"
    VISIT_CANCELLED = "visit_cancelled"
    COVER_MISSING = "cover_missing"
    """To the office."""


@dataclass(frozen=True)
class Text:
    """The text of a template in one language; `{fact}` is a placeholder for a fact."""

    subject: str
    opening: str


@dataclass(frozen=True)
class TemplateSpec:
    """The parts of a template that are the same in all languages."""

    required: tuple[str, ...]
    """Facts that must be present."""
    details: tuple[str, ...] = ()
    """Facts that are listed, one a line, if present."""
    third_party: tuple[str, ...] = ()
    """The details that describe another person than the recipient."""
    page: str | None = None
    """Path of the page, under PUBLIC_URL, that takes the code. The link holds the code in its fragment, which
    browsers do not send, so that the code stays out of server logs."""


BOOKING_FACTS = ("reference", "service", "when")
CLIENT_FACTS = (*BOOKING_FACTS, "address", "price", "cleaner")
CLEANER_FACTS = (*BOOKING_FACTS, "address", "client")

TEMPLATE_SPECS = {
    Template.VERIFY_EMAIL: TemplateSpec(("code",), page="/verify-email"),
    Template.CHANGE_EMAIL: TemplateSpec(("code",), ("new_email",), page="/verify-email"),
    Template.EMAIL_TAKEN: TemplateSpec(()),
    Template.EMAIL_CHANGED: TemplateSpec((), ("new_email",)),
    Template.RESET_PASSWORD: TemplateSpec(("code",), page="/reset-password"),
    Template.PASSWORD_CHANGED: TemplateSpec(()),
    Template.BOOKING_RECEIVED: TemplateSpec(BOOKING_FACTS, CLIENT_FACTS, ("cleaner",)),
    Template.BOOKING_CONFIRMED: TemplateSpec(BOOKING_FACTS, CLIENT_FACTS, ("cleaner",)),
    Template.BOOKING_ASSIGNED: TemplateSpec(BOOKING_FACTS, CLIENT_FACTS, ("cleaner",)),
    Template.BOOKING_RESCHEDULED: TemplateSpec(BOOKING_FACTS, CLIENT_FACTS, ("cleaner",)),
    Template.BOOKING_CANCELLED: TemplateSpec(BOOKING_FACTS, (*BOOKING_FACTS, "address", "reason", "fee")),
    Template.VISIT_ASSIGNED: TemplateSpec(BOOKING_FACTS, CLEANER_FACTS, ("address", "client")),
    Template.VISIT_RESCHEDULED: TemplateSpec(BOOKING_FACTS, CLEANER_FACTS, ("address", "client")),
    Template.VISIT_CANCELLED: TemplateSpec(BOOKING_FACTS, (*CLEANER_FACTS, "reason"), ("address", "client", "reason")),
    Template.COVER_MISSING: TemplateSpec(("references",), ("references", "cleaner"), ("cleaner",)),
}

LABELS = {
    Language.ENGLISH: {
        "reference": "Booking",
        "references": "Bookings",
        "service": "Service",
        "when": "When",
        "address": "Where",
        "price": "Price",
        "cleaner": "Cleaner",
        "client": "Client",
        "reason": "Reason",
        "fee": "Cancellation fee",
        "new_email": "New address",
    },
    Language.RUSSIAN: {
        "reference": "Заказ",
        "references": "Заказы",
        "service": "Услуга",
        "when": "Когда",
        "address": "Где",
        "price": "Стоимость",
        "cleaner": "Клинер",
        "client": "Клиент",
        "reason": "Причина",
        "fee": "Плата за отмену",
        "new_email": "Новый адрес",
    },
}


@dataclass(frozen=True)
class CommonPhrases:
    """Phrases that all messages of one language share."""

    hello: str
    dear: str
    link: str
    code: str
    footer: str


COMMON_PHRASES = {
    Language.ENGLISH: CommonPhrases(
        hello="Hello,",
        dear="Hello {full_name},",
        link="Open this link:",
        code="Or enter this code:",
        footer="This message was sent automatically.",
    ),
    Language.RUSSIAN: CommonPhrases(
        hello="Здравствуйте!",
        dear="Здравствуйте, {full_name}!",
        link="Откройте эту ссылку:",
        code="Или введите этот код:",
        footer="Это сообщение отправлено автоматически.",
    ),
}
CODE_WITHOUT_LINK = {Language.ENGLISH: "Enter this code:", Language.RUSSIAN: "Введите этот код:"}

TEXTS = {
    Language.ENGLISH: {
        Template.VERIFY_EMAIL: Text(
            "Confirm your e-mail address",
            "please confirm that this e-mail address is yours. If you have not registered with us, ignore this "
            "message.",
        ),
        Template.CHANGE_EMAIL: Text(
            "Confirm your new e-mail address",
            "please confirm that your account should use this e-mail address. If it is not your account, ignore this "
            "message.",
        ),
        Template.EMAIL_TAKEN: Text(
            "You already have an account",
            "someone tried to register with your e-mail address, which already has an account. If it was you, log in "
            "or reset your password. If not, you do not need to do anything.",
        ),
        Template.EMAIL_CHANGED: Text(
            "Your e-mail address was changed",
            "your account now uses another e-mail address. If you did not change it, call us immediately.",
        ),
        Template.RESET_PASSWORD: Text(
            "Reset your password",
            "someone, probably you, asked to reset the password of your account. If it was not you, ignore this "
            "message: your password stays the same.",
        ),
        Template.PASSWORD_CHANGED: Text(
            "Your password was changed",
            "your password was changed, and all other devices were logged out. If you did not change it, reset it and "
            "call us.",
        ),
        Template.BOOKING_RECEIVED: Text(
            "We have received your booking {reference}", "thank you for your booking. We will confirm it soon."
        ),
        Template.BOOKING_CONFIRMED: Text("Your booking {reference} is confirmed", "your booking is confirmed."),
        Template.BOOKING_ASSIGNED: Text(
            "A cleaner is assigned to your booking {reference}", "a cleaner is assigned to your booking."
        ),
        Template.BOOKING_RESCHEDULED: Text(
            "Your booking {reference} has a new time", "your booking was rescheduled. These are its new details."
        ),
        Template.BOOKING_CANCELLED: Text("Your booking {reference} is cancelled", "your booking is cancelled."),
        Template.VISIT_ASSIGNED: Text("New visit: {reference}", "you have a new visit."),
        Template.VISIT_RESCHEDULED: Text(
            "The visit {reference} has a new time", "one of your visits was rescheduled. These are its new details."
        ),
        Template.VISIT_CANCELLED: Text(
            "You no longer have the visit {reference}",
            "one of your visits was cancelled or assigned to another cleaner. Please do not go there.",
        ),
        Template.COVER_MISSING: Text(
            "Visits without a cleaner",
            "a cleaner is no longer available for these visits, and no other cleaner is assigned yet. Please assign "
            "another cleaner, or agree on another time with the client.",
        ),
    },
    Language.RUSSIAN: {
        Template.VERIFY_EMAIL: Text(
            "Подтвердите адрес электронной почты",
            "Пожалуйста, подтвердите, что этот адрес электронной почты принадлежит вам. Если вы у нас не "
            "регистрировались, не обращайте внимания на это письмо.",
        ),
        Template.CHANGE_EMAIL: Text(
            "Подтвердите новый адрес электронной почты",
            "Пожалуйста, подтвердите, что этот адрес электронной почты должен относиться к вашей учётной записи. Если "
            "это не ваша учётная запись, не обращайте внимания на это письмо.",
        ),
        Template.EMAIL_TAKEN: Text(
            "У вас уже есть учётная запись",
            "Кто-то попытался зарегистрироваться с вашим адресом электронной почты, но учётная запись с ним уже есть. "
            "Если это были вы, войдите или сбросьте пароль. Если нет, делать ничего не нужно.",
        ),
        Template.EMAIL_CHANGED: Text(
            "Адрес электронной почты изменён",
            "Теперь к вашей учётной записи относится другой адрес электронной почты. Если это сделали не вы, сразу "
            "позвоните нам.",
        ),
        Template.RESET_PASSWORD: Text(
            "Сброс пароля",
            "Кто-то, вероятно вы, запросил новый пароль для вашей учётной записи. Если это были не вы, не обращайте "
            "внимания на это письмо: пароль останется прежним.",
        ),
        Template.PASSWORD_CHANGED: Text(
            "Ваш пароль изменён",
            "Ваш пароль изменён, на всех остальных устройствах выполнен выход. Если это сделали не вы, сбросьте пароль "
            "и позвоните нам.",
        ),
        Template.BOOKING_RECEIVED: Text(
            "Мы получили ваш заказ {reference}", "Спасибо за заказ. Скоро мы его подтвердим."
        ),
        Template.BOOKING_CONFIRMED: Text("Ваш заказ {reference} подтверждён", "Ваш заказ подтверждён."),
        Template.BOOKING_ASSIGNED: Text(
            "Известно, кто к вам придёт: заказ {reference}", "Теперь известно, кто к вам придёт."
        ),
        Template.BOOKING_RESCHEDULED: Text(
            "У вашего заказа {reference} новое время", "Ваш заказ перенесён. Вот его нынешние условия."
        ),
        Template.BOOKING_CANCELLED: Text("Ваш заказ {reference} отменён", "Ваш заказ отменён."),
        Template.VISIT_ASSIGNED: Text("Новый выезд: {reference}", "У вас новый выезд."),
        Template.VISIT_RESCHEDULED: Text(
            "У выезда {reference} новое время", "Один из ваших выездов перенесён. Вот его нынешние условия."
        ),
        Template.VISIT_CANCELLED: Text(
            "Выезд {reference} снят", "Один из ваших выездов отменён или передан другому клинеру. Ехать не нужно."
        ),
        Template.COVER_MISSING: Text(
            "Выезды без клинера",
            "Клинер больше не может выполнить эти заказы, и замены пока нет. Пожалуйста, назначьте другого клинера или "
            "договоритесь с клиентом о другом времени.",
        ),
    },
}


def render(template: Template, language: str, facts: Mapping[str, str], public_url: str) -> tuple[str, str]:
    """Render a message.

    Args:
        template: the kind of notification.
        language: a value of Language; any other value means English.
        facts: values for placeholders and details, and `full_name`.
        public_url: base URL of links; empty for a message without links.

    Returns:
        Subject and body.

    Raises:
        KeyError: a required fact is missing.
    """
    chosen = Language(language) if language in set(Language) else Language.ENGLISH
    spec, text, phrases = TEMPLATE_SPECS[template], TEXTS[chosen][template], COMMON_PHRASES[chosen]
    known = {name: " ".join(fact.split()) for name, fact in facts.items()}
    for name in spec.required:
        if not known[name]:
            raise KeyError(name)
    greeting = (
        phrases.dear.format_map(known) if known.get("full_name") and "reference" in spec.required else phrases.hello
    )
    parts = [greeting, text.opening]
    details = [f"{LABELS[chosen][name]}: {known[name]}" for name in spec.details if known.get(name)]
    if details:
        parts.append("\n".join(details))
    if spec.page and public_url:
        parts.append(f"{phrases.link}\n{public_url}{spec.page}#{known['code']}")
    if spec.page:
        parts.append(f"{phrases.code if public_url else CODE_WITHOUT_LINK[chosen]}\n{known['code']}")
    parts.append(f"-- \n{phrases.footer}")
    return text.subject.format_map(known)[:SUBJECT_LENGTH], "\n\n".join(parts) + "\n"


def redact(template: Template, body: str) -> str:
    """Remove the lines that describe another person than the recipient; each fact is on its own line."""
    labels = tuple(
        f"{LABELS[language][name]}: " for language in Language for name in TEMPLATE_SPECS[template].third_party
    )
    return "".join(line for line in body.splitlines(keepends=True) if not (labels and line.startswith(labels)))
