"""Why cards would not show: judged from facts, and the facts from a PBX."""

import asyncio
from dataclasses import replace

import pytest

from ami_listener.connection import AmiAccount
from ami_listener.doctor import Facts, Finding, Level, examine, judge
from ami_listener.tracker.endpoints import EndpointRules
from services.simulator import FULL_ACCOUNT, LEAST_ACCOUNT, SimAccount, Simulator, SimulatorConfig
from shared.contracts.call import PbxLink
from tests.ami_listener.stub import AmiStub

HEALTHY = Facts(
    where="pbx:5038",
    username="callcard",
    link=PbxLink.UP,
    banner="Asterisk Call Manager/11.0.0",
    version="Asterisk 22.10.1",
    actions=frozenset({"CoreShowChannels", "QueueStatus", "CoreStatus", "Originate", "Filter"}),
    read=frozenset({"call", "agent", "dtmf", "user", "system"}),
    timestamps=True,
    members={"support": ("PJSIP/agent101", "PJSIP/agent102")},
    channels=(),
)
RULES = EndpointRules(agent_patterns=("PJSIP/agent*",))


def troubles(facts: Facts, rules: EndpointRules = RULES) -> list[Finding]:
    return [finding for finding in judge(facts, rules) if finding.level is not Level.OK]


class TestJudge:
    def test_a_healthy_pbx_has_no_troubles(self) -> None:
        findings = judge(HEALTHY, RULES)
        assert {finding.level for finding in findings} == {Level.OK}
        assert "Asterisk 22.10.1" in findings[0].sentence

    @pytest.mark.parametrize(
        ("change", "level", "says", "advises"),
        [
            ({"read": frozenset({"agent"})}, Level.ERROR, "'call' events: no call is seen", "read="),
            ({"read": frozenset({"call"})}, Level.WARN, "'agent' events: queue calls show without", "read="),
            ({"read": frozenset({"call", "agent", "user", "system"})}, Level.WARN, "'dtmf'", "Add dtmf"),
            ({"read": None}, Level.WARN, "not known whether", "test call"),
            ({"channels": None}, Level.WARN, "may not list channels", "reporting"),
            ({"actions": frozenset({"Originate"})}, Level.WARN, "QueueStatus", "reporting"),
            ({"banner": "Asterisk Call Manager/1.3"}, Level.ERROR, "older than Asterisk 13", "Asterisk 13"),
            ({"members": {"support": ("SIP/provider-a",)}}, Level.ERROR, "SIP/provider-a", "AGENTS"),
            ({"members": {}}, Level.WARN, "No queue of this PBX has a member", "Add members"),
        ],
    )
    def test_each_trouble_has_its_sentence_and_its_advice(
        self, change: dict[str, object], level: Level, says: str, advises: str
    ) -> None:
        found = [f for f in troubles(replace(HEALTHY, **change)) if says in f.sentence]  # type: ignore[arg-type]
        assert found
        assert found[0].level is level
        assert advises in (found[0].advice or "")

    def test_what_was_seen_is_known_even_if_the_account_does_not_tell(self) -> None:
        facts = replace(
            HEALTHY, read=None, seen_classes=frozenset({"call", "agent", "dtmf", "user", "system"})
        )
        assert troubles(facts) == []

    def test_all_means_all(self) -> None:
        assert troubles(replace(HEALTHY, read=frozenset({"all"}))) == []

    def test_channel_variables_need_a_class_and_a_filter(self) -> None:
        rules = EndpointRules(agent_patterns=("PJSIP/agent*",), variables=frozenset({"CONTRACT"}))
        (finding,) = troubles(HEALTHY, rules)
        assert "may not read 'dialplan' events" in finding.sentence
        assert "Add dialplan to read=" in (finding.advice or "")
        assert HEALTHY.read is not None
        assert HEALTHY.actions is not None
        reading = replace(HEALTHY, read=HEALTHY.read | {"dialplan"})
        assert troubles(reading, rules) == []
        (finding,) = troubles(replace(reading, actions=HEALTHY.actions - {"Filter"}), rules)
        assert "every VarSet" in finding.sentence
        assert "\neventfilter = ^Event: VarSet.*Variable: _*(CONTRACT)[[:cntrl:]]" in (finding.advice or "")

    def test_members_as_freepbx_queues_name_them_are_agents(self) -> None:
        members = {"support": ("hint:101@ext-local", "Local/102@from-queue/n")}
        assert troubles(replace(HEALTHY, members=members), EndpointRules()) == []

    def test_patterns_that_match_nobody(self) -> None:
        facts = replace(HEALTHY, members={}, channels=(("PJSIP/trunk", "from-pstn", "+79001112233"),))
        says = [f.sentence for f in troubles(facts, EndpointRules(agent_patterns=("SIP/1??",)))]
        assert any("None of the agents' endpoints" in sentence for sentence in says)

    def test_a_pbx_that_cannot_be_reached_is_the_only_finding(self) -> None:
        (finding,) = judge(Facts("pbx:5038", "u", PbxLink.LOST, "No connection to pbx:5038."), RULES)
        assert finding.level is Level.ERROR
        assert "bindaddr" in (finding.advice or "")


class TestExamine:
    async def facts(self, account: SimAccount) -> Facts:
        async with Simulator(SimulatorConfig(seed=1)) as pbx:
            host, port = pbx.address
            return await examine(AmiAccount(host, port, account.username, account.secret), listen=0)

    async def test_a_full_account(self) -> None:
        facts = await self.facts(FULL_ACCOUNT)
        assert facts.link is PbxLink.UP
        assert facts.banner == "Asterisk Call Manager/11.0.0"
        assert facts.version == "Asterisk 22.10.1"
        assert facts.members is not None
        assert "PJSIP/agent101" in facts.members["support"]
        assert facts.channels == ()
        assert "system" in facts.seen_classes  # FullyBooted came
        assert not [f for f in judge(facts, EndpointRules()) if f.level is Level.ERROR]

    async def test_the_least_account(self) -> None:
        facts = await self.facts(LEAST_ACCOUNT)
        assert facts.link is PbxLink.UP
        assert "system" not in facts.seen_classes

    async def test_a_wrong_password(self) -> None:
        facts = await self.facts(SimAccount("callcard", "wrong"))
        assert facts.link is PbxLink.REFUSED
        (finding,) = judge(facts, EndpointRules())
        assert "manager.conf" in finding.sentence

    async def test_what_the_account_says_of_itself(self, stub: AmiStub) -> None:
        asking = asyncio.create_task(examine(AmiAccount("127.0.0.1", stub.port, "callcard", "x"), listen=0))
        session = await stub.session()
        commands = await session.next("ListCommands")
        session.answer(commands, CoreStatus="Show status. (Priv: system,all)", Originate="Originate a call.")
        for name in ("CoreSettings", "CoreShowChannels", "Status", "QueueStatus"):
            session.answer(await session.next(name), "Error", Message="Permission denied")
        show = await session.next("Command")
        assert show["Command"] == "manager show user callcard"
        session.packet(
            ("Response", "Success"),
            ("ActionID", show["ActionID"]),
            ("Message", "Command output follows"),
            ("Output", "       username: callcard"),
            ("Output", "      read perm: call,agent"),
            ("Output", "     write perm: originate"),
        )
        facts = await asking
        assert facts.actions == {"CoreStatus", "Originate"}
        assert facts.read == {"call", "agent"}
        assert facts.channels is None
        assert facts.members is None
