"""Users, roles and grants of a server with login: MLflow's basic-auth app. Each exchange carries a user's credentials.

What MLflow rejects with 403 is named "not permitted: ...": the responses of both servers differ in the same way.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from tests.compat.play import ADMINISTRATOR, Exchange, Script

V2 = "/api/2.0/mlflow/"
V3 = "/api/3.0/mlflow/"
AJAX2 = "/ajax-api/2.0/mlflow/"
AJAX3 = "/ajax-api/3.0/mlflow/"
PASSWORD = "correct horse battery"
NEW_PASSWORD = "staple, and a new one"
NO_ID = 1_999_999_999

Credentials = tuple[str, str] | None


def ask(
    name: str, by: Credentials, method: str, path: str, values: Mapping[str, Any] | None = None, *, own: str = ""
) -> Exchange:
    """Return a request: `values` are the query of a GET, and the JSON body of other methods."""
    if method == "GET":
        full = f"{path}?{urlencode(values, doseq=True)}" if values else path
        return Exchange(name, method, full, credentials=by, own=own)
    typed = {"Content-Type": "application/json"}
    return Exchange(name, method, path, json.dumps(values).encode(), typed, values, own=own, credentials=by)


class People:
    """Three users without permissions of their own, beside the administrator."""

    def __init__(self, prefix: str) -> None:
        self.admin: Credentials = ADMINISTRATOR
        self.ada: Credentials = (f"{prefix}ada", PASSWORD)
        self.bob: Credentials = (f"{prefix}bob", PASSWORD)
        self.eve: Credentials = (f"{prefix}eve", PASSWORD)
        self.names = [f"{prefix}{name}" for name in ("ada", "bob", "eve")]
        self.ada_name, self.bob_name, self.eve_name = self.names
        self.nobody = f"{prefix}nobody"

    def create(self) -> Script:
        for name in self.names:
            body = {"username": name, "password": PASSWORD}
            yield ask(f"given the user {name[-3:]}", self.admin, "POST", f"{V2}users/create", body)


def users(prefix: str) -> Script:
    """Create, read, change and delete users."""
    people = People(prefix)
    admin = people.admin
    create = f"{V2}users/create"
    yield from people.create()
    get = f"{V2}users/get"
    for label, by in {"administrator": admin, "bob": people.bob}.items():
        yield ask(f"get nobody's name as {label}", by, "GET", get)
        yield ask(f"get bob as {label}", by, "GET", get, {"username": people.bob_name})
        yield ask(f"get bob by the interface as {label}", by, "GET", f"{AJAX2}users/get", {"username": people.bob_name})
    yield ask("get ada as administrator", admin, "GET", get, {"username": people.ada_name})
    yield ask("get who does not exist", admin, "GET", get, {"username": people.nobody})
    yield ask("get an empty name", admin, "GET", get, {"username": ""})
    yield ask("get the name in capitals", admin, "GET", get, {"username": f"{prefix}BOB"})
    yield ask("get by POST", admin, "POST", get, {"username": people.bob_name})
    yield ask("not permitted: get ada as bob", people.bob, "GET", get, {"username": people.ada_name})
    yield ask("not permitted: get nobody as bob", people.bob, "GET", get, {"username": people.nobody})

    for label, by in {"administrator": admin, "bob": people.bob}.items():
        yield ask(f"list as {label}", by, "GET", f"{V2}users/list", own="users")
        yield ask(f"list by the interface as {label}", by, "GET", f"{AJAX2}users/list", own="users")
        yield ask(f"permissions of the current user, {label}", by, "GET", f"{V3}users/current/permissions")
    yield ask("who bob is", people.bob, "GET", f"{V2}users/current")
    yield ask("who bob is, by the interface", people.bob, "GET", f"{AJAX2}users/current")
    yield ask("who bob is, by POST", admin, "POST", f"{V2}users/current", {})
    yield ask("who bob is, in another version", admin, "GET", f"{V3}users/current")
    yield ask("permissions by the interface", people.bob, "GET", f"{AJAX3}users/current/permissions")

    yield ask("create by the interface", admin, "POST", f"{AJAX2}users/create", person(prefix, "interface"))
    for label, body in {
        "an empty object": {},
        "no password": {"username": f"{prefix}x"},
        "no user name": {"password": PASSWORD},
        "an empty user name": {"username": "", "password": PASSWORD},
        "an empty password": {"username": f"{prefix}x", "password": ""},
        "a null user name": {"username": None, "password": PASSWORD},
        "a short password": {"username": f"{prefix}x", "password": "elevenchars"},
        "a password of 12": {"username": f"{prefix}twelve", "password": "twelve chars"},
        "the name of another": person(prefix, "ada"),
        "the name of another in capitals": {"username": f"{prefix}ADA", "password": PASSWORD},
        "a name with a blank": {"username": f"{prefix}a b", "password": PASSWORD},
        "a name beyond ASCII": {"username": f"{prefix}été", "password": PASSWORD},
        "an address as name": {"username": f"{prefix}a@example.com", "password": PASSWORD},
        "a name with a colon": {"username": f"{prefix}a:b", "password": PASSWORD},
        "a number as name": {"username": 5, "password": PASSWORD},
        "a list as name": {"username": [f"{prefix}x"], "password": PASSWORD},
        "a number as password": {"username": f"{prefix}y", "password": 123456789012},
        "an administrator, which this cannot be": {**person(prefix, "chief"), "is_admin": True},
        "the password of old": {"username": f"{prefix}old", "password": "password1234"},
    }.items():
        yield ask(f"create {label}", admin, "POST", create, body)
    form = urlencode(person(prefix, "form"))
    typed = {"Content-Type": "application/x-www-form-urlencoded"}
    yield Exchange("create by a form", "POST", create, form.encode(), typed, form, credentials=admin)
    typed = {"Content-Type": "application/json"}
    yield Exchange("create by a list", "POST", create, b"[]", typed, [], credentials=admin)
    yield Exchange("create by half a body", "POST", create, b'{"username"', typed, '{"username"', credentials=admin)
    yield Exchange("create without a body", "POST", create, credentials=admin)
    yield ask("create by GET", admin, "GET", create, person(prefix, "get"))
    yield ask("not permitted: create", people.bob, "POST", create, person(prefix, "x"))
    yield ask("not permitted: create by the interface", people.bob, "POST", f"{AJAX2}users/create", person(prefix, "x"))

    yield from passwords(prefix, people)
    yield from administrators(prefix, people)
    yield from deletions(people)


def person(prefix: str, name: str) -> dict[str, str]:
    return {"username": f"{prefix}{name}", "password": PASSWORD}


def passwords(prefix: str, people: People) -> Script:
    path = f"{V2}users/update-password"
    admin, bob, name = people.admin, people.bob, people.bob_name
    change = {"username": name, "password": NEW_PASSWORD}
    for label, by, body in (
        ("password: an empty object", admin, {}),
        ("password: an empty object as bob", bob, {}),
        ("password: no password", admin, {"username": name}),
        ("password: a short one", admin, {"username": name, "password": "short"}),
        ("password: of nobody", admin, {**change, "username": people.nobody}),
        ("password: one's own without the current one", bob, change),
        ("password: one's own with another one", bob, {**change, "current_password": "another one"}),
        ("password: one's own with an empty one", bob, {**change, "current_password": ""}),
        ("password: one's own, a short one", bob, {**change, "password": "short", "current_password": PASSWORD}),
        ("password: one's own, the same", bob, {**change, "password": PASSWORD, "current_password": PASSWORD}),
        ("not permitted: password of another", bob, {**change, "username": people.ada_name}),
        ("not permitted: password of nobody as bob", bob, {**change, "username": people.nobody}),
        ("password: one's own", bob, {**change, "current_password": PASSWORD}),
    ):
        yield ask(label, by, "PATCH", path, body)
    yield ask("no login with the old password", bob, "GET", f"{V2}users/current")
    changed = (name, NEW_PASSWORD)
    yield ask("who bob is with the new password", changed, "GET", f"{V2}users/current")
    back = {"username": name, "password": PASSWORD}
    yield ask("password: of bob by the administrator", admin, "PATCH", f"{AJAX2}users/update-password", back)
    yield ask("no login with the password before", changed, "GET", f"{V2}users/current")
    yield ask("who bob is with the first password again", bob, "GET", f"{V2}users/current")
    own = {"username": ADMINISTRATOR[0], "password": NEW_PASSWORD}
    yield ask("password: the administrator's own without the current one", admin, "PATCH", path, own)
    yield ask("password: by POST", admin, "POST", path, change)


def administrators(prefix: str, people: People) -> Script:
    path = f"{V2}users/update-admin"
    admin, eve, name = people.admin, people.eve, people.eve_name
    for label, body in {
        "an empty object": {},
        "no value": {"username": name},
        "nobody": {"username": people.nobody, "is_admin": True},
        "a text": {"username": name, "is_admin": "yes"},
        "eve": {"username": name, "is_admin": True},
    }.items():
        yield ask(f"administrator: {label}", admin, "PATCH", path, body)
    yield ask("eve as administrator", eve, "GET", f"{V2}users/current")
    yield ask("eve's permissions as administrator", eve, "GET", f"{V3}users/current/permissions")
    yield ask("a user created by eve", eve, "POST", f"{V2}users/create", person(prefix, "by-eve"))
    yield ask(
        "administrator: no longer eve, by eve",
        eve,
        "PATCH",
        f"{AJAX2}users/update-admin",
        {"username": name, "is_admin": False},
    )
    yield ask("eve no longer as administrator", eve, "GET", f"{V2}users/current")
    demote = {"username": ADMINISTRATOR[0], "is_admin": False}
    yield ask("not permitted: administrator: the first one no longer", eve, "PATCH", path, demote)
    yield ask("not permitted: administrator: oneself", eve, "PATCH", path, {"username": name, "is_admin": True})
    yield ask(
        "not permitted: administrator: an empty object", eve, "PATCH", path, {"username": name, "is_admin": False}
    )


def deletions(people: People) -> Script:
    path = f"{V2}users/delete"
    admin, name = people.admin, people.eve_name
    yield ask("delete: an empty object", admin, "DELETE", path, {})
    yield ask("delete: nobody", admin, "DELETE", path, {"username": people.nobody})
    yield ask("delete: oneself", admin, "DELETE", path, {"username": ADMINISTRATOR[0]})
    yield ask("not permitted: delete: another", people.bob, "DELETE", path, {"username": name})
    yield ask("not permitted: delete: oneself", people.bob, "DELETE", path, {"username": people.bob_name})
    yield ask("delete: eve", admin, "DELETE", path, {"username": name})
    yield ask("no login after the deletion", people.eve, "GET", f"{V2}users/current")
    yield ask("delete: eve again", admin, "DELETE", path, {"username": name})
    by_query = f"{AJAX2}users/delete?{urlencode({'username': people.ada_name})}"
    yield Exchange("delete: ada by the query", "DELETE", by_query, credentials=admin)
    yield ask("get ada after the deletion", admin, "GET", f"{V2}users/get", {"username": people.ada_name})
    yield ask("delete: by POST", admin, "POST", path, {"username": name})


def logins(prefix: str) -> Script:
    """Requests without a login, and with ones that do not hold."""
    people = People(prefix)
    yield from people.create()
    current = f"{V2}users/current"
    name = people.bob_name
    for label, path in {
        "a user": current,
        "an experiment": f"{V2}experiments/get?experiment_id=0",
        "the interface": "/",
        "an unknown path": "/nowhere",
        "an unknown path of the API": f"{V2}nowhere",
        "artifacts": "/api/2.0/mlflow-artifacts/artifacts?path=0",
        "an artifact": "/api/2.0/mlflow-artifacts/artifacts/0/a",
        "sign up": "/signup",
        "GraphQL": "/graphql",
    }.items():
        yield Exchange(f"no login: {label}", "GET", path)
    yield Exchange("no login: a search", "POST", f"{V2}runs/search", b"{}", {"Content-Type": "application/json"}, {})
    for label, credentials in {
        "another password": (name, "another password"),
        "an empty password": (name, ""),
        "an unknown user": (people.nobody, PASSWORD),
        "an empty user": ("", PASSWORD),
        "the name in capitals": (f"{prefix}BOB", PASSWORD),
        "the password in capitals": (name, PASSWORD.upper()),
        "a colon in the password": (name, f"{PASSWORD}:x"),
    }.items():
        yield ask(f"no login: {label}", credentials, "GET", current)
    for label, value in {
        "Basic alone": "Basic",
        "no base64": "Basic ???",
        "a name without a colon": "Basic YWRtaW4=",
        "a token that is none": "Bearer abc",
        "another scheme": "Digest username=admin",
        "a word": "admin",
    }.items():
        yield replace(Exchange(f"no login: {label}", "GET", current), headers={"Authorization": value})
    for api in ("api", "ajax-api"):
        yield Exchange(f"public: what /{api} can do", "HEAD", f"/{api}/3.0/mlflow/server-info")
    yield ask("bob after all these", people.bob, "GET", current)
    yield ask("an unknown path as administrator", people.admin, "GET", f"{V2}nowhere")
    yield ask("an unknown path as bob", people.bob, "GET", f"{V2}nowhere")


SCENARIOS = {"access_users": users, "access_logins": logins}
