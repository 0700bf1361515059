"""Whose end is it? Right without any setting on the usual systems."""

import pytest

from ami_listener.tracker.endpoints import EndpointKind, EndpointRules, endpoint_of

AGENT, TRUNK, OTHER = EndpointKind.AGENT, EndpointKind.TRUNK, EndpointKind.OTHER


@pytest.mark.parametrize(
    ("channel", "endpoint"),
    [
        ("PJSIP/agent101-0000000b", "PJSIP/agent101"),
        ("SIP/my-trunk-0000abcd", "SIP/my-trunk"),
        ("PJSIP/SIP-1611151795-00000004", "PJSIP/SIP-1611151795"),
        ("Local/101@from-internal-00000002;1", "Local/101@from-internal"),
        ("DAHDI/i1/79001234567-3", "DAHDI/i1"),
        ("IAX2/office-1234", "IAX2/office"),
        ("SIP/100-0000001f<ZOMBIE>", "SIP/100"),
        ("", ""),
    ],
)
def test_endpoint_is_the_name_without_its_tail(channel: str, endpoint: str) -> None:
    assert endpoint_of(channel) == endpoint


@pytest.mark.parametrize(
    ("channel", "context", "number", "kind"),
    [
        # plain pjsip, as in the recordings and as people write it
        ("PJSIP/agent101-00000001", "internal", "101", AGENT),
        ("PJSIP/trunk-00000001", "from-pstn", "+79001112233", TRUNK),
        ("PJSIP/alice-00000001", "internal", "101", AGENT),
        ("PJSIP/alice-00000001", "phones", "+78430000000", AGENT),
        ("PJSIP/operator-7-00000001", "operators", None, AGENT),
        ("PJSIP/mango-00000001", "from-mango", "79001112233", TRUNK),
        ("PJSIP/mango-00000001", "mango-in", "79001112233", TRUNK),
        ("PJSIP/beeline-2021-00000001", "incoming", "79001112233", TRUNK),
        ("PJSIP/mts-00000001", "did-routes", "79001112233", TRUNK),
        ("PJSIP/pbx-gw-00000001", "default", "79001112233", TRUNK),
        ("PJSIP/101-00000001", "default", "101", AGENT),
        ("PJSIP/sip101-00000001", "internal", "101", AGENT),
        ("PJSIP/softphone-00000001", "default", "205", AGENT),
        # FreePBX, with its device-and-user mode and browser phones
        ("PJSIP/100-00000001", "from-internal", "100", AGENT),
        ("PJSIP/101-00000001", "from-internal", "+74951234567", AGENT),
        ("PJSIP/99101-00000001", "from-internal", "101", AGENT),
        ("PJSIP/MyTrunk-00000001", "from-pstn", "79001112233", TRUNK),
        ("PJSIP/beeline-00000001", "from-pstn", "101", TRUNK),
        ("PJSIP/mango-out-00000001", "from-pstn", "79001112233", TRUNK),
        ("PJSIP/dpma_endpoint-00000001", "from-internal", "100", AGENT),
        ("PJSIP/anonymous-00000001", "from-sip-external", "anonymous", TRUNK),
        ("PJSIP/lte-00000001", "from-pstn-toheader", "79001112233", TRUNK),
        ("IAX2/branch-1234", "from-internal", "301", AGENT),
        # ... seen late, in the middle of its dialplan
        ("PJSIP/MyTrunk-00000001", "ext-queues", "79001112233", TRUNK),
        ("PJSIP/MyTrunk-00000001", "from-internal-xfer", "79001112233", TRUNK),
        ("PJSIP/beeline-00000001", "from-internal-xfer", "79001112233", OTHER),
        ("PJSIP/beeline-00000001", "macro-dial-one", "79001112233", OTHER),
        ("PJSIP/101-00000001", "macro-dial-one", "79001112233", AGENT),
        ("PJSIP/101-00000001", "ext-did", "101", TRUNK),
        # Issabel and Elastix: chan_sip
        ("SIP/1001-0000abcd", "from-internal", "1001", AGENT),
        ("SIP/beeline-0000abcd", "from-trunk-sip-beeline", "+79001112233", TRUNK),
        ("SIP/74951234567-0000abcd", "default", "79001112233", TRUNK),
        ("SIP/my-trunk-0000abcd", "default", "79001112233", TRUNK),
        # DAHDI: ISDN spans, analogue lines and analogue phones; GSM
        ("DAHDI/i1/79001234567-3", "from-digital", "79001112233", TRUNK),
        ("DAHDI/i2/101-3", "from-internal", "101", TRUNK),
        ("DAHDI/4-1", "from-analog", "79001112233", TRUNK),
        ("DAHDI/4-1", "from-zaptel", None, TRUNK),
        ("DAHDI/3-1", "from-internal", "103", AGENT),
        ("Dongle/dongle0-0100000001", "from-mobile", "+79001112233", TRUNK),
        ("Khomp/B0C1-1234", "default", "79001112233", TRUNK),
        # MikoPBX
        ("PJSIP/201-00000001", "all_peers", "201", AGENT),
        ("PJSIP/201-WS-00000001", "all_peers", "201", AGENT),
        ("PJSIP/201-00000001", "internal-users", "79001112233", AGENT),
        (
            "PJSIP/SIP-PROVIDER-34F7CCFE873-00000001",
            "SIP-PROVIDER-34F7CCFE873-incoming",
            "79001112233",
            TRUNK,
        ),
        ("PJSIP/SIP-TRUNK-34F7CCFE-00000001", "SIP-TRUNK-34F7CCFE-incoming", "79001112233", TRUNK),
        ("PJSIP/SIP-1611151795-00000004", "SIP-1611151795-incoming", "79001112233", TRUNK),
        ("PJSIP/SIP-1611151795-00000004", "internal", "79001112233", TRUNK),
        ("PJSIP/SIP-TRUNK-1-00000001", "default", "101", TRUNK),
        ("IAX2/IAX-1611151795-1234", "IAX-1611151795-incoming", "79001112233", TRUNK),
        ("PJSIP/anonymous-00000001", "public-direct-dial", "79001112233", TRUNK),
        # Wazo: random names, contexts that tell
        ("PJSIP/p4t8xo2k-00000001", "ctx-acme-internal-7d0c", "1001", AGENT),
        ("PJSIP/hf7c0sqa-00000001", "ctx-acme-incall-7d0c", "79001112233", TRUNK),
        ("PJSIP/hf7c0sqa-00000001", "incall", "79001112233", TRUNK),
        ("PJSIP/hf7c0sqa-00000001", "from-extern", "79001112233", TRUNK),
        # Asterisk GUI, Grandstream
        ("SIP/6001-00000001", "DLPN_DialPlan1", "6001", AGENT),
        ("PJSIP/trunk_1-00000001", "DID_trunk_1", "79001112233", TRUNK),
        # telephones by their channel type
        ("SCCP/reception-00000001", "default", None, AGENT),
        # nothing tells
        ("PJSIP/somebody-00000001", "default", None, OTHER),
        ("", "", None, OTHER),
    ],
)
def test_guess(channel: str, context: str, number: str | None, kind: EndpointKind) -> None:
    assert EndpointRules().kind(endpoint_of(channel), context, number) is kind


@pytest.mark.parametrize(
    ("member", "kind"),
    [
        ("Local/101@from-queue/n", AGENT),
        ("hint:101@ext-local", AGENT),
        ("Agent/101", AGENT),
        ("PJSIP/101", AGENT),
        ("Local/89001112233@from-queue/n", OTHER),
        ("Local/s@robot", OTHER),
    ],
)
def test_queue_members_by_what_queues_call_them(member: str, kind: EndpointKind) -> None:
    assert EndpointRules().kind(member, "", None) is kind


def test_settings_win_over_the_guess() -> None:
    rules = EndpointRules(
        agents={"PJSIP/trunk": "anna"},
        agent_patterns=("SIP/provider-*",),
        trunk_patterns=("PJSIP/1*",),
        internal_contexts=("from-pstn-office",),
        inbound_contexts=("from-internal-*",),
    )
    assert rules.kind("PJSIP/trunk", "from-pstn", None) is AGENT
    assert rules.kind("SIP/provider-7", "from-pstn", None) is AGENT
    assert rules.kind("PJSIP/100", "from-internal", "100") is TRUNK
    assert rules.kind("PJSIP/x", "from-pstn-office", None) is AGENT
    assert rules.kind("PJSIP/x", "from-internal-7", None) is TRUNK


def test_agent_is_the_login_or_else_the_extension() -> None:
    rules = EndpointRules(agents={"PJSIP/agent101": "anna"})
    assert rules.agent("PJSIP/agent101", AGENT, "101") == "anna"
    assert rules.agent("PJSIP/agent102", AGENT, "102") == "102"
    # a phone called by Originate shows the client's number
    assert rules.agent("PJSIP/agent102", AGENT, "+79003334455") == "102"
    # a browser phone is its extension's, and is not named by its own number
    assert rules.agent("PJSIP/201-WS", AGENT, "+79003334455") == "201"
    assert rules.agent("PJSIP/99101", AGENT, "101") == "101"
    assert rules.agent("PJSIP/alice", AGENT, None) is None
    assert rules.agent("PJSIP/trunk12", TRUNK, "12") is None
