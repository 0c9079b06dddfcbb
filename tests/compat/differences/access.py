"""Differences of a server with login."""

from tests.compat.differences.registry import because
from tests.compat.overrides import (
    SEE,
    Override,
    Response,
    edited,
    missing,
    no_endpoint,
    not_allowed,
    rejected,
    wrong_type,
)

LOGIN = (
    "This server requires a login. Set MLFLOW_TRACKING_TOKEN to a token, or MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD to a user name and password."
)
DENIED = rejected("Permission denied.", "PERMISSION_DENIED", 403)


def no_login(reason: str = "") -> Override:
    return rejected(f"{reason} {LOGIN}".strip(), "UNAUTHENTICATED", 401)


def _with_permissions(response: Response) -> None:
    response["json"]["user"] |= {"experiment_permissions": [], "registered_model_permissions": []}


WITH_PERMISSIONS = edited(_with_permissions)
WRONG_PASSWORD = no_login("The user name or the password is wrong.")
INVALID_HEADER = no_login("The Authorization header is not valid.")
UNKNOWN_SCHEME = no_login("The Authorization header has an unknown scheme.")
NO_FORM = rejected("This page needs a browser that is logged in on the login page.", "PERMISSION_DENIED", 403)

because(
    "MLflow responds with plain text to who may not do something; Railtrack uses the JSON form of all other errors.",
    {
        scenario: {"not permitted: *": DENIED}
        for scenario in ("access_users", "access_roles", "access_grants", "access_signup")
    },
)

because(
    "MLflow responds with plain text to requests without a login, and with 500 to an unknown scheme. Railtrack lists "
    "the variables to set, in the JSON form of all other errors.",
    {
        "access_users": {
            ("no login with the old password", "no login with the password before"): WRONG_PASSWORD,
            "no login after the deletion": WRONG_PASSWORD,
        },
        "access_logins": {
            "no login: *": no_login(),
            (
                "no login: another password",
                "no login: an empty password",
                "no login: an unknown user",
                "no login: an empty user",
                "no login: the name in capitals",
                "no login: the password in capitals",
                "no login: a colon in the password",
            ): WRONG_PASSWORD,
            ("no login: Basic alone", "no login: no base64", "no login: a name without a colon"): INVALID_HEADER,
            "no login: a token that is none": no_login("The token is invalid."),
            ("no login: another scheme", "no login: a word"): UNKNOWN_SCHEME,
        },
        "access_signup": {"no login: *": no_login()},
    },
)

because(
    "Clients before 3.0 require the lists of a user's own permissions, which MLflow 3 no longer returns. Later clients "
    "ignore them.",
    {
        scenario: {"given the user *": WITH_PERMISSIONS}
        for scenario in ("access_logins", "access_roles", "access_grants", "access_signup")
    }
    | {
        "access_users": {
            (
                "given the user *",
                "get bob *",
                "get ada as administrator",
                "create by the interface",
                "create a password of 12",
                "create the name of another in capitals",
                "create a name with a blank",
                "create a name beyond ASCII",
                "create an address as name",
                "create an administrator, which this cannot be",
                "a user created by eve",
            ): WITH_PERMISSIONS
        },
    },
)
because(
    "Clients before 3.0 require the lists of a user's own permissions, which MLflow 3 no longer returns.",
    {"access_roles": {"a user created by ada": WITH_PERMISSIONS}},
)

because(
    "MLflow responds with HTML for 404 and 405; Railtrack uses the JSON form of all other errors.",
    {
        "access_users": {
            ("get by POST", "who bob is, by POST"): not_allowed("GET, HEAD, OPTIONS"),
            "create by GET": not_allowed("OPTIONS, POST"),
            "password: by POST": not_allowed("OPTIONS, PATCH"),
            "delete: by POST": not_allowed("DELETE, OPTIONS"),
            "who bob is, in another version": no_endpoint,
        },
        "access_logins": {"an unknown path as administrator": no_endpoint},
        "access_roles": {"create by GET": not_allowed("OPTIONS, POST")},
        "access_grants": {"revoke by GET": not_allowed("OPTIONS, POST")},
        "access_signup": {"the form by GET": not_allowed("OPTIONS, POST")},
    },
)

because(
    "MLflow permits no unknown path to who is no administrator. Both reveal that path only to who is logged in.",
    {"access_logins": {"an unknown path as bob": no_endpoint}},
)

because(
    "An empty string for a required field counts as missing, as in MLflow's other endpoints.",
    {
        "access_users": {
            ("get an empty name", "create an empty user name", "create a null user name"): missing("username"),
            "create an empty password": missing("password"),
        },
        "access_roles": {
            "create an empty name": missing("name"),
            ("create an empty workspace", "create as bob: an empty workspace"): missing("workspace"),
            ("a role of an empty id", "permissions of an empty id", "users of an empty id"): missing("role_id"),
            "update a null id": missing("role_id"),
            "add an empty pattern": missing("resource_pattern"),
        },
        "access_grants": {"grant an empty id": missing("resource_id")},
    },
)

because(
    "Fields are validated before permissions, and in the same order for everyone.",
    {
        "access_roles": {
            "create as bob: an empty object": missing("name"),
            "update as bob: an empty object": missing("role_id"),
        },
        "access_grants": {"grant an empty object as bob": missing("username")},
    },
)

because(
    "Values of another type are rejected with the message of MLflow's other endpoints. MLflow stores some of them, and "
    "responds with 500 to others.",
    {
        "access_users": {
            ("create a number as name", "create a list as name"): wrong_type("username"),
            "create a number as password": wrong_type("password"),
            "administrator: a text": wrong_type("is_admin"),
        },
        "access_roles": {
            ("create a number as name", "update a number as name"): wrong_type("name"),
            "create a number as workspace": wrong_type("workspace"),
            ("create a number as description", "update a number as description"): wrong_type("description"),
            (
                "a role of a text",
                "a role of a fraction",
                "a role of a large id",
                "a role of a text as bob",
                "permissions of a text",
                "permissions of a fraction",
                "permissions of a large id",
                "permissions of a text as bob",
                "users of a text",
                "users of a fraction",
                "users of a large id",
                "users of a text as bob",
                "update a text as id",
                "update a list as id",
                "add a text as id",
                "assign a text as role",
                "delete a text",
            ): wrong_type("role_id"),
            "add a list as permission": wrong_type("permission"),
            "add a number as type": wrong_type("resource_type"),
            ("update permission: a text as id", "remove permission: a text"): wrong_type("role_permission_id"),
        },
        "access_grants": {"grant a number as id": wrong_type("resource_id")},
    },
)

because(
    "MLflow treats a body that is not a JSON object as empty, and checks the type of its content only here.",
    {
        "access_users": {
            "create by a form": rejected("Bad Request. Content-Type must be one of ['application/json']."),
            "create by a list": rejected(f"The request body must be a JSON object, not a list. {SEE}"),
            "create by half a body": rejected(
                "The request body is not valid JSON: Expecting ':' delimiter: line 1 column 12 (char 11)"
            ),
            "create without a body": missing("username"),
        },
    },
)

because(
    "A name with a colon cannot be sent in a Basic header, and the password that old versions shipped is known to all.",
    {
        "access_users": {
            "create a name with a colon": rejected(
                "Invalid user name: it may not contain colons or control characters, nor begin or end in blanks."
            ),
            "create the password of old": rejected("Invalid password: it is easy to guess. Use another one."),
        },
    },
)

because(
    "MLflow stores roles of workspaces that do not exist, and grants on ids that no experiment can have.",
    {
        "access_roles": {
            "create another workspace": rejected(
                "Workspace 'other' does not exist: this server has only the workspace 'default'."
            ),
            "add an experiment's id that it cannot have": rejected(
                "Invalid experiment ID '07'. Use its number, without leading zeros."
            ),
        },
        "access_grants": {
            "grant an experiment's id that it cannot have": rejected(
                "Invalid experiment ID '07'. Use its number, without leading zeros."
            ),
        },
    },
)

because(
    "The form is for browsers that are logged in on the login page. MLflow's pages use the Basic login, and another "
    "token against forged requests.",
    {"access_signup": {("the form sent without its token", "JSON to the form"): NO_FORM}},
)
