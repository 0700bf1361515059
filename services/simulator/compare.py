"""Is what somebody else says of the calls what really happened? Ground truth beside call documents, field by field."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from services.simulator.truth import Truth
from shared.contracts.call import Call, Presentation

WITHHELD_NUMBER = "anonymous"
"""What the simulated trunk writes where a number should be when the caller hid it."""

Facts = Mapping[str, object]
"""What is compared of a call, by name; plain values that print well."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One call that is told otherwise than it was. fields: name → (what was, what is told)."""

    call_id: str
    scenario: str
    fields: Mapping[str, tuple[object, object]]

    def __str__(self) -> str:
        lines = [f"{self.call_id} ({self.scenario}):"]
        for name, (was, told) in self.fields.items():
            lines += [f"  {name}: was  {was}", f"  {' ' * len(name)}  told {told}"]
        return "\n".join(lines)


def true_facts(truth: Truth) -> Facts:
    """What was, of one call."""
    withheld = truth.number == WITHHELD_NUMBER
    return {
        "direction": truth.direction.value,
        "number": None if withheld else truth.number,
        "withheld": withheld,
        "did": truth.did,
        "digits": truth.digits,
        "queue": truth.queue,
        "queue outcome": truth.queue_outcome and truth.queue_outcome.value,
        "legs": [(leg.endpoint, leg.end_reason and leg.end_reason.value) for leg in truth.legs],
        "talked": [leg.endpoint for leg in truth.legs if leg.answered_at is not None],
        "transfers": [(t.kind.value, t.by, t.to, t.outcome and t.outcome.value) for t in truth.transfers],
        "holds": truth.holds,
        "answered": truth.answered_at is not None,
        "end_reason": truth.end_reason and truth.end_reason.value,
        "missed": truth.missed,
        "gap": False,
    }


def told_facts(call: Call) -> Facts:
    """What is told, of one call: the same names as in `true_facts`."""
    return {
        "direction": call.direction.value,
        "number": call.caller.number,
        "withheld": call.caller.presentation is Presentation.WITHHELD,
        "did": call.did,
        "digits": "".join(pressed.digits for pressed in call.digits),
        "queue": call.queue.name if call.queue else None,
        "queue outcome": call.queue.outcome.value if call.queue and call.queue.outcome else None,
        "legs": [(leg.endpoint, leg.end_reason and leg.end_reason.value) for leg in call.legs],
        "talked": [leg.endpoint for leg in call.legs if leg.answered_at is not None],
        "transfers": [(t.kind.value, t.by, t.to, t.outcome and t.outcome.value) for t in call.transfers],
        "holds": len(call.holds),
        "answered": call.answered_at is not None,
        "end_reason": call.end_reason and call.end_reason.value,
        "missed": call.missed,
        "gap": call.gap,
    }


def difference(truth: Truth, call: Call | None, call_id: str) -> Difference | None:
    """How one call is told otherwise than it was; None if it is told as it was."""
    if call is None:
        return Difference(call_id, truth.scenario, {"stored": (True, False)})
    was, told = true_facts(truth), told_facts(call)
    fields = {name: (value, told[name]) for name, value in was.items() if told[name] != value}
    return Difference(call_id, truth.scenario, fields) if fields else None


def differences(pbx: str, truths: Iterable[Truth], calls: Mapping[str, Call]) -> Iterator[Difference]:
    """Every call that is told otherwise than it was, missing and invented ones too. pbx: the first part of call_ids."""
    real = set()
    for truth in truths:
        call_id = f"{pbx}-{truth.uniqueid}"
        real.add(call_id)
        found = difference(truth, calls.get(call_id), call_id)
        if found is not None:
            yield found
    for call_id in calls.keys() - real:
        yield Difference(call_id, "no such call", {"stored": (False, True)})
