"""The kinds of calls the simulator can place; those that were learnt from a recorded trace have its name."""

from collections.abc import Callable, Mapping

from services.simulator.call import Act, Call
from services.simulator.pbx import Pbx
from services.simulator.scenarios import (
    callbacks,
    consultations,
    diversions,
    menu,
    phones,
    queue_calls,
    rooms,
    transfers,
)

Scenario = Callable[[Pbx, Call], Act]

SCENARIOS: Mapping[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        queue_calls.answered_queue_call,
        queue_calls.answered_agent_hangup,
        queue_calls.abandoned_in_queue,
        queue_calls.ring_no_answer_then_other,
        queue_calls.declined_agent,
        queue_calls.ringall_queue,
        queue_calls.queue_timeout,
        queue_calls.anonymous_caller,
        queue_calls.no_caller_id,
        queue_calls.cyrillic_caller_name,
        queue_calls.hold_unhold,
        transfers.blind_transfer_refer,
        transfers.blind_transfer_no_answer,
        transfers.blind_transfer_unanswered,
        transfers.blind_transfer_feature,
        transfers.blind_transfer_nowhere,
        transfers.blind_transfer_to_queue,
        transfers.several_transfers,
        consultations.attended_transfer_refer,
        consultations.attended_transfer_abandoned,
        consultations.attended_transfer_feature,
        consultations.attended_transfer_blonde,
        queue_calls.busy_agent_rejects,
        queue_calls.hangup_by_ami,
        queue_calls.queue_overflow,
        queue_calls.queue_local_members,
        queue_calls.queue_local_members_rna,
        phones.trunk_unreachable,
        phones.second_call_to_talking_agent,
        diversions.call_pickup,
        diversions.phone_forward_302,
        rooms.park_retrieve,
        rooms.park_abandoned,
        rooms.conference_by_transfer,
        callbacks.callback_agent_busy,
        callbacks.callback_agent_no_answer,
        callbacks.callback_client_busy,
        callbacks.callback_client_no_answer,
        callbacks.callback_local_channel,
        menu.ivr_then_queue,
        menu.ivr_timeout_to_queue,
        menu.ivr_caller_hangup,
        menu.out_of_hours,
        phones.direct_did,
        phones.direct_did_missed,
        phones.direct_did_busy,
        phones.internal_call,
        phones.internal_no_answer,
        phones.outbound_answered,
        phones.outbound_no_answer,
        phones.outbound_busy,
        callbacks.callback_originate,
    )
}
"""Name → scenario: what `Simulator.place` and a traffic mix may name."""
