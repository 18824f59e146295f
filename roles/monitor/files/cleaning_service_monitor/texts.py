"""All texts of the status page, in English and in Russian."""

# ruff: noqa: RUF001  # half of it is Russian

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_EXACT_BELOW = 10.0  # seconds of which tenths are told
_REPLICA = re.compile(r"api_(\d+)")
_ATTEMPT = re.compile(r"(\d+) of (\d+)")
_TEEN_FROM, _TEEN_TO, _FEW_TO = 11, 14, 4  # Russian plurals


@dataclass(frozen=True)
class Texts:
    """The texts of one language.

    Attributes:
        language: its tag, for the attribute `lang`.
        months: their names as a date has them.
        states: the whole state by the status's `state`; `{names}` are the services concerned. `degraded-behind`: every
            service works; `outage-in-part`: some services work.
        service_names: of what clients use.
        service_health: of that, by the service's health.
        names: of components; `{number}` counts replicas.
        health: of programs, by the component's health.
        host_health: of the host's own, by the health.
        backup_names: of what is restored from, by the source.
        backup_health: of that, by its health; `unknown`: there is nothing yet.
        actions: the cures.
        units: the forms of day, hour, minute, second and others: for 1, for 2 to 4, for more, for a fraction.
    """

    language: str
    other_language: str
    other_name: str
    title: str
    months: Sequence[str]
    decimal_point: str
    states: Mapping[str, str]
    state_names: Mapping[str, str]
    as_of: str
    stale: str
    person_needed: str
    person_needed_tag: str
    maintenance: str
    maintenance_until: str
    maintenance_no_end: str
    maintenance_reason: str
    quoted: str
    services: str
    service_names: Mapping[str, str]
    service_health: Mapping[str, str]
    operator: str
    operator_about: str
    programs: str
    host: str
    names: Mapping[str, str]
    health: Mapping[str, str]
    host_health: Mapping[str, str]
    not_seen: str
    since: str
    uptime: str
    uptime_label: str
    uptime_not_known: str
    days_ago: str
    today: str
    bars_legend: Sequence[str]
    not_watched: str
    day_down: str
    backups: str
    backups_about: str
    backups_unknown: str
    backup_names: Mapping[str, str]
    backup_health: Mapping[str, str]
    backup_age: str
    replica_behind: str
    replica_level: str
    replica_unknown: str
    proven: str
    proven_restored: str
    drill_failed: str
    never_proven: str
    response: str
    response_about: str
    registration: str
    registration_about: str
    chart_label: str
    median: str
    worst: str
    worst_at: str
    milliseconds: str
    chart_empty: str
    chart_axes: str
    current: str
    past: str
    no_incidents: str
    began: str
    lasted: str
    lasts: str
    ended_alone: str
    no_step_yet: str
    actions: Mapping[str, str]
    outcomes: Mapping[object, str]
    attempts: Mapping[str, str]
    attempt: str
    steps_left_out: str
    incidents_left_out: str
    footer: str
    as_data: str
    units: Mapping[str, Sequence[str]]

    def count(self, number: float, unit: str) -> str:
        """Return a number with its unit in the right form, such as "21 минута"."""
        return f"{self.number(number)} {self._form(number, unit)}"

    def number(self, value: float, digits: int = 1) -> str:
        """Return a number as the language writes it; a whole one without a fraction."""
        text = f"{value:.{digits}f}" if value % 1 else f"{value:.0f}"
        return text.replace(".", self.decimal_point)

    def duration(self, seconds: float) -> str:
        """Return how long something lasted, in its two largest units."""
        if seconds < _EXACT_BELOW:
            return self.count(max(0.0, round(seconds, 1)), "second")
        rest = round(seconds)
        numbers = [rest // size % (before // size) for (before, _), (size, _) in pairwise(_UNITS)]
        numbers.insert(0, rest // _UNITS[0][0])
        largest = next(place for place, number in enumerate(numbers) if number)
        told = list(zip(numbers, (unit for _, unit in _UNITS), strict=True))[largest : largest + 2]
        return " ".join(self.count(number, unit) for number, unit in told if number)

    def day(self, moment: float, *, year: bool = False) -> str:
        """Return the UTC day."""
        parts = time.gmtime(moment)
        name = f"{parts.tm_mday} {self.months[parts.tm_mon - 1]}"
        return f"{name} {parts.tm_year}" if year else name

    def moment(self, moment: float, *, year: bool = False, seconds: bool = True) -> str:
        """Return the UTC day and time."""
        return f"{self.day(moment, year=year)}, {clock(moment, seconds=seconds)} UTC"

    def component(self, name: str, *, replicas: bool) -> str:
        """Return a component's name; `replicas`: whether the API has several, so that each needs its number."""
        number = match[1] if (match := _REPLICA.fullmatch(name)) else "1"
        if match or (name == "api" and replicas):
            return self.names["replica"].format(number=number)
        return self.names.get(name, name)

    def attempt_of(self, attempt: str) -> str:
        """Return the number of an attempt."""
        if match := _ATTEMPT.fullmatch(attempt):
            return self.attempt.format(match[1], match[2])
        return self.attempts.get(attempt, attempt)

    def _form(self, number: float, unit: str) -> str:
        one, few, many, fraction = self.units[unit]
        if number % 1:
            return fraction
        if self.language == "en":
            return one if number == 1 else many
        if number % 100 in range(_TEEN_FROM, _TEEN_TO + 1):
            return many
        last = number % 10
        return one if last == 1 else few if 1 < last <= _FEW_TO else many


def clock(moment: float, *, seconds: bool = True) -> str:
    """Return the time of day in UTC."""
    return time.strftime("%H:%M:%S" if seconds else "%H:%M", time.gmtime(moment))


ENGLISH = Texts(
    language="en",
    other_language="ru",
    other_name="Русский",
    title="Status",
    months=("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    decimal_point=".",
    states={
        "ok": "Everything works.",
        "degraded": "The service works, but not all is well: {names}.",
        "degraded-behind": "The service works, but a technical part needs attention.",
        "outage": "The service is not available right now.",
        "outage-in-part": "Not available right now: {names}.",
        "maintenance": "Maintenance is under way.",
        "unknown": "The state is not known.",
    },
    state_names={
        "ok": "works",
        "degraded": "limited",
        "outage": "outage",
        "maintenance": "maintenance",
        "unknown": "not known",
    },
    as_of="As of",
    stale="Written anew at least every {interval}. If this time is long past, the monitor itself does not run.",
    person_needed="What can be done automatically has not helped. A person has been called.",
    person_needed_tag="a person is needed",
    maintenance="Maintenance",
    maintenance_until="Expected to end by {until}. Short interruptions are possible until then.",
    maintenance_no_end="Short interruptions are possible.",
    maintenance_reason="Reason:",
    quoted="{}",
    services="Services",
    service_names={
        "booking": "Booking",
        "account": "Signing in and registering",
        "website": "Website entrance",
    },
    service_health={
        "ok": "Works",
        "degraded": "Works with limits",
        "starting": "Starting",
        "outage": "Does not work",
        "unknown": "Not known",
    },
    operator="For the operator",
    operator_about="The technical parts behind these services, each by itself, and what was measured.",
    programs="Programs",
    host="Server",
    names={
        "docker": "Container engine (Docker)",
        "redis": "Cache (Redis)",
        "api": "API",
        "replica": "API, replica {number}",
        "proxy": "Entrance (proxy)",
        "ingress": "Access from outside",
        "disk": "Disk space",
        "memory": "Memory",
        "clock": "Clock",
        "certificate": "Certificate",
        "backup": "Backups",
        "database": "Database",
        "release": "Last release",
    },
    health={
        "ok": "Works",
        "degraded": "Works with limits",
        "starting": "Starting",
        "refusing": "Refuses requests",
        "sick": "Does not answer",
        "down": "Does not run",
        "missing": "Is missing",
        "blocked": "Cannot work",
        "forbidden": "May not write its files",
    },
    host_health={
        "ok": "Fine",
        "degraded": "Needs attention",
        "starting": "Being looked at",
        "refusing": "Critical",
        "sick": "Critical",
        "down": "Critical",
        "missing": "Is missing",
        "blocked": "Critical",
        "forbidden": "Critical",
    },
    not_seen="Not looked at yet",
    since="since {moment}",
    uptime="uptime {percent} % over {days}",
    uptime_label="{percent} % of the watched time without an incident in {days}; incidents on {bad}",
    uptime_not_known="not watched yet",
    days_ago="90 days ago",
    today="today",
    bars_legend=("no incident", "short incident", "over 1 hour", "not watched"),
    not_watched="not watched",
    day_down="{day}: incidents of {duration}",
    backups="Backups",
    backups_about="Copies of the database, and the trial restores that prove them.",
    backups_unknown="Nothing is known of the backups: none has been reported yet.",
    backup_names={
        "local": "Copies on this server",
        "remote": "Copies elsewhere",
        "replica": "Continuous copy",
    },
    backup_health={"ok": "Fine", "degraded": "Needs attention", "unknown": "No copy yet"},
    backup_age="Age of the newest: {duration}.",
    replica_behind="Behind the database by: {duration}.",
    replica_level="It holds everything that the database holds.",
    replica_unknown="How far it is behind is not known.",
    proven="Last proven: {moment}.",
    proven_restored="Last proven: {moment}. Restored: {bookings}, took {duration}.",
    drill_failed="The last trial restore failed: {moment}.",
    never_proven="Not proven yet: no trial restore has been made.",
    response="Response time",
    response_about="of the slowest replica, last 24 hours",
    registration="Registration time",
    registration_about="of a complete test registration, last 24 hours",
    chart_label="{name}: median {median} ms, worst {worst} ms at {moment}",
    median="median",
    worst="worst",
    worst_at="worst at {moment}",
    milliseconds="ms",
    chart_empty="Nothing has been measured yet.",
    chart_axes="hours in UTC, logarithmic scale",
    current="Happening now",
    past="Past incidents",
    no_incidents="No incident in the last 90 days.",
    began="began",
    lasted="lasted {duration}",
    lasts="for {duration} so far",
    ended_alone="It ended without a step of the monitor.",
    no_step_yet="No step has been taken yet.",
    actions={
        "restart": "Restart",
        "full-restart": "Restart of all containers",
        "restart-docker": "Restart of the container engine",
        "reboot": "Reboot of the server",
        "clean-up": "Clean-up of the disk",
        "mend-owners": "Repair of the files' owners",
    },
    outcomes={True: "done", False: "failed", None: "at work"},
    attempts={},
    attempt="{} of {}",
    steps_left_out="{steps} not shown",
    incidents_left_out="{incidents} not shown",
    footer="All times are UTC. This page renews itself every 30 seconds.",
    as_data="This page as data",
    units={
        "day": ("day", "days", "days", "days"),
        "hour": ("hour", "hours", "hours", "hours"),
        "minute": ("minute", "minutes", "minutes", "minutes"),
        "second": ("second", "seconds", "seconds", "seconds"),
        "booking": ("booking", "bookings", "bookings", "bookings"),
        "step": ("step", "steps", "steps", "steps"),
        "incident": ("older incident", "older incidents", "older incidents", "older incidents"),
        "on day": ("day", "days", "days", "days"),
        "every second": ("second", "seconds", "seconds", "seconds"),
    },
)

RUSSIAN = Texts(
    language="ru",
    other_language="en",
    other_name="English",
    title="Состояние сервиса",
    months=(
        "января",
        "февраля",
        "марта",
        "апреля",
        "мая",
        "июня",
        "июля",
        "августа",
        "сентября",
        "октября",
        "ноября",
        "декабря",
    ),
    decimal_point=",",
    states={
        "ok": "Всё работает.",
        "degraded": "Сервис работает, но не всё в порядке: {names}.",
        "degraded-behind": "Сервис работает, но есть техническая неполадка.",
        "outage": "Сервис сейчас недоступен.",
        "outage-in-part": "Сейчас недоступно: {names}.",
        "maintenance": "Идут технические работы.",
        "unknown": "Состояние неизвестно.",
    },
    state_names={
        "ok": "работает",
        "degraded": "с ограничениями",
        "outage": "недоступен",
        "maintenance": "технические работы",
        "unknown": "неизвестно",
    },
    as_of="По состоянию на",
    stale="Обновляется не реже чем раз в {interval}. Если это время давно прошло, не работает сам монитор.",
    person_needed="Автоматические меры не помогли. Вызван специалист.",
    person_needed_tag="нужен специалист",
    maintenance="Технические работы",
    maintenance_until="Ожидаемое окончание: {until}. До этого возможны короткие перерывы в работе.",
    maintenance_no_end="Возможны короткие перерывы в работе.",
    maintenance_reason="Причина:",
    quoted="«{}»",
    services="Онлайн-сервисы",
    service_names={
        "booking": "Заказ уборки",
        "account": "Вход и регистрация",
        "website": "Доступ к сайту",
    },
    service_health={
        "ok": "Работает",
        "degraded": "Работает с ограничениями",
        "starting": "Запускается",
        "outage": "Не работает",
        "unknown": "Неизвестно",
    },
    operator="Для оператора",
    operator_about="Технические части, на которых держатся эти сервисы, каждая отдельно, и результаты измерений.",
    programs="Программы",
    host="Сервер",
    names={
        "docker": "Среда контейнеров (Docker)",
        "redis": "Кэш (Redis)",
        "api": "API",
        "replica": "API, реплика {number}",
        "proxy": "Вход (прокси)",
        "ingress": "Доступ снаружи",
        "disk": "Место на диске",
        "memory": "Память",
        "clock": "Часы",
        "certificate": "Сертификат",
        "backup": "Резервные копии",
        "database": "База данных",
        "release": "Последний выпуск",
    },
    health={
        "ok": "Работает",
        "degraded": "Работает с ограничениями",
        "starting": "Запускается",
        "refusing": "Отклоняет запросы",
        "sick": "Не отвечает",
        "down": "Не работает",
        "missing": "Отсутствует",
        "blocked": "Не может работать",
        "forbidden": "Нет прав на свои файлы",
    },
    host_health={
        "ok": "В порядке",
        "degraded": "Требует внимания",
        "starting": "Проверяется",
        "refusing": "Критическое состояние",
        "sick": "Критическое состояние",
        "down": "Критическое состояние",
        "missing": "Отсутствует",
        "blocked": "Критично",
        "forbidden": "Критично",
    },
    not_seen="Ещё не проверялось",
    since="с {moment}",
    uptime="доступность {percent} % за {days}",
    uptime_label="{percent} % времени наблюдения без сбоев за {days}; сбои в течение {bad}",
    uptime_not_known="ещё нет данных",
    days_ago="90 дней назад",
    today="сегодня",
    bars_legend=("без сбоев", "короткий сбой", "больше 1 часа", "нет данных"),
    not_watched="нет данных",
    day_down="{day}: сбои, {duration}",
    backups="Резервные копии",
    backups_about="Копии базы данных и пробные восстановления, которые подтверждают их пригодность.",
    backups_unknown="О резервных копиях пока ничего не известно: сведений о них ещё не было.",
    backup_names={
        "local": "Копии на этом сервере",
        "remote": "Копии вне сервера",
        "replica": "Непрерывная копия",
    },
    backup_health={"ok": "В порядке", "degraded": "Требует внимания", "unknown": "Копии ещё нет"},
    backup_age="Возраст последней: {duration}.",
    replica_behind="Отставание от базы данных: {duration}.",
    replica_level="Содержит всё, что есть в базе данных.",
    replica_unknown="Отставание от базы данных неизвестно.",
    proven="Проверено восстановлением: {moment}.",
    proven_restored="Проверено восстановлением: {moment}. Восстановлено: {bookings}, длительность: {duration}.",
    drill_failed="Последнее пробное восстановление не удалось: {moment}.",
    never_proven="Ещё не проверено: пробных восстановлений не было.",
    response="Время ответа",
    response_about="самой медленной реплики, за последние 24 часа",
    registration="Время регистрации",
    registration_about="полной пробной регистрации, за последние 24 часа",
    chart_label="{name}: медиана {median} мс, худшее {worst} мс в {moment}",
    median="медиана",
    worst="худшее",
    worst_at="худшее в {moment}",
    milliseconds="мс",
    chart_empty="Измерений ещё нет.",
    chart_axes="часы по UTC, логарифмическая шкала",
    current="Сейчас",
    past="Прошедшие сбои",
    no_incidents="За последние 90 дней сбоев не было.",
    began="начало",
    lasted="длительность: {duration}",
    lasts="длительность пока: {duration}",
    ended_alone="Закончилось без вмешательства монитора.",
    no_step_yet="Меры ещё не принимались.",
    actions={
        "restart": "Перезапуск",
        "full-restart": "Перезапуск всех контейнеров",
        "restart-docker": "Перезапуск среды контейнеров",
        "reboot": "Перезагрузка сервера",
        "clean-up": "Очистка диска",
        "mend-owners": "Исправление владельцев файлов",
    },
    outcomes={True: "выполнено", False: "не удалось", None: "выполняется"},
    attempts={"slow retry": "редкий повтор", "by Docker": "средствами Docker"},
    attempt="{} из {}",
    steps_left_out="ещё {steps} не показано",
    incidents_left_out="ещё {incidents} не показано",
    footer="Время указано по UTC. Страница обновляется каждые 30 секунд.",
    as_data="Эта страница в виде данных",
    units={
        "day": ("день", "дня", "дней", "дня"),
        "hour": ("час", "часа", "часов", "часа"),
        "minute": ("минута", "минуты", "минут", "минуты"),
        "second": ("секунда", "секунды", "секунд", "секунды"),
        "booking": ("заказ", "заказа", "заказов", "заказа"),
        "step": ("шаг", "шага", "шагов", "шага"),
        "incident": ("более ранний сбой", "более ранних сбоя", "более ранних сбоев", "более раннего сбоя"),
        "on day": ("дня", "дней", "дней", "дня"),
        "every second": ("секунду", "секунды", "секунд", "секунды"),
    },
)

LANGUAGES = {texts.language: texts for texts in (ENGLISH, RUSSIAN)}
