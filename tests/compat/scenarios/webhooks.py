"""Webhooks: create, list, get, update, delete, and rejected URLs. No delivery is sent.

URLs contain public IP addresses, so that no host name is resolved.
"""

from typing import Any

from tests.compat.play import AJAX, Response, Script, get, post, raw
from tests.compat.scenarios.given import NOT_A_LIST, NOT_A_STRING, with_each, without_each
from tests.compat.scenarios.given_models import delete, patch

HOOKS = "webhooks"
PUBLIC = "https://8.8.8.8/hook"
EVENTS = {
    "REGISTERED_MODEL": ["CREATED"],
    "MODEL_VERSION": ["CREATED"],
    "MODEL_VERSION_TAG": ["SET", "DELETED"],
    "MODEL_VERSION_ALIAS": ["CREATED", "DELETED"],
    "PROMPT": ["CREATED"],
    "PROMPT_VERSION": ["CREATED"],
    "PROMPT_TAG": ["SET", "DELETED"],
    "PROMPT_VERSION_TAG": ["SET", "DELETED"],
    "PROMPT_ALIAS": ["CREATED", "DELETED"],
    "BUDGET_POLICY": ["EXCEEDED"],
}
NOBODY = "00000000-0000-4000-8000-000000000000"


def event(entity: Any = "REGISTERED_MODEL", action: Any = "CREATED") -> dict[str, Any]:
    return {"entity": entity, "action": action}


ONE = {"name": "one", "url": PUBLIC, "events": [event()]}


def made(response: Response) -> str:
    found: str = response.at("webhook", "webhook_id")
    return found


def life(prefix: str) -> Script:
    """Create, read, change and delete webhooks, and leave none behind."""
    whole = {
        "name": "whole",
        "url": f"{PUBLIC}/a?b=c#d",
        "description": "tells of all",
        "secret": "shh",
        "status": "ACTIVE",
        "events": [event(entity, action) for entity, actions in EVENTS.items() for action in actions],
    }
    ids = [made((yield post("a whole one", HOOKS, whole)))]
    ids.append(made((yield post("the same again", HOOKS, whole))))
    ids.append(made((yield post("a small one", HOOKS, ONE))))
    for label, more in {
        "a name of one letter": {"name": "x"},
        "a name of 63": {"name": "x" * 63},
        "a name with all that it may hold": {"name": "A.b_c-9"},
        "disabled": {"status": "DISABLED"},
        "disabled by number": {"status": 2},
        "an event by numbers": {"events": [{"entity": 7, "action": 4}]},
        "an empty description": {"description": ""},
        "an empty secret": {"secret": ""},
        "a description of 1000": {"description": "x" * 1000},
        "upper case in the URL": {"url": "HTTPS://8.8.8.8/Hook"},
        "a user in the URL": {"url": "https://user:pass@8.8.8.8/"},
        "a port in the URL": {"url": "https://8.8.8.8:8443/"},
        "an address of six": {"url": "https://[2606:4700:4700::1111]/"},
        "blanks around the URL": {"url": f" {PUBLIC}\n"},
        "a field too many": {"nope": 1},
    }.items():
        ids.append(made((yield post(label, HOOKS, ONE | more))))
    one = f"{HOOKS}/{ids[0]}"
    yield get("get", one)
    yield get("get through the pages' path", f"{AJAX}{one}")
    yield get("the list", HOOKS)
    yield from pages()
    yield from changes(one)
    yield from nobody()
    yield delete("delete", one)
    yield get("get the deleted", one)
    yield patch("change the deleted", one, {"name": "new"})
    yield delete("delete the deleted", one)
    yield get("the list without it", HOOKS, {"max_results": 1000})
    for number, other in enumerate(ids[1:]):
        yield delete(f"delete no {number}", f"{HOOKS}/{other}")
    yield get("nothing is left", HOOKS)


def pages() -> Script:
    first = yield get("the first two", HOOKS, {"max_results": 2})
    token = first.at("next_page_token")
    yield get("the next one", HOOKS, {"max_results": 1, "page_token": token})
    for label, query in {
        "no": {"max_results": 0},
        "fewer than no": {"max_results": -1},
        "a thousand": {"max_results": 1000},
        "more than a thousand": {"max_results": 1001},
        "a word of": {"max_results": "some"},
        "an empty text of": {"max_results": ""},
    }.items():
        yield get(f"{label} results", HOOKS, query)
    yield get("an empty token", HOOKS, {"page_token": ""})
    yield get("a token that is none", HOOKS, {"page_token": "abc"})


def changes(one: str) -> Script:
    for label, body in {
        "nothing": {},
        "the name": {"name": "renamed"},
        "the URL": {"url": "https://1.1.1.1/"},
        "the description": {"description": "new"},
        "the description to nothing": {"description": ""},
        "the status": {"status": "DISABLED"},
        "the events": {"events": [event("PROMPT"), event()]},
        "the secret": {"secret": "new"},
        "the secret to nothing": {"secret": ""},
        "to an empty name": {"name": ""},
        "to an empty URL": {"url": ""},
        "to no events": {"events": []},
        "to null": {"name": None, "url": None, "events": None, "description": None, "status": None, "secret": None},
        "to a bad name": {"name": "-"},
        "to a bad URL": {"url": "nope"},
        "to a blank URL": {"url": "  "},
        "to a private URL": {"url": "https://10.0.0.1/"},
        "to a bad event": {"events": [event("PROMPT", "SET")]},
        "to a bad name and URL": {"name": "-", "url": "nope"},
        "to a bad URL and event": {"url": "nope", "events": [event("PROMPT", "SET")]},
        "with another id": {"webhook_id": NOBODY, "description": "by its path"},
    }.items():
        yield patch(f"change {label}", one, body)
    for field in ("name", "url", "description", "secret"):
        for label, body in with_each({}, field, NOT_A_STRING):
            yield patch(f"change: {label}", one, body)
    yield patch("change the status to an unknown number", one, {"status": 5})
    yield get("after the changes", one)


def nobody() -> Script:
    yield get("get nobody", f"{HOOKS}/{NOBODY}")
    yield patch("change nobody", f"{HOOKS}/{NOBODY}", {"name": "new"})
    yield patch("change nobody to a bad name", f"{HOOKS}/{NOBODY}", {"name": "-"})
    yield patch("change nobody to a bad event", f"{HOOKS}/{NOBODY}", {"events": [event("PROMPT", "SET")]})
    yield delete("delete nobody", f"{HOOKS}/{NOBODY}")
    yield post("try nobody", f"{HOOKS}/{NOBODY}/test", {})
    yield post("try nobody with a bad event", f"{HOOKS}/{NOBODY}/test", {"event": event("PROMPT", "SET")})
    yield post("try nobody with a text for an event", f"{HOOKS}/{NOBODY}/test", {"event": "x"})


def rejected(prefix: str) -> Script:
    for label, body in without_each(ONE, "name", "url", "events"):
        yield post(label, HOOKS, body)
    for field in ("name", "url", "description", "secret"):
        for label, body in with_each(ONE, field, NOT_A_STRING):
            yield post(label, HOOKS, body)
    for label, body in with_each(ONE, "events", NOT_A_LIST):
        yield post(label, HOOKS, body)
    yield post("no events in the list", HOOKS, ONE | {"events": []})
    for entity in EVENTS:
        yield post(f"an action that {entity} has not", HOOKS, ONE | {"events": [event(entity, "UPDATED")]})
    for number, name in enumerate(
        ("-a", "a-", ".a", "a_", " a", "a b", "a/b", "a'b", 'a"b', "é", "a\nb", "x" * 64, "  ", "한글")
    ):
        yield post(f"a name that won't do, {number}", HOOKS, ONE | {"name": name})
    yield post("a bad name and a bad URL", HOOKS, ONE | {"name": "-", "url": "nope"})
    yield post("a bad name and a bad event", HOOKS, ONE | {"name": "-", "events": [event("PROMPT", "SET")]})
    yield post("a bad name and no event", HOOKS, ONE | {"name": "-", "events": []})
    yield post("a bad URL and no event", HOOKS, ONE | {"url": "nope", "events": []})
    for number in (0, 3, -1):
        yield post(f"the status {number}", HOOKS, ONE | {"status": number})
    yield from urls()
    yield raw("no body", HOOKS)
    yield raw("not JSON", HOOKS, b"{")
    yield get("nothing was kept", HOOKS)


def urls() -> Script:
    for number, url in enumerate(
        (
            "   ",
            "\n",
            "nope",
            "http://8.8.8.8/",
            "ftp://8.8.8.8/",
            "file:///etc/passwd",
            "//8.8.8.8/",
            "https://",
            "https:///path",
            "https://[::1",
            "https://127.0.0.2/",
            "https://127.2/",
            "https://2130706434/",
            "https://0x7f000002/",
            "https://017700000002/",
            "https://0.0.0.0/",
            "https://10.1.2.3/",
            "https://172.16.0.1/",
            "https://192.168.0.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://100.64.0.1/",
            "https://198.18.0.1/",
            "https://192.0.2.1/",
            "https://240.0.0.1/",
            "https://255.255.255.255/",
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:127.0.0.2]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://[2002:7f00:1::]/",
            "https://[2001:db8::1]/",
            "https://user:pass@10.0.0.1/",
            "https://8.8.8.8@127.0.0.2/",
        )
    ):
        yield post(f"a URL that won't do, {number}", HOOKS, ONE | {"url": url})


SCENARIOS = {"webhooks": life, "webhooks_rejected": rejected}
