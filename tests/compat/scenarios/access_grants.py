"""Grants to single users, the permissions that follow from them, and the form to create users."""

import json
from typing import Any

from tests.compat.play import Exchange, Script
from tests.compat.scenarios.access import AJAX3, V2, V3, People, ask
from tests.compat.scenarios.access_roles import GRANTS, ROLES, made


def grants(prefix: str) -> Script:
    """Grants to single users, by the resource's manager and by the administrator."""
    people = People(prefix)
    admin, ada, bob = people.admin, people.ada, people.bob
    yield from people.create()
    yield ask("permissions of bob at first", bob, "GET", f"{V3}users/current/permissions")
    whole = {
        "username": people.bob_name,
        "resource_type": "registered_model",
        "resource_id": f"{prefix}model",
        "permission": "MANAGE",
    }
    yield ask("grant bob the management of a model", admin, "POST", f"{GRANTS}grant", whole)
    to_ada = {**whole, "username": people.ada_name, "permission": "EDIT"}
    to_eve = {**to_ada, "username": people.eve_name, "resource_type": "experiment"}
    for label, by, body in (
        ("an empty object", admin, {}),
        ("an empty object as bob", bob, {}),
        ("no type", admin, {"username": people.bob_name}),
        ("no id", admin, {"username": people.bob_name, "resource_type": "experiment"}),
        ("no permission", admin, {k: v for k, v in whole.items() if k != "permission"}),
        ("the same again", admin, whole),
        ("another permission", admin, {**whole, "permission": "READ"}),
        ("an unknown user", admin, {**whole, "username": people.nobody}),
        ("an unknown user as bob", bob, {**whole, "username": people.nobody}),
        ("no permissions", admin, {**to_ada, "permission": "NO_PERMISSIONS"}),
        ("an unknown permission", admin, {**to_ada, "permission": "WRITE"}),
        ("an unknown type", admin, {**to_ada, "resource_type": "table"}),
        ("an unknown type as bob", bob, {**to_ada, "resource_type": "table"}),
        ("the workspace", admin, {**to_ada, "resource_type": "workspace", "resource_id": "*", "permission": "USE"}),
        ("the workspace as bob", bob, {**to_ada, "resource_type": "workspace", "resource_id": "*"}),
        ("a run", admin, {**to_ada, "resource_type": "run", "resource_id": "1"}),
        ("a run as bob", bob, {**to_ada, "resource_type": "run", "resource_id": "1"}),
        ("all runs", admin, {**to_ada, "resource_type": "run", "resource_id": "*", "permission": "DENY"}),
        ("a prompt", admin, {**to_ada, "resource_type": "prompt"}),
        ("a prompt as bob", bob, {**to_ada, "resource_type": "prompt"}),
        ("a scorer", admin, {**to_ada, "resource_type": "scorer", "resource_id": "7/quality"}),
        ("a scorer without its name as bob", bob, {**to_ada, "resource_type": "scorer", "resource_id": "7"}),
        ("an experiment", admin, {**to_ada, "resource_type": "experiment", "resource_id": "7"}),
        ("an experiment's id that it cannot have", admin, {**to_eve, "resource_id": "07"}),
        ("an empty id", admin, {**to_eve, "resource_id": ""}),
        ("a number as id", admin, {**to_eve, "resource_id": 8}),
        ("of bob's model as bob", bob, to_ada),
        ("of bob's model as bob by the interface", bob, {**to_ada, "username": people.eve_name, "permission": "READ"}),
    ):
        path = f"{AJAX3}users/permissions/" if "interface" in label else GRANTS
        yield ask(f"grant {label}", by, "POST", f"{path}grant", body)
    for label, by, body in (
        ("of bob's model as ada", ada, {**to_ada, "username": people.eve_name}),
        ("of bob's model to herself as ada", ada, {**to_ada, "permission": "MANAGE"}),
        ("of another model", bob, {**to_ada, "resource_id": f"{prefix}other"}),
        ("of an experiment", bob, {**to_ada, "resource_type": "experiment", "resource_id": "0"}),
        ("of all models", bob, {**to_ada, "resource_id": "*"}),
        ("of all runs", bob, {**to_ada, "resource_type": "run", "resource_id": "*"}),
        ("to an unknown user", ada, {**to_ada, "username": people.nobody}),
    ):
        yield ask(f"not permitted: grant {label}", by, "POST", f"{GRANTS}grant", body)

    yield from effects(prefix, people)

    gone = {key: to_ada[key] for key in ("username", "resource_type", "resource_id")}
    for label, by, body in (
        ("an empty object", admin, {}),
        ("no id", admin, {"username": people.ada_name, "resource_type": "experiment"}),
        ("an unknown user", admin, {**gone, "username": people.nobody}),
        ("what she does not have", admin, {**gone, "resource_id": f"{prefix}other"}),
        ("the workspace", admin, {**gone, "resource_type": "workspace", "resource_id": "*"}),
        ("an unknown type", admin, {**gone, "resource_type": "table"}),
        ("as bob", bob, gone),
        ("as bob again", bob, gone),
        ("all runs", admin, {**gone, "resource_type": "run", "resource_id": "*"}),
        ("one's own", bob, {**gone, "username": people.bob_name}),
    ):
        yield ask(f"revoke {label}", by, "POST", f"{GRANTS}revoke", body)
    yield ask(
        "not permitted: revoke without the management",
        bob,
        "POST",
        f"{GRANTS}revoke",
        {**gone, "username": people.eve_name},
    )
    yield ask("permissions of ada afterwards", admin, "GET", f"{GRANTS}list", {"username": people.ada_name})
    yield ask("revoke by GET", admin, "GET", f"{GRANTS}revoke", gone)


def effects(prefix: str, people: People) -> Script:
    """Ask for the permissions that follow from the grants."""
    admin, ada, bob = people.admin, people.ada, people.bob
    name = people.ada_name
    model = f"{prefix}model"
    for label, query in {
        "no query": None,
        "no user": {"resource_type": "experiment", "resource_id": "7"},
        "no type": {"username": name, "resource_id": "7"},
        "no id": {"username": name, "resource_type": "experiment"},
        "an unknown user": {"username": people.nobody, "resource_type": "experiment", "resource_id": "7"},
        "an unknown type": {"username": name, "resource_type": "table", "resource_id": "7"},
        "the workspace": {"username": name, "resource_type": "workspace", "resource_id": "*"},
        "a run": {"username": name, "resource_type": "run", "resource_id": "1"},
        "a prompt": {"username": name, "resource_type": "prompt", "resource_id": model},
        "a scorer without its name": {"username": name, "resource_type": "scorer", "resource_id": "7"},
        "a scorer": {"username": name, "resource_type": "scorer", "resource_id": "7/quality"},
        "a scorer of another experiment": {"username": name, "resource_type": "scorer", "resource_id": "8/quality"},
        "all runs, which are denied": {"username": name, "resource_type": "run", "resource_id": "*"},
        "a model": {"username": name, "resource_type": "registered_model", "resource_id": model},
        "another model": {"username": name, "resource_type": "registered_model", "resource_id": f"{prefix}other"},
        "an experiment": {"username": name, "resource_type": "experiment", "resource_id": "7"},
        "an experiment without a grant": {"username": name, "resource_type": "experiment", "resource_id": "999999"},
        "all experiments": {"username": name, "resource_type": "experiment", "resource_id": "*"},
        "the administrator": {"username": "admin", "resource_type": "trace", "resource_id": "*"},
        "the manager": {"username": people.bob_name, "resource_type": "registered_model", "resource_id": model},
    }.items():
        yield ask(f"permission: {label}", admin, "GET", f"{GRANTS}get", query)
    own = {"username": name, "resource_type": "registered_model", "resource_id": model}
    yield ask("permission: her own as ada", ada, "GET", f"{GRANTS}get", own)
    yield ask("permission: her own by the interface", ada, "GET", f"{AJAX3}users/permissions/get", own)
    yield ask("permission: the workspace as bob", bob, "GET", f"{GRANTS}get", {**own, "resource_type": "workspace"})
    yield ask("not permitted: permission of ada as bob", bob, "GET", f"{GRANTS}get", own)
    yield ask(
        "not permitted: permission of nobody as bob", bob, "GET", f"{GRANTS}get", {**own, "username": people.nobody}
    )

    # Grants of roles and of the user together.
    role = {"name": f"{prefix}folding", "workspace": "default"}
    role_id = made((yield ask("given a role", admin, "POST", f"{ROLES}create", role)), "role")
    yield ask("given ada with it", admin, "POST", f"{ROLES}assign", {"username": name, "role_id": role_id})
    experiment = {"username": name, "resource_type": "experiment", "resource_id": "7"}
    added: dict[str, int] = {}
    for pattern, level in (
        ("7", "READ"),
        ("7", "MANAGE"),
        ("7", "DENY"),
        ("*", "READ"),
        ("*", "DENY"),
        ("*", "MANAGE"),
    ):
        on = {"role_id": role_id, "resource_type": "experiment", "resource_pattern": pattern, "permission": level}
        if pattern in added:
            change = {"role_permission_id": added[pattern], "permission": level}
            yield ask(f"given {level} on {pattern}", admin, "PATCH", f"{ROLES}permissions/update", change)
        else:
            answer = yield ask(f"given {level} on {pattern}", admin, "POST", f"{ROLES}permissions/add", on)
            added[pattern] = made(answer, "role_permission")
        for label, resource_id in {"her own": "7", "another": "8", "all": "*"}.items():
            query = {**experiment, "resource_id": resource_id}
            yield ask(f"permission: {label} with {level} on {pattern}", admin, "GET", f"{GRANTS}get", query)
        if (pattern, level) == ("7", "DENY"):
            change = {"role_permission_id": added["7"], "permission": "READ"}
            yield ask("given READ on 7 again", admin, "PATCH", f"{ROLES}permissions/update", change)
    yield ask("permissions of ada, all of them", ada, "GET", f"{V3}users/current/permissions")
    yield ask("given no role", admin, "DELETE", f"{ROLES}delete", {"role_id": role_id})


def signup(prefix: str) -> Script:
    """The form to create users, without its token against forged requests: with it the responses are pages."""
    people = People(prefix)
    yield from people.create()
    path = f"{V2}users/create-ui"
    form = b"username=x&password=correct+horse+battery"
    typed = {"Content-Type": "application/x-www-form-urlencoded"}
    yield ask("not permitted: the form", people.bob, "GET", "/signup")
    yield Exchange("no login: the form sent", "POST", path, form, typed, form.decode())
    yield Exchange("not permitted: the form sent", "POST", path, form, typed, form.decode(), credentials=people.bob)
    yield Exchange(
        "the form sent without its token", "POST", path, form, typed, form.decode(), credentials=people.admin
    )
    yield ask("the form by GET", people.admin, "GET", path)
    body: Any = {"username": "x", "password": "correct horse battery"}
    typed = {"Content-Type": "application/json"}
    yield Exchange("JSON to the form", "POST", path, json.dumps(body).encode(), typed, body, credentials=people.admin)


SCENARIOS = {"access_grants": grants, "access_signup": signup}
