"""What the messages say, in every language.

Facts come from people: a name or a reason stays on its line, and a subject holds none of them. A message that goes
to an address nobody has confirmed greets nobody by name, or a "name" could carry an advertisement to strangers.
"""

# ruff: noqa: RUF001  # half of it is Russian

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.accounts.models import Language

SUBJECT_LENGTH = 200  # characters


class Template(StrEnum):
    """What a message is about."""

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
    """To the cleaner, as the next two."""
    VISIT_RESCHEDULED = "visit_rescheduled"
    VISIT_CANCELLED = "visit_cancelled"
    COVER_MISSING = "cover_missing"
    """To the office."""


@dataclass(frozen=True)
class Text:
    """A template in one language; `{fact}` stands for a fact."""

    subject: str
    opening: str


@dataclass(frozen=True)
class Kind:
    """What all languages of a template have in common."""

    needs: tuple[str, ...]
    """Facts that it cannot do without."""
    details: tuple[str, ...] = ()
    """Facts that get a line of their own, those that are there."""
    others: tuple[str, ...] = ()
    """Those of the details that tell of another person than the recipient."""
    page: str | None = None
    """Path under PUBLIC_URL where the code is used. The code is behind a `#`, which stays out of servers' logs."""


BOOKING = ("reference", "service", "when")
ORDER = (*BOOKING, "address", "price", "cleaner")
VISIT = (*BOOKING, "address", "client")

KINDS = {
    Template.VERIFY_EMAIL: Kind(("code",), page="/verify-email"),
    Template.CHANGE_EMAIL: Kind(("code",), ("new_email",), page="/verify-email"),
    Template.EMAIL_TAKEN: Kind(()),
    Template.EMAIL_CHANGED: Kind((), ("new_email",)),
    Template.RESET_PASSWORD: Kind(("code",), page="/reset-password"),
    Template.PASSWORD_CHANGED: Kind(()),
    Template.BOOKING_RECEIVED: Kind(BOOKING, ORDER, ("cleaner",)),
    Template.BOOKING_CONFIRMED: Kind(BOOKING, ORDER, ("cleaner",)),
    Template.BOOKING_ASSIGNED: Kind(BOOKING, ORDER, ("cleaner",)),
    Template.BOOKING_RESCHEDULED: Kind(BOOKING, ORDER, ("cleaner",)),
    Template.BOOKING_CANCELLED: Kind(BOOKING, (*BOOKING, "address", "reason", "fee")),
    Template.VISIT_ASSIGNED: Kind(BOOKING, VISIT, ("address", "client")),
    Template.VISIT_RESCHEDULED: Kind(BOOKING, VISIT, ("address", "client")),
    Template.VISIT_CANCELLED: Kind(BOOKING, (*VISIT, "reason"), ("address", "client", "reason")),
    Template.COVER_MISSING: Kind(("references",), ("references", "cleaner"), ("cleaner",)),
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
class Phrases:
    """What returns in the messages of one language."""

    hello: str
    dear: str
    link: str
    code: str
    footer: str


PHRASES = {
    Language.ENGLISH: Phrases(
        hello="Hello,",
        dear="Hello {full_name},",
        link="Open this link:",
        code="Or enter this code:",
        footer="This message was sent automatically.",
    ),
    Language.RUSSIAN: Phrases(
        hello="Здравствуйте!",
        dear="Здравствуйте, {full_name}!",
        link="Откройте эту ссылку:",
        code="Или введите этот код:",
        footer="Это сообщение отправлено автоматически.",
    ),
}
CODE_ALONE = {Language.ENGLISH: "Enter this code:", Language.RUSSIAN: "Введите этот код:"}

TEXTS = {
    Language.ENGLISH: {
        Template.VERIFY_EMAIL: Text(
            "Confirm your e-mail address",
            "please confirm that this e-mail address is yours. If you have not registered with us, ignore this "
            "message.",
        ),
        Template.CHANGE_EMAIL: Text(
            "Confirm your new e-mail address",
            "please confirm that your account is to use this e-mail address. If it is not your account, ignore this "
            "message.",
        ),
        Template.EMAIL_TAKEN: Text(
            "You already have an account",
            "somebody has tried to register with your e-mail address, which has an account already. If it was you, "
            "log in, or reset your password. If not, there is nothing to do.",
        ),
        Template.EMAIL_CHANGED: Text(
            "Your e-mail address was changed",
            "your account uses another e-mail address from now on. If it was not you, call us at once.",
        ),
        Template.RESET_PASSWORD: Text(
            "Reset your password",
            "somebody, probably you, has asked for a new password for your account. If it was not you, ignore this "
            "message: your password stays as it is.",
        ),
        Template.PASSWORD_CHANGED: Text(
            "Your password was changed",
            "your password was changed, and all other devices were logged out. If it was not you, reset it and call "
            "us.",
        ),
        Template.BOOKING_RECEIVED: Text(
            "We have received your booking {reference}", "thank you for your booking. We will confirm it soon."
        ),
        Template.BOOKING_CONFIRMED: Text("Your booking {reference} is confirmed", "your booking is confirmed."),
        Template.BOOKING_ASSIGNED: Text(
            "We know who will come: booking {reference}", "we know now who will come to you."
        ),
        Template.BOOKING_RESCHEDULED: Text(
            "Your booking {reference} has a new time", "your booking was moved. This is how it stands now."
        ),
        Template.BOOKING_CANCELLED: Text("Your booking {reference} is cancelled", "your booking is cancelled."),
        Template.VISIT_ASSIGNED: Text("New visit: {reference}", "you have a new visit."),
        Template.VISIT_RESCHEDULED: Text(
            "The visit {reference} has a new time", "one of your visits was moved. This is how it stands now."
        ),
        Template.VISIT_CANCELLED: Text(
            "The visit {reference} is off", "one of your visits was cancelled or given to somebody else. Do not go."
        ),
        Template.COVER_MISSING: Text(
            "Visits without a cleaner",
            "a cleaner cannot do these visits any more, and nobody else goes yet. Please assign somebody, or agree on "
            "another time with the client.",
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
    """Write a message.

    Args:
        template: what it is about.
        language: one of Language; English for anything else.
        facts: what its text needs, and `full_name`.
        public_url: what links begin with; empty for no links.

    Returns:
        Subject and body.

    Raises:
        KeyError: a fact is missing that the template cannot do without.
    """
    spoken = Language(language) if language in set(Language) else Language.ENGLISH
    kind, text, phrases = KINDS[template], TEXTS[spoken][template], PHRASES[spoken]
    known = {name: " ".join(fact.split()) for name, fact in facts.items()}
    for name in kind.needs:
        if not known[name]:
            raise KeyError(name)
    greeting = phrases.dear.format_map(known) if known.get("full_name") and "reference" in kind.needs else phrases.hello
    parts = [greeting, text.opening]
    details = [f"{LABELS[spoken][name]}: {known[name]}" for name in kind.details if known.get(name)]
    if details:
        parts.append("\n".join(details))
    if kind.page and public_url:
        parts.append(f"{phrases.link}\n{public_url}{kind.page}#{known['code']}")
    if kind.page:
        parts.append(f"{phrases.code if public_url else CODE_ALONE[spoken]}\n{known['code']}")
    parts.append(f"-- \n{phrases.footer}")
    return text.subject.format_map(known)[:SUBJECT_LENGTH], "\n\n".join(parts) + "\n"


def redacted(template: Template, body: str) -> str:
    """The message without what it says of another person than its recipient; each fact has a line of its own."""
    labels = tuple(f"{LABELS[language][name]}: " for language in Language for name in KINDS[template].others)
    return "".join(line for line in body.splitlines(keepends=True) if not (labels and line.startswith(labels)))
