"""The address of a Redis, or of a Redis Cluster, in one line.

    redis://[user:password@]host:6379/0                         one Redis; rediss:// with TLS
    redis+cluster://[user:password@]host:6379,host:6379         a Redis Cluster, by any of its nodes; rediss+cluster://

What follows a `?` are options of redis-py's connections, for every node.
"""

from urllib.parse import urlsplit

from redis.asyncio.connection import parse_url

from shared.cluster_slots import Address

_CLUSTER = "+cluster"
_PORT = 6379


def is_cluster(url: str) -> bool:
    return url.partition("://")[0].endswith(_CLUSTER)


def named_nodes(url: str) -> list[Address]:
    """The nodes that a cluster's URL names. Raises ValueError, a sentence, if it is no such URL."""
    parts = urlsplit(url)
    if parts.path.strip("/") not in ("", "0"):
        raise ValueError(
            "names a database, and a Redis Cluster has only one: leave out the number at the end"
        )
    hosts = [host for host in parts.netloc.rpartition("@")[2].split(",") if host]
    if parts.scheme not in ("redis+cluster", "rediss+cluster") or not hosts:
        raise ValueError("names no node: write it like redis+cluster://node1:6379,node2:6379")
    return [_address(host) for host in hosts]


def node_url(url: str, node: Address) -> str:
    """The URL of one node of the cluster that `url` names."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    host = f"[{node[0]}]" if ":" in node[0] else node[0]
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme.removesuffix(_CLUSTER)}://{user}{at}{host}:{node[1]}/0{query}"


def check_redis_url(url: str) -> str:
    """The URL. Raises ValueError, a sentence that does not repeat it (it may hold a password), if it is none of
    these."""
    if is_cluster(url):
        urls = [node_url(url, node) for node in named_nodes(url)]
    elif "," in urlsplit(url).netloc.rpartition("@")[2]:
        raise ValueError(
            "names several hosts: for a Redis Cluster write redis+cluster://node1:6379,node2:6379"
        )
    else:
        urls = [url]
    for one in urls:
        try:
            parse_url(one)
        except ValueError:
            raise ValueError(
                "is no address of a Redis: write it like redis://host:6379/0, or redis+cluster://node1:6379,node2:6379"
            ) from None
    return url


def _address(host: str) -> Address:
    one = urlsplit(f"//{host}")
    try:
        return one.hostname or "", one.port or _PORT
    except ValueError:
        raise ValueError(f"has a port that is none ({host})") from None
