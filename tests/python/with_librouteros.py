"""Uses the simulated router through `librouteros`, which knows nothing of it.

The router holds the accounts alice (online, kept alive by every means) and bob.
Ends with alice cut off, bob disabled, and exits with an error at the first surprise.
"""

import sys

from librouteros import connect
from librouteros.exceptions import LibRouterosError, TrapError
from librouteros.query import Key, Or

PORT = int(sys.argv[1])


def log_in(password):
    return connect("127.0.0.1", "api", password, port=PORT, timeout=5)


def refused(text, action):
    try:
        action()
    except TrapError as error:
        assert text in str(error), f"expected `{text}`, got `{error}`"
    else:
        raise AssertionError(f"expected `{text}`, was not refused")


def ids(path, key, value):
    return [row[".id"] for row in path.select(Key(".id")).where(Key(key) == value)]


def main():
    try:
        log_in("wrong")
    except LibRouterosError as error:
        assert "invalid user name or password" in str(error), error
    else:
        raise AssertionError("a wrong password was accepted")

    api = log_in("secret")
    (identity,) = api.path("system", "identity")
    assert identity == {"name": "independent"}, identity

    users = api.path("ip", "hotspot", "user")
    name, disabled = Key("name"), Key("disabled")
    rows = list(users.select(name, disabled))
    assert rows == [
        {"name": "alice", "disabled": False},
        {"name": "bob", "disabled": False},
    ], rows
    both = list(users.select(name).where(name.In("bob", "alice", "nobody")))
    assert [row["name"] for row in both] == ["alice", "bob"], both
    either = list(users.select(name).where(Or(name == "bob", name == "nobody")))
    assert [row["name"] for row in either] == ["bob"], either
    neither = list(users.select(name).where(name != "bob", name != "alice"))
    assert neither == [], neither

    # A word of each length prefix up to four bytes, in both directions.
    for size in (1, 127, 128, 16_383, 16_384, 300_000):
        comment = "x" * size
        users.update(**{".id": ids(users, "name", "bob")[0], "comment": comment})
        (row,) = users.select(Key("comment")).where(name == "bob")
        assert row["comment"] == comment, size

    carol = users.add(name="carol", password="p")
    refused("already have user", lambda: users.add(name="carol"))
    assert ids(users, "name", "carol") == [carol]
    # Without an id nothing is removed, and nothing is said.
    assert list(api.rawCmd("/ip/hotspot/user/remove", "?name=carol")) == []
    assert ids(users, "name", "carol") == [carol]
    users.remove(carol, users.add(name="dave"))
    assert len(list(users)) == 2
    refused("no such item", lambda: users.remove(carol))
    refused("no such command", lambda: list(api.path("ip", "nonsense")))
    refused("unknown parameter", lambda: users.update(**{".id": "bob", "colour": "red"}))

    for _ in range(200):
        (row,) = users.select(name).where(name == "bob")
        assert row == {"name": "bob"}

    # Pipelined: answers may mix, each in its own order.
    tags = [str(number) for number in range(50)]
    for tag in tags:
        words = ("=.proplist=name", f".tag={tag}")
        api.protocol.writeSentence("/ip/hotspot/user/print", *words)
    answers = {tag: [] for tag in tags}
    while any(answer[-1:] != ["!done"] for answer in answers.values()):
        word, words = api.protocol.readSentence()
        (tag,) = (word[5:] for word in words if word.startswith(".tag="))
        names = [word for word in words if word.startswith("=name=")]
        answers[tag].extend(names or [word])
    for tag, answer in answers.items():
        assert answer == ["=name=alice", "=name=bob", "!done"], (tag, answer)

    cut(api, "alice")
    bob = ids(users, "name", "bob")[0]
    users.update(**{".id": bob, "disabled": True})
    assert [row["name"] for row in users.select(name).where(Key("disabled") == "true")] == [
        "alice",
        "bob",
    ]
    api.close()


def cut(api, user):
    users = api.path("ip", "hotspot", "user")
    active = api.path("ip", "hotspot", "active")
    hosts = api.path("ip", "hotspot", "host")
    connections = api.path("ip", "firewall", "connection")
    (session,) = active.select(Key("address"), Key("mac-address")).where(Key("user") == user)
    for row in ids(users, "name", user):
        tuple(users("disable", **{".id": row}))
    api.path("ip", "hotspot", "cookie").remove(
        *ids(api.path("ip", "hotspot", "cookie"), "user", user)
    )
    active.remove(*ids(active, "user", user))
    hosts.remove(*ids(hosts, "mac-address", session["mac-address"]))
    sides = [
        Key(f"{side}-address") for side in ("src", "dst", "reply-src", "reply-dst")
    ]
    for row in connections.select(Key(".id"), *sides):
        addresses = [row[str(side)].split(":")[0] for side in sides]
        if session["address"] in addresses:
            connections.remove(row[".id"])
    assert ids(active, "user", user) == []


main()
