#!/usr/bin/env python3
"""The public client library of another service, `opensecureconf-client`, against a server of this one.

    python client.py URL PASSPHRASE TOKEN

Ends with 0 if the server is to the library what the library expects.
"""

import asyncio
import sys

from opensecureconf_client import (
    AuthenticationError,
    ConfigurationExistsError,
    ConfigurationNotFoundError,
    OpenSecureConfClient,
    OpenSecureConfError,
    SSEClient,
)


def refused(error, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except error as said:
        return str(said)
    raise AssertionError(f"{call.__name__}{arguments} was not refused")


def configurations(client):
    made = client.create("database", {"host": "localhost", "port": 5432}, "production", "db")
    assert made["key"] == "database" and made["value"]["port"] == 5432, made
    assert made["environment"] == "production" and made["category"] == "db", made
    assert made["created_at"].endswith("Z") and isinstance(made["id"], int), made
    client.create("database", {"host": "other"}, "staging", "db")
    said = refused(ConfigurationExistsError, client.create, "database", {}, "production")
    assert said == "Configuration with key 'database' already exists in environment 'production'", said
    assert client.read("database", "staging")["value"] == {"host": "other"}
    for number, value in enumerate([{"a": [1, None]}, "text", 7, True, [1, "two"]]):
        assert client.create(f"kind{number}", value, "production")["value"] == value
        read = client.read(f"kind{number}", "production")["value"]
        assert read == value and type(read) is type(value), (read, value)
    assert client.update("database", "production", {"host": "new"}, "sql")["category"] == "sql"
    assert client.read("database", "production")["value"] == {"host": "new"}
    said = refused(ConfigurationNotFoundError, client.read, "none", "production")
    assert said == "Configuration with key 'none' not found in environment 'production'", said
    refused(ConfigurationNotFoundError, client.update, "none", "production", {})
    refused(ConfigurationNotFoundError, client.delete, "none", "production")
    assert client.exists("database", "production") and not client.exists("database", "development")
    assert client.get_or_default("database", "staging", 1)["value"] == {"host": "other"}
    assert client.get_or_default("none", "staging", [1])["value"] == [1]


def many(client):
    configs = [{"key": f"bulk{n}", "value": {"n": n}, "environment": "bulk", "category": "many"} for n in range(5)]
    assert len(client.bulk_create(configs)) == 5
    refused(OpenSecureConfError, client.bulk_create, configs[:1])
    assert client.bulk_create(configs[:2], ignore_errors=True) == []
    items = [{"key": f"bulk{n}", "environment": "bulk"} for n in range(6)]
    assert [one["value"]["n"] for one in client.bulk_read(items, ignore_errors=True)] == [0, 1, 2, 3, 4]
    refused(ConfigurationNotFoundError, client.bulk_read, items)
    assert [one["key"] for one in client.list_all(category="many")] == [f"bulk{n}" for n in range(5)]
    assert (client.count(environment="bulk"), client.count(category="db"), client.count(category="none")) == (5, 1, 0)
    assert client.list_categories() == ["db", "many", "sql"]
    assert client.list_environments() == ["bulk", "production", "staging"]
    gone = client.bulk_delete(items, ignore_errors=True)
    assert (len(gone["deleted"]), [one["key"] for one in gone["failed"]]) == (5, ["bulk5"])
    assert client.count(environment="bulk") == 0


async def events(url, token, client):
    heard = asyncio.Queue()

    async def on_event(event):
        await heard.put((event.event_type, event.key, event.environment, event.category))
        assert "a value that stays" not in str(event.raw_data)

    listening = SSEClient(url, api_key=token, environment="live", on_event=on_event, auto_reconnect=False, log_level="ERROR")
    async with listening:
        await listening.connect()
        assert (await asyncio.wait_for(heard.get(), 10))[0] == "connected"
        assert listening.is_connected() and listening.get_subscription_id()
        await asyncio.to_thread(client.create, "elsewhere", {}, "other")
        await asyncio.to_thread(client.create, "k", {"s": "a value that stays"}, "live", "c")
        await asyncio.to_thread(client.update, "k", "live", {"s": "a value that stays"})
        await asyncio.to_thread(client.delete, "k", "live")
        for event in ["created", "updated", "deleted"]:
            assert await asyncio.wait_for(heard.get(), 10) == (event, "k", "live", "c")


def main(url, passphrase, token):
    with OpenSecureConfClient(url, passphrase, enable_retry=False, log_level="CRITICAL") as client:
        assert client.ping()
        assert client.get_service_info()["endpoints"]["create"] == "POST /configs"
        configurations(client)
        many(client)
        asyncio.run(events(url, token, client))
    with OpenSecureConfClient(url, "a wrong passphrase", enable_retry=False, log_level="CRITICAL") as client:
        refused(AuthenticationError, client.read, "database", "production")
    assert not OpenSecureConfClient("http://127.0.0.1:1", passphrase, enable_retry=False, log_level="CRITICAL").ping()


if __name__ == "__main__":
    main(*sys.argv[1:])
