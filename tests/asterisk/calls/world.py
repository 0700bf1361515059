"""Who takes part in the calls: the PSTN side and the agents' phones of one Asterisk."""
import asyncio
import time

from tests.asterisk.calls.softphone import HOST, Phone

AGENTS = (101, 102, 103, 104)


class World:
    """trunk: the PSTN side; a[101]..a[104]: the agents' phones; ami: the traced connection (set by `run`);
    tech: what channels of these phones are called, PJSIP or SIP."""

    def __init__(self, sip_port, trunk_port, log=None, tech="PJSIP"):
        self.sip_port, self.trunk_port, self.log, self.notes, self.tech = sip_port, trunk_port, log, [], tech

    def note(self, text):
        self.notes.append(text)

    async def start(self):
        srv = (HOST, self.sip_port)
        self.trunk = await Phone("trunk", self.trunk_port, srv, log=self.log).start()
        self.a = {}
        for n in AGENTS:
            p = self.a[n] = await Phone(f"agent{n}", 0, srv, password=f"pw{n}", log=self.log).start()
            await p.register()
        return self

    async def stop(self):
        for p in list(self.a.values()):
            try:
                await p.register(expires=0)
            except Exception:
                pass
            await p.close()
        await self.trunk.close()

    async def quiet(self, ctl, timeout=20, wrapup=3):
        """Wait until no channel is up and every agent can take a queue call again, `wrapup` seconds after the last."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            n = len(ctl.events)
            await ctl.action("CoreShowChannels")
            e = await ctl.event("CoreShowChannelsComplete", since=n)
            n = len(ctl.events)
            await ctl.action("QueueStatus")
            await ctl.event("QueueStatusComplete", since=n)
            m = [x for x in ctl.events[n:] if x.get("Event") == "QueueMember" and x["Queue"] != "load"]
            now = time.time()
            free = all(x["Status"] == "1" and x["Paused"] == "0" and now - int(x["LastCall"]) >= wrapup for x in m)
            if e["ListItems"] == "0" and free:
                return True
            await asyncio.sleep(0.1)
        return False
