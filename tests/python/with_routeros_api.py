"""Uses the simulated router through `RouterOS-api`, which knows nothing of it.

The router holds the accounts alice (online, kept alive by every means) and bob.
Ends with alice cut off, bob disabled, and exits with an error at the first surprise.
"""

import socket
import sys

from routeros_api import RouterOsApiPool
from routeros_api.exceptions import RouterOsApiCommunicationError
from routeros_api.query import IsEqualQuery, OrQuery

PORT = int(sys.argv[1])


def pool(password):
    return RouterOsApiPool(
        "127.0.0.1", username="api", password=password, port=PORT, plaintext_login=True
    )


def refused(text, action):
    try:
        action()
    except RouterOsApiCommunicationError as error:
        found = error.original_message.decode()
        assert text in found, f"expected `{text}`, got `{found}`"
    else:
        raise AssertionError(f"expected `{text}`, was not refused")


def ids(resource, **query):
    return [row["id"] for row in resource.get(**query)]


def main():
    refused("invalid user name or password", lambda: pool("wrong").get_api())

    connection = pool("secret")
    api = connection.get_api()
    # It sends word by word, and each would wait for the last to be acknowledged.
    connection.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    (identity,) = api.get_resource("/system/identity").get()
    assert identity["name"] == "independent", identity

    users = api.get_resource("/ip/hotspot/user")
    rows = users.call("print", {"proplist": "name,disabled"}, {"name": "bob"})
    assert rows == [{"name": "bob", "disabled": "false"}], rows
    assert users.get(name="nobody") == []
    either = OrQuery(IsEqualQuery("name", "bob"), IsEqualQuery("name", "alice"))
    either = users.call("print", {"proplist": "name"}, additional_queries=[either])
    assert [row["name"] for row in either] == ["alice", "bob"], either

    users.add(name="carol", password="p", comment="=a=b=")
    (carol,) = users.get(name="carol")
    assert carol["comment"] == "=a=b=", carol
    refused("already have user", lambda: users.add(name="carol"))
    # An empty id is no error, and removes nothing.
    users.remove(numbers="")
    assert len(users.get()) == 3
    users.remove(id=carol["id"])
    refused("no such item", lambda: users.remove(id=carol["id"]))
    refused("no such command", lambda: api.get_resource("/ip/nonsense").get())

    # Text is bytes for a router: these are no UTF-8.
    raw = api.get_binary_resource("/ip/hotspot/user")
    raw.set(numbers=b"bob", comment=b"caf\xe9")
    assert raw.get(name=b"bob")[0]["comment"] == b"caf\xe9"

    for _ in range(200):
        assert users.call("print", {"proplist": "name"}, {"name": "bob"}) == [{"name": "bob"}]

    # Pipelined: this library tags every command and sorts the answers itself.
    waiting = [(name, users.get_async(name=name)) for name in ("alice", "bob", "nobody") * 20]
    for name, promise in reversed(waiting):
        found = [row["name"] for row in promise.get()]
        assert found == ([] if name == "nobody" else [name]), (name, found)

    cut(api, "alice")
    users.set(id=ids(users, name="bob")[0], disabled="yes")
    off = [row["name"] for row in users.get(disabled="true")]
    assert off == ["alice", "bob"], off
    connection.disconnect()


def cut(api, user):
    users = api.get_resource("/ip/hotspot/user")
    active = api.get_resource("/ip/hotspot/active")
    hosts = api.get_resource("/ip/hotspot/host")
    cookies = api.get_resource("/ip/hotspot/cookie")
    connections = api.get_resource("/ip/firewall/connection")
    (session,) = active.get(user=user)
    for row in ids(users, name=user):
        users.set(id=row, disabled="yes")
    for row in ids(cookies, user=user):
        cookies.remove(id=row)
    active.remove(id=session["id"])
    for row in hosts.get(mac_address=session["mac-address"]):
        hosts.remove(id=row["id"])
    for row in connections.get():
        sides = (row["src-address"], row["reply-src-address"])
        if session["address"] in [side.split(":")[0] for side in sides]:
            connections.remove(id=row["id"])
    assert active.get(user=user) == []


main()
