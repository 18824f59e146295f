"""The status page's document: what it says, in which language, and that no text of an incident can break it."""

import re
from collections.abc import Callable
from dataclasses import asdict
from html.parser import HTMLParser

import pytest
from cleaning_service_monitor import charts
from cleaning_service_monitor.ladder import DAY, Health
from cleaning_service_monitor.page import render
from cleaning_service_monitor.texts import ENGLISH, LANGUAGES, RUSSIAN, Texts

from tests.monitor import statuses
from tests.monitor.statuses import NOW, Status

_VOID = {"meta", "link", "br"}
_CASES = (
    statuses.healthy,
    statuses.quarter,
    statuses.outage,
    statuses.maintenance,
    statuses.first_day,
    statuses.broken_backups,
)
_NASTY = "</style><script>alert('\"&amp;')</script><img src=x onerror=y>" * 20


class _Document(HTMLParser):
    """Checks that what was opened is closed, and collects what a person reads and what a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] or "" for _, attributes in self.tags if attribute in attributes]


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.__name__)
def test_document_is_whole_and_needs_nothing_else(case: Callable[[], Status], language: str) -> None:
    text = render(case(), language)
    document = _Document(text)
    assert ("html", {"lang": language}) in document.tags
    assert ("meta", {"http-equiv": "refresh", "content": "30"}) in document.tags
    names = {tag for tag, _ in document.tags}
    assert not names & {"script", "img", "iframe", "object", "form"}
    assert not document.values("src")
    other = "ru" if language == "en" else "en"
    hrefs = [href for href in document.values("href") if not href.startswith(("#", "data:image/svg+xml,"))]
    assert hrefs == [f"/status/{other}", "/status.json"]
    assert "url(" not in text
    assert "@import" not in text
    assert len(text.encode()) < 150_000
    ids = document.values("id")
    assert len(ids) == len(set(ids))
    assert "25 Nov 2026, 05:33:45 UTC" in document.text or "25 ноября 2026, 05:33:45 UTC" in document.text


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("text", [_NASTY, "\x00\u202e\ud800", "я" * 9000, "", "&" * 5000])
def test_no_text_breaks_the_document_or_makes_it_large(text: str, language: str) -> None:
    document = render(statuses.worst_case(text), language)
    parsed = _Document(document)
    assert not {tag for tag, _ in parsed.tags} & {"script", "img"}
    assert len(document.encode()) < 150_000


def test_long_cause_is_cut() -> None:
    status = statuses.healthy()
    status["incidents"][0]["cause"] = "x" * 5000
    text = render(status, "en")
    assert "x" * 200 in text
    assert "x" * 300 not in text


@pytest.mark.parametrize(
    ("state", "unwell", "english", "russian"),
    [
        ("ok", {}, "Everything works.", "Всё работает."),
        (
            "degraded",
            {},
            "The service works, but a technical part needs attention.",
            "Сервис работает, но есть техническая неполадка.",
        ),
        (
            "degraded",
            {"website": "degraded"},
            "The service works, but not all is well: Website entrance.",
            "Сервис работает, но не всё в порядке: «Доступ к сайту».",
        ),
        ("degraded", {"booking": "unknown"}, "The state is not known.", "Состояние неизвестно."),
        (
            "outage",
            {"account": "outage"},
            "Not available right now: Signing in and registering.",
            "Сейчас недоступно: «Вход и регистрация».",
        ),
        (
            "outage",
            {"booking": "outage", "account": "starting", "website": "outage"},
            "The service is not available right now.",
            "Сервис сейчас недоступен.",
        ),
        ("maintenance", {"booking": "starting"}, "Maintenance is under way.", "Идут технические работы."),
        ("another", {}, "The state is not known.", "Состояние неизвестно."),
    ],
)
def test_state_is_told_in_one_sentence(state: str, unwell: dict[str, str], english: str, russian: str) -> None:
    status = statuses.healthy()
    status["state"] = state
    status["components"][1]["health"] = "ok" if state == "ok" else "sick"
    for service in status["services"]:
        service["health"] = unwell.get(service["name"], "ok")
    assert f"<h1>{english}</h1>" in render(status, "en")
    assert f"<h1>{russian}</h1>" in render(status, "ru")


@pytest.mark.parametrize(
    ("language", "services", "heading", "technical"),
    [
        (
            "en",
            ["Booking", "Signing in and registering", "Website entrance"],
            "For the operator",
            ("Container", "Cache", "API", "replica", "proxy", "Docker", "Redis", "Memory", "GET "),
        ),
        (
            "ru",
            ["Заказ уборки", "Вход и регистрация", "Доступ к сайту"],
            "Для оператора",
            ("контейнер", "Кэш", "API", "реплик", "прокси", "Docker", "Redis", "Память", "GET "),
        ),
    ],
)
@pytest.mark.parametrize("case", [statuses.healthy, statuses.quarter, statuses.outage], ids=lambda case: case.__name__)
def test_clients_read_of_services_and_operators_of_the_rest_below(
    case: Callable[[], Status], language: str, services: list[str], heading: str, technical: tuple[str, ...]
) -> None:
    text = render(case(), language)
    assert re.findall(r"<h3>([^<]+)</h3>", text)[:3] == services
    clients, _, operators = _Document(text).text.partition(heading)
    assert not [word for word in technical if word in clients]
    assert all(word in operators for word in technical[:5])


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_legend_of_the_bars_is_told_once(language: str) -> None:
    legend = LANGUAGES[language].bars_legend
    text = _Document(render(statuses.healthy(), language)).text
    assert text.count(legend[1]) == text.count(legend[2]) == 1


@pytest.mark.parametrize("watched", [1, 2, 21, 90])
def test_every_uptime_says_of_how_many_days_it_speaks(watched: int) -> None:
    status = statuses.quarter()
    for days in (*status["days"].values(), *(service["days"] for service in status["services"])):
        for day in days[:-watched]:
            day["down"] = None
    for language, spoken in (("en", ENGLISH), ("ru", RUSSIAN)):
        document, days = _Document(render(status, language)), spoken.count(watched, "day")
        figures = re.findall(r"(?:uptime|доступность) [\d.,]+ %([^<]*)", render(status, language))
        assert len(figures) == 3 + len(statuses.KINDS)
        assert all(figure.endswith(f" {days}") for figure in figures)
        labels = [label for label in document.values("aria-label") if "%" in label]
        assert len(labels) == len(figures)
        assert all(days in label for label in labels)


def test_incident_is_told_from_its_cause_to_its_end() -> None:
    text = _Document(render(statuses.healthy(), "en")).text
    assert "API, replica 1" in text
    assert "25 Nov, 03:20:25 UTC · lasted 13 seconds" in text
    assert "GET /health/ready: no answer within 3 s" in text
    assert "03:20:31Restart (1 of 5): donethe container was restarted" in text
    assert "25 Nov, 03:20:38 UTC" not in text.split("Past incidents")[1]
    assert "lasted 1 hour 6 minutes" in text
    assert "Restart of the container engine (1 of 2): failed" in text
    assert "It ended without a step of the monitor." in text


def test_open_incident_comes_first_and_a_person_is_asked_for() -> None:
    text = _Document(render(statuses.outage(), "ru")).text
    assert text.index("Сейчас") < text.index("Сервер") < text.index("Прошедшие сбои")
    assert "нужен специалист" in text
    assert "Вызван специалист" in text
    assert "длительность пока: 5 минут 10 секунд" in text
    assert "Перезапуск среды контейнеров (5 из 5): выполняется" in text
    assert "Вызван" not in render(statuses.healthy(), "ru")


def test_of_many_steps_the_first_and_the_last_are_told() -> None:
    status = statuses.healthy()
    status["incidents"][0]["steps"] *= 50
    text = render(status, "en")
    assert "40 steps not shown" in text
    status["incidents"][0]["steps"] = status["incidents"][0]["steps"][:11]
    assert "not shown" not in render(status, "en")


def test_maintenance_tells_its_end_and_why() -> None:
    text = _Document(render(statuses.maintenance(), "en")).text
    assert "Expected to end by 25 Nov, 05:46:45 UTC." in text
    assert "Reason: rollout by the playbook" in text
    status = statuses.maintenance()
    status["paused"] = {"until": None, "reason": ""}
    assert "Reason" not in render(status, "en")


def test_english_of_the_monitor_is_marked_on_the_russian_page() -> None:
    text = render(statuses.healthy(), "ru")
    assert '<span lang="en">the container was restarted</span>' in text
    assert '<span lang="en">' not in render(statuses.healthy(), "en")


def test_first_day_has_empty_states() -> None:
    text = _Document(render(statuses.first_day(), "en")).text
    assert "Nothing has been measured yet." in text
    assert "No incident in the last 90 days." in text
    assert "Not looked at yet" in text
    status = statuses.first_day()
    status["days"] = {}
    assert "not watched yet" in render(status, "en")


def test_backups_are_told_with_their_age_and_their_proof() -> None:
    english = _Document(render(statuses.healthy(), "en")).text
    assert "Copies on this serverFineAge of the newest: 16 minutes.Last proven: 22 Nov, 03:09 UTC." in english
    assert "Restored: 1234 bookings, took 31 seconds." in english
    assert "Continuous copyFineIt holds everything that the database holds.Last proven" in english
    russian = _Document(render(statuses.healthy(), "ru")).text
    assert "Копии на этом сервереВ порядкеВозраст последней: 16 минут.Проверено восстановлением: 22 ноября" in russian
    assert "Восстановлено: 1234 заказа, длительность: 31 секунда." in russian
    assert "Непрерывная копияВ порядкеСодержит всё, что есть в базе данных." in russian


def test_backups_without_a_copy_without_a_proof_and_broken_ones_are_told() -> None:
    text = _Document(render(statuses.first_day(), "en")).text
    assert "Copies on this serverNo copy yetNot proven yet: no trial restore has been made." in text
    assert "Copies elsewhereFineAge of the newest: 30 seconds.Not proven yet" in text
    assert "Continuous copyNo copy yetHow far it is behind is not known." in text
    broken = _Document(render(statuses.broken_backups(), "en")).text
    assert "Copies on this serverNeeds attentionAge of the newest: 16 minutes." in broken
    assert "The last trial restore failed: 22 Nov, 03:09 UTC." in broken
    assert "Copies elsewhereNeeds attentionAge of the newest: 9 hours 16 minutes." in broken
    assert "Behind the database by: 1 minute 15 seconds." in broken


def test_no_backups_are_told_where_none_are_looked_at_or_none_have_reported() -> None:
    status = statuses.healthy()
    status["backups"] = []
    assert "Nothing is known of the backups" in render(status, "en")
    status["backups"] = None
    text = render(status, "en")
    assert "Nothing is known of the backups" not in text
    assert "Copies of the database" not in text


def test_a_proof_that_tells_no_figures_and_a_backup_of_the_future() -> None:
    status = statuses.healthy()
    status["backups"][0]["drill"]["bookings"], status["backups"][0]["at"] = None, NOW + 3600
    text = _Document(render(status, "en")).text
    assert "Age of the newest: 0 seconds.Last proven: 22 Nov, 03:09 UTC.Copies elsewhere" in text


def test_day_of_another_year_has_its_year() -> None:
    status = statuses.healthy()
    status["components"][0]["since"] = NOW - 400 * DAY
    assert "since 21 Oct 2025, 05:33 UTC" in _Document(render(status, "en")).text


def test_uptime_is_rounded_down_and_counts_what_was_watched() -> None:
    days: list[Status] = [
        {"day": "2026-11-23", "down": None},
        {"day": "2026-11-24", "down": 1.0},
        {"day": "2026-11-25", "down": 0},
    ]
    assert charts.uptime(days, NOW) == 99.99
    assert charts.uptime(days[:1], NOW) is None
    assert charts.uptime([{"day": "x", "down": 0.0}] * 90, NOW) == 100
    assert charts.uptime([{"day": "x", "down": DAY}] * 3, NOW) == 0
    midnight = NOW - NOW % DAY
    assert charts.uptime([{"day": "x", "down": 30.0}], midnight + 60) == 50.0


def test_days_differ_by_shape_as_well() -> None:
    days = [{"day": "d", "down": down} for down in (None, 0.0, 13.1, 7200.0)]
    drawn = charts.bars(days, ENGLISH, "a label")
    shapes = {}
    for level, shape in re.findall(r'<path class="(\w+)" d="([^"]+)"', drawn):
        shapes[level] = re.sub(r"M\d+ ", "M ", shape)
    assert len(set(shapes.values())) == 4
    assert "d: incidents of 2 hours" in drawn


def test_chart_breaks_where_nothing_was_measured() -> None:
    begin = (NOW // 300) * 300
    buckets = [[begin - 3000 + 300 * number, 4.0, 9.0] for number in (0, 1, 2, 6, 9)]
    drawn = charts.line(buckets, NOW, ENGLISH, "Response")
    line = re.findall(r'class="line" d="([^"]+)"', drawn)[0]
    assert line.count("M") == 3
    assert "nan" not in drawn


@pytest.mark.parametrize("value", [0.0, 0.04, 1.0, 3.3, 10.0, 999.0, 123456.7])
@pytest.mark.parametrize("factor", [1, 1.5, 10, 100, 5000])
def test_scale_holds_every_value(value: float, factor: float) -> None:
    levels = charts._scale(value, value * factor)
    assert levels == sorted(set(levels))
    assert levels[0] <= max(value, 0.1)
    assert levels[-1] >= value * factor
    assert 2 <= len(levels) <= 7
    drawn = charts.line([[NOW - 600, value, value * factor], [NOW - 300, value, value]], NOW, ENGLISH, "Response")
    area = re.findall(r'class="area" d="([^"]+)"', drawn)[0]
    heights = [int(y) for y in re.findall(r"[ML]\d+ (-?\d+)", area)]
    assert len(heights) == 4
    assert all(0 <= height <= 160 for height in heights)


@pytest.mark.parametrize(
    ("seconds", "english", "russian"),
    [
        (0.04, "0 seconds", "0 секунд"),
        (-3, "0 seconds", "0 секунд"),
        (1, "1 second", "1 секунда"),
        (4.25, "4.2 seconds", "4,2 секунды"),
        (9.97, "10 seconds", "10 секунд"),
        (13.1, "13 seconds", "13 секунд"),
        (22, "22 seconds", "22 секунды"),
        (61, "1 minute 1 second", "1 минута 1 секунда"),
        (3600, "1 hour", "1 час"),
        (3605, "1 hour", "1 час"),
        (21 * 60, "21 minutes", "21 минута"),
        (2 * 86400 + 5 * 3600 + 9, "2 days 5 hours", "2 дня 5 часов"),
        (111 * 86400, "111 days", "111 дней"),
    ],
)
def test_durations_have_their_plurals(seconds: float, english: str, russian: str) -> None:
    assert ENGLISH.duration(seconds) == english
    assert RUSSIAN.duration(seconds) == russian


def test_both_languages_have_every_text() -> None:
    english, russian = asdict(ENGLISH), asdict(RUSSIAN)
    for name, text in english.items():
        if isinstance(text, dict) and name != "attempts":
            assert text.keys() == russian[name].keys(), name
        if isinstance(text, str):
            assert re.findall(r"{\w*}", text) == re.findall(r"{\w*}", russian[name]), name
            assert text.strip()
            assert russian[name].strip()
    assert len(RUSSIAN.months) == len(ENGLISH.months) == 12


@pytest.mark.parametrize("texts", LANGUAGES.values(), ids=lambda texts: texts.language)
def test_every_health_has_a_word(texts: Texts) -> None:
    assert texts.health.keys() == texts.host_health.keys() == {health.value for health in Health}
