"""How a transfer ended, where everything happened in one moment: a quick PBX, or a chunk of events read at once."""

from datetime import UTC, datetime

import pytest

from ami_listener.tracker.outcomes import transfer_outcome
from ami_listener.tracker.state import CallRecord, QueueRecord, TransferRecord
from shared.contracts.call import QueueOutcome, TransferKind, TransferOutcome

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stay", "outcome"),
    [
        (
            QueueOutcome.ANSWERED,
            TransferOutcome.FAILED,
        ),  # the stay that led to who passed the call on, to nowhere
        (QueueOutcome.TIMEOUT, TransferOutcome.NO_ANSWER),  # the stay that the transfer led to
    ],
)
def test_a_queue_of_the_same_moment(stay: QueueOutcome, outcome: TransferOutcome) -> None:
    call = CallRecord("main-1.1", NOW, ["1.1"], False)
    call.queue = QueueRecord("support", NOW, 1, outcome=stay)
    transfer = TransferRecord(TransferKind.BLIND, "PJSIP/101", "PJSIP/101", "999", NOW, 0)
    assert transfer_outcome(call, transfer) is outcome
