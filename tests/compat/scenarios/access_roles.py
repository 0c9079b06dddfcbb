"""Roles, their permissions and their users, on a server with login."""

from tests.compat.play import Exchange, Response, Script
from tests.compat.scenarios.access import AJAX3, NO_ID, V2, V3, People, ask

ROLES = f"{V3}roles/"
GRANTS = f"{V3}users/permissions/"


def made(response: Response, *path: str) -> int:
    found: int = response.at(*path, "id")
    return found


def roles(prefix: str) -> Script:
    """Create, read, change and delete roles, and the permissions in them."""
    people = People(prefix)
    admin, bob = people.admin, people.bob
    yield from people.create()
    one = {"name": f"{prefix}one", "workspace": "default"}
    role_id = made((yield ask("create a role", admin, "POST", f"{ROLES}create", one)), "role")
    described = {**one, "name": f"{prefix}two", "description": "for two"}
    two = made((yield ask("create one with a description", admin, "POST", f"{AJAX3}roles/create", described)), "role")
    for label, body in {
        "an empty object": {},
        "no workspace": {"name": f"{prefix}x"},
        "no name": {"workspace": "default"},
        "an empty name": {**one, "name": ""},
        "a name of blanks": {**one, "name": "  "},
        "a number as name": {**one, "name": 5},
        "an empty workspace": {**one, "workspace": ""},
        "a number as workspace": {**one, "workspace": 5},
        "another workspace": {"name": "of another workspace", "workspace": "other"},
        "a number as description": {**one, "description": 5},
        "a null description": {**one, "name": f"{prefix}three", "description": None},
        "the name of another": one,
        "a reserved name": {**one, "name": "__user_1__"},
        "a reserved prefix": {**one, "name": f"__user_{prefix}"},
    }.items():
        yield ask(f"create {label}", admin, "POST", f"{ROLES}create", body)
    yield ask("not permitted: create", bob, "POST", f"{ROLES}create", {**one, "name": f"{prefix}x"})
    yield ask("create as bob: an empty object", bob, "POST", f"{ROLES}create", {})
    yield ask("create as bob: an empty workspace", bob, "POST", f"{ROLES}create", {**one, "workspace": ""})
    yield ask("create by GET", admin, "GET", f"{ROLES}create", one)

    yield from reads("a role", "get", role_id, people)
    yield from reads("permissions", "permissions/list", role_id, people)
    yield from reads("users", "users/list", role_id, people)
    yield ask("list of the workspace", admin, "GET", f"{ROLES}list", {"workspace": "default"}, own="roles")
    yield ask("list of all", admin, "GET", f"{AJAX3}roles/list", own="roles")
    yield ask("list of two workspaces", admin, "GET", f"{ROLES}list", {"workspace": ["default", "x"]}, own="roles")
    yield ask("list of an unknown workspace", admin, "GET", f"{ROLES}list", {"workspace": "nowhere"})
    yield ask("list of an empty workspace", admin, "GET", f"{ROLES}list", {"workspace": ""})
    for label, query in {
        "": None,
        " of the workspace": {"workspace": "default"},
        " of another": {"workspace": "x"},
    }.items():
        yield ask(f"not permitted: list{label}", bob, "GET", f"{ROLES}list", query)

    for label, body in {
        "an empty object": {},
        "nothing": {"role_id": role_id},
        "an empty name": {"role_id": role_id, "name": ""},
        "a number as name": {"role_id": role_id, "name": 5},
        "the name of another": {"role_id": role_id, "name": described["name"]},
        "a reserved name": {"role_id": role_id, "name": "__user_1__"},
        "an unknown role": {"role_id": NO_ID, "name": f"{prefix}x"},
        "a text as id": {"role_id": "one", "name": f"{prefix}x"},
        "a list as id": {"role_id": [1], "name": f"{prefix}x"},
        "a null id": {"role_id": None, "name": f"{prefix}x"},
        "the id as text": {"role_id": str(role_id), "name": f"{prefix}uno"},
        "a description": {"role_id": role_id, "description": "for one"},
        "an empty description": {"role_id": role_id, "description": ""},
        "a number as description": {"role_id": role_id, "description": 5},
        "both": {"role_id": role_id, "name": f"{prefix}one", "description": "for one"},
        "the name that it has": {"role_id": role_id, "name": f"{prefix}one"},
    }.items():
        yield ask(f"update {label}", admin, "PATCH", f"{ROLES}update", body)
    yield ask("not permitted: update", bob, "PATCH", f"{ROLES}update", {"role_id": role_id, "name": f"{prefix}x"})
    yield ask("not permitted: update an unknown role", bob, "PATCH", f"{ROLES}update", {"role_id": NO_ID, "name": "x"})
    yield ask("update as bob: an empty object", bob, "PATCH", f"{ROLES}update", {})

    yield from permissions(people, role_id)
    yield from assignments(people, role_id, two)
    yield from deletions(people, role_id, two)


def reads(what: str, path: str, role_id: int, people: People) -> Script:
    full = f"{ROLES}{path}"
    for label, query in {
        "of no role": None,
        "of an empty id": {"role_id": ""},
        "of a text": {"role_id": "one"},
        "of a fraction": {"role_id": "1.5"},
        "of a negative id": {"role_id": -1},
        "of a large id": {"role_id": 2**63},
        "of an unknown role": {"role_id": NO_ID},
        "of the role": {"role_id": role_id},
    }.items():
        yield ask(f"{what} {label}", people.admin, "GET", full, query)
    yield ask(f"{what} by the interface", people.admin, "GET", f"{AJAX3}roles/{path}", {"role_id": role_id})
    yield ask(f"not permitted: {what}", people.bob, "GET", full, {"role_id": role_id})
    yield ask(f"not permitted: {what} of an unknown role", people.bob, "GET", full, {"role_id": NO_ID})
    yield ask(f"{what} of a text as bob", people.bob, "GET", full, {"role_id": "one"})


def permissions(people: People, role_id: int) -> Script:
    admin, bob = people.admin, people.bob
    path = f"{ROLES}permissions/"
    other = {"name": "for permissions that Railtrack rejects", "workspace": "default"}
    other_id = made((yield ask("given another role", admin, "POST", f"{ROLES}create", other)), "role")
    whole = {"role_id": role_id, "resource_type": "experiment", "resource_pattern": "*", "permission": "READ"}
    on_all = made((yield ask("add one on all experiments", admin, "POST", f"{path}add", whole)), "role_permission")
    one = {**whole, "resource_pattern": "7"}
    on_one = made(
        (yield ask("add one on an experiment", admin, "POST", f"{AJAX3}roles/permissions/add", one)), "role_permission"
    )
    for label, body in {
        "an empty object": {},
        "no type": {"role_id": role_id},
        "no pattern": {"role_id": role_id, "resource_type": "experiment"},
        "no permission": {k: v for k, v in whole.items() if k != "permission"},
        "the same": whole,
        "another permission on the same": {**whole, "permission": "DENY"},
        "deny": {**whole, "resource_pattern": "8", "permission": "DENY"},
        "use": {**whole, "resource_pattern": "9", "permission": "USE"},
        "edit": {**whole, "resource_pattern": "10", "permission": "EDIT"},
        "manage": {**whole, "resource_pattern": "11", "permission": "MANAGE"},
        "no permissions": {**whole, "resource_pattern": "12", "permission": "NO_PERMISSIONS"},
        "a permission in small letters": {**whole, "resource_pattern": "12", "permission": "read"},
        "an unknown permission": {**whole, "resource_pattern": "12", "permission": "WRITE"},
        "an unknown type": {**whole, "resource_type": "table"},
        "an unknown type and permission": {**whole, "resource_type": "table", "permission": "WRITE"},
        "an unknown role": {**whole, "role_id": NO_ID},
        "a text as id": {**whole, "role_id": "one"},
        "a list as permission": {**whole, "permission": ["READ"]},
        "a number as type": {**whole, "resource_type": 5},
        "an id of runs": {**whole, "resource_type": "run", "resource_pattern": "1"},
        "all runs": {**whole, "resource_type": "run"},
        "a model": {**whole, "resource_type": "registered_model", "resource_pattern": "a/b c"},
        "an empty pattern": {**whole, "role_id": other_id, "resource_pattern": ""},
        "an experiment's id that it cannot have": {**whole, "role_id": other_id, "resource_pattern": "07"},
        "reading of the workspace": {**whole, "resource_type": "workspace"},
        "deny on the workspace": {**whole, "resource_type": "workspace", "permission": "DENY"},
        "an id of workspaces": {**whole, "resource_type": "workspace", "resource_pattern": "1", "permission": "USE"},
        "use of the workspace": {**whole, "resource_type": "workspace", "permission": "USE"},
    }.items():
        yield ask(f"add {label}", admin, "POST", f"{path}add", body)
    for kind in (
        "prompt", "scorer", "gateway_secret", "gateway_endpoint", "gateway_model_definition", "mcp_server", "trace",
        "assessment", "logged_model", "review_queue", "registered_model_version", "prompt_version", "scorer_version",
        "mcp_server_version",
    ):  # fmt: skip
        yield ask(f"add all of {kind}", admin, "POST", f"{path}add", {**whole, "resource_type": kind})
        yield ask(
            f"add one of {kind}",
            admin,
            "POST",
            f"{path}add",
            {**whole, "resource_type": kind, "resource_pattern": "1/a"},
        )
    yield ask("not permitted: add", bob, "POST", f"{path}add", {**whole, "resource_pattern": "13"})
    yield ask("permissions after these", admin, "GET", f"{path}list", {"role_id": role_id})
    for label, body in {
        "an empty object": {},
        "no permission": {"role_permission_id": on_all},
        "edit": {"role_permission_id": on_all, "permission": "EDIT"},
        "no permissions": {"role_permission_id": on_all, "permission": "NO_PERMISSIONS"},
        "an unknown one": {"role_permission_id": NO_ID, "permission": "EDIT"},
        "an unknown permission": {"role_permission_id": on_all, "permission": "WRITE"},
        "an unknown one to an unknown permission": {"role_permission_id": NO_ID, "permission": "WRITE"},
        "a text as id": {"role_permission_id": "one", "permission": "EDIT"},
    }.items():
        yield ask(f"update permission: {label}", admin, "PATCH", f"{path}update", body)
    edit = {"role_permission_id": on_all, "permission": "MANAGE"}
    yield ask("not permitted: update permission", bob, "PATCH", f"{path}update", edit)
    yield ask(
        "not permitted: update an unknown permission",
        bob,
        "PATCH",
        f"{path}update",
        {**edit, "role_permission_id": NO_ID},
    )
    yield ask("not permitted: remove permission", bob, "DELETE", f"{path}remove", {"role_permission_id": on_one})
    for label, body in {
        "an empty object": {},
        "an unknown one": {"role_permission_id": NO_ID},
        "a text": {"role_permission_id": "one"},
        "one": {"role_permission_id": on_one},
        "the same again": {"role_permission_id": on_one},
    }.items():
        yield ask(f"remove permission: {label}", admin, "DELETE", f"{path}remove", body)


def assignments(people: People, role_id: int, two: int) -> Script:
    admin, bob, name = people.admin, people.bob, people.bob_name
    for label, body in {
        "an empty object": {},
        "no role": {"username": name},
        "no user": {"role_id": role_id},
        "an unknown user": {"username": people.nobody, "role_id": role_id},
        "an unknown role": {"username": name, "role_id": NO_ID},
        "a text as role": {"username": name, "role_id": "one"},
        "bob": {"username": name, "role_id": role_id},
        "bob again": {"username": name, "role_id": role_id},
        "ada": {"username": people.ada_name, "role_id": role_id},
    }.items():
        yield ask(f"assign {label}", admin, "POST", f"{ROLES}assign", body)
    yield ask("not permitted: assign", bob, "POST", f"{ROLES}assign", {"username": name, "role_id": two})
    yield ask("users of the role then", admin, "GET", f"{ROLES}users/list", {"role_id": role_id})
    # Who has a role reads all roles, but not who has them.
    yield ask("a role as bob", bob, "GET", f"{ROLES}get", {"role_id": two})
    yield ask("permissions as bob", bob, "GET", f"{ROLES}permissions/list", {"role_id": role_id})
    yield ask("list as bob", bob, "GET", f"{ROLES}list", {"workspace": "default"}, own="roles")
    yield ask("not permitted: list of all as bob", bob, "GET", f"{ROLES}list")
    yield ask(
        "not permitted: list of two workspaces as bob", bob, "GET", f"{ROLES}list", {"workspace": ["default", "x"]}
    )
    yield ask("not permitted: users as bob", bob, "GET", f"{ROLES}users/list", {"role_id": role_id})
    for kind in ("roles", "permissions"):
        path = f"{V3}users/{kind}/list"
        yield ask(f"{kind} of nobody's name", admin, "GET", path)
        yield ask(f"{kind} of bob", admin, "GET", path, {"username": name})
        yield ask(f"{kind} of bob as bob", bob, "GET", path, {"username": name})
        yield ask(f"{kind} of bob by the interface", bob, "GET", f"{AJAX3}users/{kind}/list", {"username": name})
        yield ask(f"{kind} of eve, who has none", admin, "GET", path, {"username": people.eve_name})
        yield ask(f"{kind} of who does not exist", admin, "GET", path, {"username": people.nobody})
        yield ask(f"not permitted: {kind} of ada as bob", bob, "GET", path, {"username": people.ada_name})
        yield ask(f"not permitted: {kind} of nobody as bob", bob, "GET", path, {"username": people.nobody})
    yield ask("users with their roles", admin, "GET", f"{V2}users/list", own="users")
    yield ask("users with their roles as bob", bob, "GET", f"{V2}users/list", own="users")
    for label, body in {
        "an empty object": {},
        "an unknown user": {"username": people.nobody, "role_id": role_id},
        "a user without it": {"username": people.eve_name, "role_id": role_id},
        "an unknown role": {"username": name, "role_id": NO_ID},
        "bob": {"username": name, "role_id": role_id},
        "bob again": {"username": name, "role_id": role_id},
    }.items():
        yield ask(f"unassign {label}", admin, "DELETE", f"{ROLES}unassign", body)
    yield ask("not permitted: unassign", bob, "DELETE", f"{ROLES}unassign", {"username": name, "role_id": role_id})
    yield ask("not permitted: a role as bob without it", bob, "GET", f"{ROLES}get", {"role_id": two})
    yield from workspace_administrators(people, two)


def workspace_administrators(people: People, role_id: int) -> Script:
    """Let ada administer the workspace, and try what that permits."""
    admin, ada = people.admin, people.ada
    manage = {"role_id": role_id, "resource_type": "workspace", "resource_pattern": "*", "permission": "MANAGE"}
    yield ask("given the management of the workspace", admin, "POST", f"{ROLES}permissions/add", manage)
    yield ask("given ada with it", admin, "POST", f"{ROLES}assign", {"username": people.ada_name, "role_id": role_id})
    name = f"{people.ada_name}-made"
    made_by_ada = made(
        (yield ask("create as ada", ada, "POST", f"{ROLES}create", {"name": name, "workspace": "default"})), "role"
    )
    yield ask("update as ada", ada, "PATCH", f"{ROLES}update", {"role_id": made_by_ada, "description": "hers"})
    on_runs = {"role_id": made_by_ada, "resource_type": "run", "resource_pattern": "*", "permission": "EDIT"}
    yield ask("add as ada", ada, "POST", f"{ROLES}permissions/add", on_runs)
    yield ask("assign as ada", ada, "POST", f"{ROLES}assign", {"username": people.eve_name, "role_id": made_by_ada})
    yield ask("users of a role as ada", ada, "GET", f"{ROLES}users/list", {"role_id": made_by_ada})
    yield ask("roles of eve as ada", ada, "GET", f"{V3}users/roles/list", {"username": people.eve_name})
    yield ask("permissions of eve as ada", ada, "GET", f"{V3}users/permissions/list", {"username": people.eve_name})
    yield ask("users with their roles as ada", ada, "GET", f"{V2}users/list", own="users")
    yield ask(
        "not permitted: roles of bob as ada, who has none",
        ada,
        "GET",
        f"{V3}users/roles/list",
        {"username": people.bob_name},
    )
    yield ask(
        "a user created by ada",
        ada,
        "POST",
        f"{V2}users/create",
        {"username": f"{name}-user", "password": "a password of hers"},
    )
    yield ask(
        "an experiment's permission as ada",
        ada,
        "GET",
        f"{GRANTS}get",
        {"username": people.ada_name, "resource_type": "experiment", "resource_id": "0"},
    )
    yield ask(
        "eve's permission as ada",
        ada,
        "GET",
        f"{GRANTS}get",
        {"username": people.eve_name, "resource_type": "run", "resource_id": "*"},
    )
    everyone = {"username": people.eve_name, "resource_type": "experiment", "resource_id": "*", "permission": "EDIT"}
    yield ask("grant on all as ada", ada, "POST", f"{GRANTS}grant", everyone)
    yield ask("not permitted: delete a user as ada", ada, "DELETE", f"{V2}users/delete", {"username": people.eve_name})
    yield ask(
        "not permitted: password of eve as ada",
        ada,
        "PATCH",
        f"{V2}users/update-password",
        {"username": people.eve_name, "password": "a password of hers"},
    )
    yield ask(
        "not permitted: administrator as ada",
        ada,
        "PATCH",
        f"{V2}users/update-admin",
        {"username": people.ada_name, "is_admin": True},
    )
    yield ask("not permitted: get a user as ada", ada, "GET", f"{V2}users/get", {"username": people.eve_name})
    yield ask("not permitted: list of all as ada", ada, "GET", f"{ROLES}list")
    yield ask("not permitted: a webhook as ada", ada, "GET", f"{V2}webhooks")
    yield ask("delete as ada", ada, "DELETE", f"{ROLES}delete", {"role_id": made_by_ada})


def deletions(people: People, role_id: int, two: int) -> Script:
    admin, bob = people.admin, people.bob
    yield ask("not permitted: delete", bob, "DELETE", f"{ROLES}delete", {"role_id": role_id})
    yield ask("not permitted: delete an unknown role", bob, "DELETE", f"{ROLES}delete", {"role_id": NO_ID})
    for label, body in {
        "an empty object": {},
        "an unknown role": {"role_id": NO_ID},
        "a text": {"role_id": "one"},
        "the role": {"role_id": role_id},
        "the role again": {"role_id": role_id},
    }.items():
        yield ask(f"delete {label}", admin, "DELETE", f"{ROLES}delete", body)
    yield Exchange("delete by the query", "DELETE", f"{AJAX3}roles/delete?role_id={two}", credentials=admin)
    yield ask("roles of ada afterwards", admin, "GET", f"{V3}users/roles/list", {"username": people.ada_name})


SCENARIOS = {"access_roles": roles}
