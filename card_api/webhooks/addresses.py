"""Where web hooks may go.

Whoever sets one up makes this server speak to an address of their choice. Private networks are allowed by default,
because that is where the CRM of a company with its own PBX stands; a site whose CRM teams are not its own turns it off
(`CALLCARD_WEBHOOKS__ALLOW_PRIVATE=false`). Link-local addresses are refused always: clouds hand out the machine's
credentials there, and nobody's CRM lives there.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host name, port) → IP addresses. Raises OSError."""

# Metadata services that are not link-local: AWS (IPv6), Alibaba.
_METADATA = frozenset({ip_address("fd00:ec2::254"), ip_address("100.100.100.200")})
_NAT64 = ip_network("64:ff9b::/96")


class Refused(Exception):
    """Nothing is sent there: a sentence."""


def refusal(address: Address, allow_private: bool) -> str | None:
    """Why nothing may be sent to this address; None: it may."""
    address = _inner(address)
    if address.is_link_local or address in _METADATA:
        return f"{address} is a link-local or metadata address: web hooks never go there"
    # ::1 lies in a reserved block.
    reserved = address.is_reserved and not address.is_loopback
    if address.is_multicast or address.is_unspecified or reserved:
        return f"{address} is no address of a server"
    if not allow_private and not address.is_global:
        return f"{address} is a private address, and CALLCARD_WEBHOOKS__ALLOW_PRIVATE is false"
    return None


def refusal_of(url: str, allow_private: bool) -> str | None:
    """The same of an address that is written in a URL; of a name nothing is known before it is looked up."""
    try:
        address = ip_address(httpx.URL(url).host.partition("%")[0])
    except ValueError:
        return None
    return refusal(address, allow_private)


def _inner(address: Address) -> Address:
    """The IPv4 address in an IPv6 one that leads to it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


async def resolve(host: str, port: int) -> Sequence[str]:
    """Asks the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedTransport(httpx.AsyncBaseTransport):
    """Looks the name up itself and connects to what it has checked: a name that changes its address between a check
    and a connection (DNS rebinding) gets nowhere. Raises `Refused`, and what httpx raises."""

    def __init__(self, allow_private: bool, resolve: Resolve = resolve) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        # Made with the first delivery: reading the authorities to trust takes as long as a third of a start.
        self._inner: httpx.AsyncHTTPTransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        try:
            addresses = await self._resolve(host, request.url.port or 0)
        except OSError as error:
            raise httpx.ConnectError(f"the name {host} cannot be looked up: {error.strerror}") from error
        reasons, allowed = [], []
        for text in addresses:
            reason = refusal(ip_address(text.partition("%")[0]), self._allow_private)
            if reason is None:
                allowed.append(text)
            else:
                reasons.append(reason)
        if not allowed:
            raise Refused(reasons[0] if reasons else f"the name {host} has no address")
        for address in allowed[:-1]:
            try:
                return await self._at(request, address)
            except httpx.ConnectError:
                continue
        return await self._at(request, allowed[-1])

    async def _at(self, request: httpx.Request, address: str) -> httpx.Response:
        if self._inner is None:
            # No connection is kept: one to this address, proven to be one host's, must not carry another's request.
            self._inner = httpx.AsyncHTTPTransport(
                verify=httpx.create_ssl_context(), limits=httpx.Limits(max_keepalive_connections=0)
            )
        return await self._inner.handle_async_request(
            httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,  # Host says the name
                stream=request.stream,
                # The certificate must be the name's.
                extensions={**request.extensions, "sni_hostname": request.url.host},
            )
        )

    async def aclose(self) -> None:
        if self._inner is not None:
            await self._inner.aclose()
