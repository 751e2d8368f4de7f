"""Which URLs of a client's choice may be called from here.

Whoever may name a URL may otherwise have this machine speak to what only it can reach: itself, the network
around it, the metadata service of its cloud. So a URL is read strictly, and every address is checked that is
really connected to, after the name has been looked up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network

from halfrate.domain.errors import ConfigError, InvalidArgument

Network = IPv4Network | IPv6Network

URL_CHARS_MAX = 2_048


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, read. ``path`` has the query too. ``address`` is known where ``host`` needs no look-up."""

    scheme: str
    host: str
    port: int
    path: str
    address: str | None = None

    @property
    def authority(self) -> str:
        """Return the host and port, as the header of a call names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


class Targets:
    """What may be called: https at public addresses, and what is on the list of exceptions.

    ``allow`` names hosts and networks. A host on it may be at any address, on any port; ``allow_http`` lets
    plain http go to what is on the list, and to nothing else. ``web`` is for reading pages: plain http goes
    to public addresses too, and what is not on the list must be on the usual port.
    """

    def __init__(self, allow: Sequence[str] = (), *, allow_http: bool = False, web: bool = False) -> None:
        """Raise `ConfigError` for an entry that is neither a host nor a network."""
        self._networks = [network for entry in allow if (network := _network(entry))]
        self._hosts = {entry.lower() for entry in allow if not _network(entry)}
        self._allow_http = allow_http
        self._web = web
        for host in self._hosts:
            if not _is_name(host):
                raise ConfigError(
                    f"{host!r} is neither a host nor a network. Write it as in hooks.internal or 10.0.0.0/8."
                )

    def read(self, url: str) -> Target:
        """Return a URL's parts. Raise `InvalidArgument` if it is no URL, or can be seen to be forbidden."""
        target = _read(url)
        listed = target.host in self._hosts or self._networks
        if target.scheme == "http" and not (self._web or (self._allow_http and listed)):
            raise _refused(url, "it must begin with https://")
        if self._web and target.port not in _PORTS.values() and not listed:
            raise _refused(url, f"pages are not read on port {target.port}")
        if target.address is not None:
            self.admit(target, target.address)
        return target

    def admit(self, target: Target, address: str) -> None:
        """Return if ``target`` may be called at ``address``. Raise `InvalidArgument` if not."""
        found = ip_address(address.partition("%")[0])
        if target.host in self._hosts or any(found in network for network in self._networks):
            return
        where = f"{target.scheme}://{target.authority}"
        if target.scheme != "https" and not self._web:
            raise _refused(
                where, "plain http is for hosts that the server's settings allow by name or network"
            )
        if self._web and target.port not in _PORTS.values():
            raise _refused(where, f"pages are not read on port {target.port}")
        if not _is_public(found):
            raise _refused(where, f"{found} is no public address, and the server's settings do not allow it")


def _refused(url: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"The URL {url[:200]!r} cannot be called: {why}.")


# Reading: what has two readings has none ---------------------------------------------------------------

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)"
    r"(?P<port>:[0-9]{1,5})?"
    r"(?P<path>(?:/[!$%&'()*+,./0-9:;=@a-z_~-]*)?(?:\?[!$%&'()*+,./0-9:;=?@a-z_~-]*)?)",
    re.ASCII | re.IGNORECASE,
)
_PORTS = {"https": 443, "http": 80}
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


def _read(url: str) -> Target:
    if len(url) > URL_CHARS_MAX:
        raise _refused(url, f"it has more than {URL_CHARS_MAX} characters")
    if "@" in re.split(r"[/?#\\]", url.partition("://")[2], maxsplit=1)[0]:
        raise _refused(url.partition("://")[0] + "://...", "it has a user name in it; sign the body instead")
    found = _URL.fullmatch(url)
    if found is None:
        raise _refused(url, "it is not a plain https URL of visible ASCII characters, without a fragment")
    scheme, host = found["scheme"].lower(), found["host"].lower()
    port = int(found["port"][1:]) if found["port"] else _PORTS[scheme]
    if not 1 <= port <= 65_535:
        raise _refused(url, f"there is no port {port}")
    path = found["path"]
    path = path if path.startswith("/") else f"/{path}"
    if host.startswith("["):
        host = host[1:-1]
        return Target(scheme, host, port, path, _address(url, host))
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        # 127.1, 0x7f000001 and the like are addresses too, to some; here they are mistakes.
        return Target(scheme, host, port, path, _address(url, host))
    if not _is_name(host):
        raise _refused(url, f"{host!r} is not the name of a host")
    known = "127.0.0.1" if host == "localhost" or host.endswith(".localhost") else None
    return Target(scheme, host, port, path, known)


def _address(url: str, host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        raise _refused(url, f"{host!r} is not an address in its usual form") from None


def _is_name(host: str) -> bool:
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in host.split("."))


def _network(entry: str) -> Network | None:
    try:
        return ip_network(entry)
    except ValueError:
        if "/" in entry:
            raise ConfigError(f"{entry!r} is not a network. Write it as in 10.0.0.0/8.") from None
        return None


# Addresses: tables of our own, as those of Python change with its versions ------------------------------


def _is_public(address: object) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _UNICAST_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


_NOT_PUBLIC_V4 = [
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a provider's customers; metadata in some clouds
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # the host of a virtual machine, in one cloud
        "169.254.0.0/16",  # link-local; metadata in most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; metadata in one cloud
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays to IPv6
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
]

_UNICAST_V6 = IPv6Network("2000::/3")
"""All public IPv6. Outside are loopback, private, link-local, multicast and IPv4-mapped ones, and NAT64."""

_NOT_PUBLIC_V6 = [
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, among them Teredo, which has an IPv4 address inside
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which has an IPv4 address inside
        "3fff::/20",  # documentation
    )
]
