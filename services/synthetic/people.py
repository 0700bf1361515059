"""Customers that are nobody's: the n-th is the same for the same seed and day, however many there are."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from services.synthetic import words

SOURCE = "synthetic"

# Numbers that others may share: the last so many of households and of switchboards.
_RECENT = 500


@dataclass(frozen=True, slots=True)
class Number:
    """A phone number as it is found (`e164`) and as its field in the CRM says it: `before` + `typed` + `after`."""

    e164: str
    typed: str
    purpose: str = "contact"
    before: str = ""
    after: str = ""
    extension: str | None = None
    remark: str | None = None

    @property
    def field(self) -> str:
        return self.before + self.typed + self.after


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A customer: `fields` of a `CustomerWrite` in plain JSON types, but for the phones."""

    id: UUID
    fields: dict[str, Any]
    phones: tuple[Number, ...]

    def as_json(self) -> dict[str, Any]:
        """The whole `CustomerWrite`."""
        return self.fields | {"phones": [number.field for number in self.phones]}


def customers(seed: int, now: datetime) -> Iterator[Synthetic]:
    """Without end. Their dates count back from `now` (UTC)."""
    rng = Random(seed)  # noqa: S311 - nobody's secret
    homes: list[str] = []
    switchboards: list[str] = []
    n = 0
    while True:
        n += 1
        kind = rng.random()
        if kind < 0.12:
            yield _company(rng, n, now, switchboards)
        elif kind < 0.16:
            yield _english(rng, n, now)
        else:
            yield _person(rng, n, now, homes)


def _person(rng: Random, n: int, now: datetime, homes: list[str]) -> Synthetic:
    surname, name = _russian(rng)
    phones = [_mobile(rng)]
    more = rng.random()
    if more < 0.12 and homes:
        phones.append(_home(rng, rng.choice(homes)))  # a family has one telephone at home
    elif more < 0.2:
        home = _city(rng)
        _remember(homes, home)
        phones.append(_home(rng, home))
    elif more < 0.38:
        phones.append(_mobile(rng))
    if rng.random() < 0.08:
        phones.append(_mobile(rng))
    fields = _common(rng, n, now, "person", f"{surname} {name}")
    if rng.random() < 0.02:
        fields["names"] = [f"{_russian(rng)[0]} {name}"]  # before a wedding
    if rng.random() < 0.02:
        fields["greet_as"] = name
    return _made(rng, fields, phones)


def _company(rng: Random, n: int, now: datetime, switchboards: list[str]) -> Synthetic:
    title = rng.choice(words.COMPANIES) + (rng.choice(words.TRADES) if rng.random() < 0.7 else "")
    if rng.random() < 0.35 and switchboards:
        # Tenants of one house behind one switchboard, an extension each.
        phones = [_extension(rng, rng.choice(switchboards))]
    else:
        board = _city(rng)
        _remember(switchboards, board)
        phones = [Number(board, _written(rng, board), "work", before="офис ", remark="офис")]
    phones += [_mobile(rng) for _ in range(rng.choice((0, 1, 1, 2)))]
    fields = _common(rng, n, now, "company", rng.choice(words.FORMS).format(title))
    people: dict[str, str | None] = {}
    for _ in range(rng.randint(1, 3)):
        people[" ".join(_russian(rng))] = rng.choice(words.ROLES) if rng.random() < 0.8 else None
    fields["people"] = [{"name": name, "role": role} for name, role in people.items()]
    fields["manager"] = f"{rng.randint(101, 120)}"
    return _made(rng, fields, phones)


def _english(rng: Random, n: int, now: datetime) -> Synthetic:
    first, last = rng.choice(words.ENGLISH_FIRST), rng.choice(words.ENGLISH_LAST)
    e164 = f"+44207{rng.randint(1_000_000, 9_999_999)}"
    typed = rng.choice((f"+44 20 {e164[5:9]} {e164[9:]}", f"+44 (0)20 {e164[5:9]} {e164[9:]}", e164))
    if rng.random() < 0.3:
        fields = _common(rng, n, now, "company", rng.choice(words.ENGLISH_COMPANIES).format(last))
        fields["people"] = [{"name": f"{first} {last}", "role": rng.choice(words.ENGLISH_ROLES)}]
    else:
        fields = _common(rng, n, now, "person", f"{first} {last}")
    return _made(rng, fields, [Number(e164, typed)])


def _common(rng: Random, n: int, now: datetime, kind: str, name: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"source": SOURCE, "external_id": f"S-{n:07}", "kind": kind, "name": name}
    chance = rng.random()
    if chance < 0.03:
        fields |= {"category": "vip", "manager": f"{rng.randint(101, 120)}"}
    elif chance < 0.07:
        fields["category"] = "debtor"
    elif chance < 0.09 and kind == "company":
        fields["category"] = "partner"
    if rng.random() < 0.15:
        fields["tags"] = sorted(set(rng.choices(words.TAGS, k=rng.randint(1, 2))))
    if rng.random() < 0.1:
        fields["attributes"] = {"floor": rng.randint(1, 25), "contact": rng.choice(("mail", "phone", "chat"))}
    if rng.random() < 0.05:
        fields["preferences"] = {"call after": f"{rng.randint(9, 19)}:00"}
    status = "приостановлен" if fields.get("category") == "debtor" else "действует"
    fields["accounts"] = [
        {"number": f"Д-{n:07}", "status": status, "product": rng.choice(words.PRODUCTS)},
        *(
            [{"number": f"Д-{n:07}/2", "status": "действует", "product": "Интернет на даче"}]
            * (rng.random() < 0.1)
        ),
    ]
    fields["orders"] = [_order(rng, f"{n:07}-{k}", now) for k in range(1, 1 + rng.choice((0, 0, 0, 1, 1, 2)))]
    fields["tickets"] = [
        _ticket(rng, f"T-{n:07}-{k}", now) for k in range(1, 1 + rng.choice((0, 0, 0, 0, 1, 2)))
    ]
    return fields


def _order(rng: Random, number: str, now: datetime) -> dict[str, Any]:
    title, cents = rng.choice(words.GOODS)
    return {
        "number": number,
        "title": title,
        "status": rng.choice(words.ORDER_STATES),
        "amount": f"{cents / 100:.2f}",
        "currency": "RUB",
        "ordered_at": _ago(rng, now, 700),
    }


def _ticket(rng: Random, number: str, now: datetime) -> dict[str, Any]:
    is_open = rng.random() < 0.3
    return {
        "number": number,
        "subject": rng.choice(words.SUBJECTS),
        "status": "открыта" if is_open else "закрыта",
        "opened_at": _ago(rng, now, 20) if is_open else _ago(rng, now - timedelta(days=30), 600),
        "closed_at": None if is_open else _ago(rng, now, 30),
    }


def _ago(rng: Random, now: datetime, days: int) -> str:
    return (now - timedelta(seconds=rng.randint(60, days * 86_400))).isoformat()


def _made(rng: Random, fields: dict[str, Any], phones: list[Number]) -> Synthetic:
    once = {(number.e164, number.extension): number for number in reversed(phones)}
    return Synthetic(UUID(int=rng.getrandbits(128), version=4), fields, tuple(reversed(once.values())))


def _russian(rng: Random) -> tuple[str, str]:
    """(surname, name and patronymic), both of one gender."""
    surname, father = rng.choice(words.SURNAMES), rng.choice(words.FATHERS)
    if rng.random() < 0.5:
        return surname, f"{rng.choice(words.MEN)} {father}ич"
    return surname + "а", f"{rng.choice(words.WOMEN)} {father}на"


# --- numbers --------------------------------------------------------------------------------------------------


def _mobile(rng: Random) -> Number:
    e164 = f"+79{rng.randint(0, 99):02}{rng.randint(0, 9_999_999):07}"
    if rng.random() < 0.1:
        return Number(e164, _written(rng, e164), "mobile", before="моб. ", remark="моб")
    return Number(e164, _written(rng, e164))


def _city(rng: Random) -> str:
    return f"+7{rng.choice(words.CITY_CODES)}{rng.randint(2, 7)}{rng.randint(0, 999_999):06}"


def _home(rng: Random, e164: str) -> Number:
    return Number(e164, _written(rng, e164), "home", after=" (дом)", remark="дом")


def _extension(rng: Random, e164: str) -> Number:
    digits = f"{rng.randint(100, 999)}"
    return Number(e164, _written(rng, e164), after=f" доб. {digits}", extension=digits)


def _written(rng: Random, e164: str) -> str:
    """One of the ways in which people write a Russian number."""
    code, a, b, c = e164[2:5], e164[5:8], e164[8:10], e164[10:]
    match rng.randrange(8):
        case 0:
            return f"+7 ({code}) {a}-{b}-{c}"
        case 1:
            return f"8 ({code}) {a}-{b}-{c}"
        case 2:
            return f"8-{code}-{a}-{b}-{c}"
        case 3:
            return f"8{code}{a}{b}{c}"
        case 4:
            return f"7{code}{a}{b}{c}"
        case 5:
            return f"+7 {code} {a} {b} {c}"
        case 6:
            return f"8({code}){a}{b}{c}"
        case _:
            return e164


def _remember(those: list[str], one: str) -> None:
    those.append(one)
    if len(those) > _RECENT:
        del those[0]
