"""Sample customers, agents and past calls: for the demo, the end-to-end tests, and nobody's real database."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.agents.directory import Agent, Directory
from card_api.agents.repository import save_agent
from card_api.calls.repository import CallRepository
from card_api.calls.row import call_row
from card_api.customers.categories import CategoryRecord, upsert_categories
from card_api.customers.records import upsert_customers
from card_api.customers.rows import rows_of
from card_api.customers.schemas import (
    AccountWrite,
    CustomerWrite,
    OrderWrite,
    PersonWrite,
    PhoneWrite,
    TicketWrite,
)
from shared.contracts.call import (
    Call,
    CallEndReason,
    Caller,
    CallState,
    CallUpdate,
    Direction,
    Leg,
    LegEndReason,
    LegState,
    QueueStay,
)
from shared.numbers import Purpose
from shared.phone import display
from shared.security import Passwords

SOURCE = "sample"

_CATEGORIES = (
    CategoryRecord("vip", "VIP", "#b8860b", 10),
    CategoryRecord("debtor", "Должник", "#b22222", 5),
    CategoryRecord("partner", "Партнёр", "#2e6f9e", 3),
)

_AGENTS = (
    ("101", "Анна Смирнова", "agent"),
    ("102", "Дмитрий Кузнецов", "agent"),
    ("103", "Мария Волкова", "agent"),
    ("104", "Олег Соколов", "supervisor"),
)

# Two customers share it: a couple with one telephone at home.
SHARED_NUMBER = "+78432223344"

# Callers nobody knows.
_STRANGERS = (
    ("+79261234567", ""),
    ("+79031112200", "UNKNOWN CALLER"),
    ("+74957776655", "ООО Незнакомка"),
    ("+442079460111", "London"),
)

_TICKETS = (
    "Не работает интернет",
    "Низкая скорость вечером",
    "Перенос точки подключения",
    "Вопрос по счёту за прошлый месяц",
    "Замена роутера",
)
_PRODUCTS = ("Интернет 100", "Интернет 500", "Интернет и ТВ", "Телефония для офиса", "Облачная АТС")
_GOODS = (
    ("Роутер Wi-Fi 6", "3990.00"),
    ("ТВ-приставка", "4500.00"),
    ("Настройка сети на дому", "1200.00"),
    ("IP-телефон", "5900.00"),
)
_ORDER_STATES = ("в работе", "доставлен", "передан курьеру", "отменён")

# Name, numbers, category, how to address (if not plain from the name). Numbers of the Asterisk scenarios come first,
# so that a real call in the tests shows a customer.
_PERSONS: tuple[tuple[str, tuple[str, ...], str | None, str | None], ...] = (
    ("Иванов Пётр Сергеевич", ("+79001112233", "+78432100001"), "vip", None),
    ("Соколова Елена Викторовна", ("+79001112244",), None, None),
    ("Морозов Андрей Ильич", ("+79001112255",), "debtor", None),
    ("Васильева Ольга Николаевна", ("+79001112266",), None, None),
    ("Фёдоров Михаил Юрьевич", ("+79001110001", "+78432100005"), None, None),
    ("Каримова Алсу Рустамовна", ("+79001110002",), "vip", "Алсу Рустамовна"),
    ("Петров Иван Алексеевич", ("+79005556677",), None, None),
    ("Лебедев Константин Павлович", ("+79003334455",), None, None),
    ("Захарова Нина Петровна", ("+79007778899",), None, None),
    ("Гайнутдинов Рамиль Маратович", (SHARED_NUMBER, "+79172340010"), None, None),
    ("Гайнутдинова Лилия Фаридовна", (SHARED_NUMBER,), None, None),
    ("Новиков Сергей Дмитриевич", ("+79161000012",), None, None),
    ("Козлова Татьяна Андреевна", ("+79161000013",), None, None),
    ("Павлов Артём Игоревич", ("+79161000014",), "debtor", None),
    ("Семёнова Юлия Олеговна", ("+79161000015",), None, None),
    ("Голубев Виктор Степанович", ("+79161000016",), None, None),
    ("Виноградова Ирина Львовна", ("+79161000017",), None, None),
    ("Богданов Тимур Русланович", ("+79161000018",), None, None),
    ("Воробьёва Светлана Геннадьевна", ("+79161000019",), None, None),
    ("Алиев Рашад Фарид оглы", ("+79161000020",), None, "Рашад"),
    ("Беляев Никита Романович", ("+79261000021",), None, None),
    ("Тарасова Екатерина Максимовна", ("+79261000022",), "vip", None),
    ("Комаров Евгений Борисович", ("+79261000023",), None, None),
    ("Орлова Дарья Владимировна", ("+79261000024",), None, None),
    ("Киселёв Глеб Антонович", ("+79261000025",), None, None),
    ("Макарова Полина Денисовна", ("+79261000026",), None, None),
    ("Андреев Лев Николаевич", ("+79261000027",), None, None),
    ("Степанова Вера Ивановна", ("+79261000028",), None, None),
    ("Никитин Роман Витальевич", ("+79261000029",), None, None),
    ("Жукова Алёна Сергеевна", ("+79261000030",), None, None),
    ("John Smith", ("+442079460123",), None, None),
    ("Emily Carter", ("+12025550143",), "vip", None),
)

_COMPANIES: tuple[tuple[str, tuple[str, ...], str | None, tuple[tuple[str, str | None], ...]], ...] = (
    ("ООО «Ромашка»", ("+74951230001", "+79851230001"), "partner", (("Рябова Инна Львовна", "бухгалтер"),)),
    ("АО «Волжский завод»", ("+78432770002",), "vip", (("Громов Игорь Петрович", "главный инженер"),)),
    ("ИП Сафин Д. Р.", ("+79172340003",), None, ()),
    ("ООО «Северный ветер»", ("+78123450004",), "debtor", (("Белов Антон Ильич", "директор"),)),
    ("Стоматология «Улыбка»", ("+78432990005",), None, (("Администратор", None),)),
    ("Гостиница «Кремлёвская»", ("+78432920006",), None, (("Ресепшен", None),)),
    ("Blue Harbour Ltd", ("+442079460007",), "partner", (("Kate Morris", "office manager"),)),
    ("Nordic Timber AB", ("+46850000008",), None, ()),
)


async def load_samples(engine: AsyncEngine, password: str = "") -> None:
    """Put the samples into the database; safe to repeat. With a `password` also the agents 101-104, who sign in with
    it."""
    now = datetime.now(UTC).replace(microsecond=0)
    password_hash = await asyncio.to_thread(Passwords().hash, password) if password else None
    async with engine.begin() as connection:
        await upsert_categories(connection, _CATEGORIES)
        await upsert_customers(connection, [rows_of(customer, "RU") for customer in sample_customers(now)])
        if password_hash is not None:
            for agent in sample_agents():
                await save_agent(connection, agent, password_hash)
    directory = Directory.of(sample_agents())
    rows = [call_row(past, past.to_json(), directory, lambda _: "RU") for past in _past_calls(now)]
    await CallRepository(engine).store(rows)


def sample_callers() -> list[tuple[str, str]]:
    """Who calls in the demo: (number, the name the network shows or ""); customers mostly, and some strangers."""
    known = [(numbers[0], "") for _, numbers, _, _ in _PERSONS] + [
        (n[0], name) for name, n, _, _ in _COMPANIES
    ]
    return list(dict.fromkeys([*known, *_STRANGERS]))  # a shared number calls as often as any


def sample_agents() -> list[Agent]:
    """Agents 101-104 at the phones PJSIP/agent101 … of the simulator and of the Asterisk harness."""
    return [
        Agent(login, name, login, role, "ru", True, ((f"PJSIP/agent{login}", None),))
        for login, name, role in _AGENTS
    ]


def sample_customers(now: datetime) -> list[CustomerWrite]:
    """Some forty persons and companies; dates count back from `now`."""
    numbers = itertools.count(1)
    persons = [
        _customer(next(numbers), name, "person", phones, category, now, greet_as=greet_as)
        for name, phones, category, greet_as in _PERSONS
    ]
    companies = [
        _customer(next(numbers), name, "company", phones, category, now, people=people)
        for name, phones, category, people in _COMPANIES
    ]
    return persons + companies


def _customer(
    n: int,
    name: str,
    kind: Literal["person", "company"],
    phones: tuple[str, ...],
    category: str | None,
    now: datetime,
    *,
    greet_as: str | None = None,
    people: tuple[tuple[str, str | None], ...] = (),
) -> CustomerWrite:
    """Deals out contracts, orders and tickets by number, so that every kind of card comes up and stays the same."""
    tickets = []
    if n % 3 == 1:
        opened = now - timedelta(days=n % 7, hours=n)
        subject = _TICKETS[n % len(_TICKETS)]
        tickets.append(
            TicketWrite(number=f"T-{4000 + n}", subject=subject, status="открыта", opened_at=opened)
        )
    if n % 4 == 0:
        opened = now - timedelta(days=40 + n)
        closed = opened + timedelta(days=2)
        tickets.append(
            TicketWrite(
                number=f"T-{3000 + n}",
                subject="Подключение",
                status="закрыта",
                opened_at=opened,
                closed_at=closed,
            )
        )
    orders = []
    if n % 2 == 1:
        title, price = _GOODS[n % len(_GOODS)]
        orders.append(
            OrderWrite(
                number=f"{70000 + n}",
                title=title,
                status=_ORDER_STATES[n % len(_ORDER_STATES)],
                amount=Decimal(price),
                currency="RUB",
                ordered_at=now - timedelta(days=3 * n),
            )
        )
    product = _PRODUCTS[n % len(_PRODUCTS)]
    status = "приостановлен" if category == "debtor" else "действует"
    accounts = [AccountWrite(number=f"Д-{100200 + n}", status=status, product=product)]
    if category != "debtor" and (n % 5 == 0 or kind == "company"):
        accounts.append(
            AccountWrite(number=f"Д-{200200 + n}", status="действует", product="Интернет на даче")
        )
    return CustomerWrite(
        source=SOURCE,
        external_id=f"C-{n:04}",
        name=name,
        kind=kind,
        greet_as=greet_as,
        category=category,
        manager=_AGENTS[n % len(_AGENTS)][1] if category in ("vip", "partner") else None,
        tags=["новый тариф"] if n % 6 == 0 else [],
        phones=[
            PhoneWrite(
                number=display(number),
                purpose=Purpose.MOBILE if number.startswith("+79") else Purpose.CONTACT,
            )
            for number in phones
        ],
        people=[PersonWrite(name=name, role=role) for name, role in people],
        accounts=accounts,
        orders=orders,
        tickets=tickets,
    )


def _past_calls(now: datetime) -> list[CallUpdate]:
    """Calls of the last days: answered, given up, and one the other way round."""
    callers = [number for number, _ in sample_callers()[:12]]
    made = []
    for n, number in enumerate(callers * 2):
        started = now - timedelta(days=1 + n * 2, minutes=37 * n)
        made.append(_past_call(n, number, started))
    return made


def _past_call(n: int, number: str, started: datetime) -> CallUpdate:
    login = _AGENTS[n % len(_AGENTS)][0]
    answered = started + timedelta(seconds=12 + n) if n % 4 != 3 else None
    ended = (answered or started) + timedelta(seconds=45 + 31 * n % 400)
    outbound = n % 5 == 4
    leg = Leg(
        endpoint="PJSIP/trunk" if outbound else f"PJSIP/agent{login}",
        agent=None if outbound else login,
        channel=f"PJSIP/sample-{n:08x}",
        state=LegState.ENDED,
        ringing_at=started + timedelta(seconds=5),
        answered_at=answered,
        ended_at=ended,
        end_reason=LegEndReason.HANGUP if answered else LegEndReason.CANCELLED,
    )
    reason = CallEndReason.COMPLETED if answered else CallEndReason.ABANDONED
    call = Call(
        call_id=f"sample-{n:04}",
        pbx="sample",
        direction=Direction.OUTBOUND if outbound else Direction.INBOUND,
        state=CallState.ENDED,
        caller=Caller(number=login, endpoint=f"PJSIP/agent{login}") if outbound else Caller(number=number),
        did=number if outbound else "+78000000003",
        queue=None if outbound else QueueStay(name="support"),
        legs=[leg],
        started_at=started,
        answered_at=answered,
        ended_at=ended,
        end_reason=reason,
        missed=answered is None and not outbound,
    )
    return CallUpdate(pbx=call.pbx, call_id=call.call_id, version=1, change="ended", at=ended, call=call)
