"""The words of reasons and dates, in the agent's language."""

from datetime import datetime

_FORMS = {
    # one, few, many; English has one and many
    "ru": {
        "day": ("день", "дня", "дней"),
        "week": ("неделю", "недели", "недель"),
        "month": ("месяц", "месяца", "месяцев"),
        "year": ("год", "года", "лет"),
    },
    "en": {
        "day": ("day", "days", "days"),
        "week": ("week", "weeks", "weeks"),
        "month": ("month", "months", "months"),
        "year": ("year", "years", "years"),
    },
}
_AGO = {"ru": "{} {} назад", "en": "{} {} ago"}
_NEAR = {"ru": ("сегодня", "вчера"), "en": ("today", "yesterday")}

_REASONS = {
    "ru": {
        "agent": "указан в этом звонке",
        "account": "назван номер договора",
        "ticket": "открытая заявка {}",
        "order": "заказ {} в работе",
        "mobile": "личный номер",
        "contact": "контактный номер",
        "work": "рабочий номер",
        "home": "домашний номер",
        "sms": "номер для SMS",
        "fax": "факс",
        "number": "номер указан у клиента",
        "talk": "говорили {}",
        "talk_with_you": "говорили с вами {}",
        "manager": "вы — личный менеджер",
        "category": "категория «{}»",
    },
    "en": {
        "agent": "named in this call",
        "account": "gave the contract number",
        "ticket": "open ticket {}",
        "order": "order {} in progress",
        "mobile": "own number",
        "contact": "contact number",
        "work": "number at work",
        "home": "number at home",
        "sms": "number for SMS",
        "fax": "fax",
        "number": "the customer has this number",
        "talk": "talked {}",
        "talk_with_you": "talked to you {}",
        "manager": "you are the personal manager",
        "category": "category {}",
    },
}


def in_words(reason: str, what: str | datetime | None, language: str, now: datetime) -> str:
    """`заказ 77 в работе`. `what`: the reason's number, label or moment. `now` says also in which zone days end."""
    words = _REASONS.get(language, _REASONS["en"])[reason]
    return words.format(ago(what, language, now) if isinstance(what, datetime) else what)


def ago(moment: datetime, language: str, now: datetime) -> str:
    """`сегодня`, `вчера`, `3 дня назад`, `2 недели назад` … by the calendar of `now`'s zone; the future is today."""
    days = max(0, (now.date() - moment.astimezone(now.tzinfo).date()).days)
    spoken = language if language in _FORMS else "en"
    if days < len(_NEAR[spoken]):
        return _NEAR[spoken][days]
    # Two of a unit before it is used: "2 weeks ago" says more than "1 week ago" of 13 days.
    for unit, length in (("year", 365), ("month", 30), ("week", 7)):
        if days >= length * 2:
            return _AGO[spoken].format(days // length, plural(days // length, unit, spoken))
    return _AGO[spoken].format(days, plural(days, "day", spoken))


def plural(count: int, unit: str, language: str) -> str:
    """The form of day, week, month or year that goes with this count: 1 день, 2 дня, 5 дней, 11 дней, 21 день."""
    one, few, many = _FORMS[language][unit]
    if language != "ru":
        return one if count == 1 else many
    if count % 10 == 1 and count % 100 != 11:
        return one
    return few if count % 10 in (2, 3, 4) and count % 100 not in (12, 13, 14) else many
