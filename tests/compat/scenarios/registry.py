"""Registered models: create, get, update, rename, delete, tags, aliases, latest versions."""

from tests.compat.play import AJAX, Script, get, post, raw
from tests.compat.scenarios.given import NOT_A_LIST, NOT_A_STRING, with_each, without_each
from tests.compat.scenarios.given_models import delete, pairs, patch, registered_model, version

MODELS = "registered-models"
VERSIONS = "model-versions"


def models(prefix: str) -> Script:
    path = f"{MODELS}/create"
    name = prefix + "detector"
    whole = {"name": name, "description": "Finds cats.", "tags": pairs(team="vision", **{"a b": "", "한글": "값"})}
    yield post("a whole model", path, whole)
    yield post("the same name again", path, whole)
    yield get("the whole model", f"{MODELS}/get", {"name": name})
    yield get("the whole model through the pages' path", f"{AJAX}{MODELS}/get", {"name": name})
    yield post("a name only", path, {"name": prefix + "plain"})
    yield post("the name in other case", path, {"name": prefix + "Plain"})
    for label, body in without_each(whole, "name"):
        yield post(label, path, body)
    for field in ("name", "description"):
        for label, body in with_each(whole, field, NOT_A_STRING):
            yield post(label, path, body)
    for label, body in with_each({"name": prefix + "x"}, "tags", NOT_A_LIST):
        yield post(label, path, body)
    for number, text in enumerate(("a/b", "a:b", "a.b", "a%b", "..", "a b", "한글", "it's", "a\\b", "a#b?c")):
        yield post(f"a name with {text!r}", path, {"name": f"{prefix}{number}{text}"})
    yield post("a name over 256", path, {"name": prefix + "x" * 250})
    yield post("a description over 5000", path, {"name": prefix + "long", "description": "x" * 5001})
    for number, (key, value) in enumerate(
        (
            ("", "x"),
            ("a$", "x"),
            ("../x", "x"),
            ("k" * 250, "x"),
            ("k" * 251, "x"),
            ("k", "x" * 5000),
            ("k", "x" * 5001),
        )
    ):
        body = {"name": f"{prefix}tagged-{number}", "tags": [{"key": key, "value": value}]}
        yield post(f"a tag, {number}", path, body)
    yield post("a tag twice", path, {"name": prefix + "twice", "tags": [*pairs(k="1"), *pairs(k="2")]})
    yield post("a tag without a value", path, {"name": prefix + "bare", "tags": [{"key": "k"}]})
    for label, query in {
        "no": {},
        "an empty": {"name": ""},
        "a bad": {"name": "a/b"},
        "an unknown": {"name": "no"},
    }.items():
        yield get(f"get by {label} name", f"{MODELS}/get", query)

    update = f"{MODELS}/update"
    yield patch("another description", update, {"name": name, "description": "Finds dogs."})
    yield patch("an empty description", update, {"name": name, "description": ""})
    yield patch("a description again", update, {"name": name, "description": "Finds birds."})
    yield patch("no description to update with", update, {"name": name})
    for label, body in with_each({"name": name}, "description", NOT_A_STRING):
        yield patch(f"update: {label}", update, body)
    for label, body in without_each({"name": name, "description": "x"}, "name"):
        yield patch(f"update: {label}", update, body)
    yield patch("update an unknown model", update, {"name": "no", "description": "x"})

    tag = f"{MODELS}/set-tag"
    yield post("set a tag", tag, {"name": name, "key": "team", "value": "speech"})
    yield post("set a tag without a value", tag, {"name": name, "key": "bare"})
    for label, body in without_each({"name": name, "key": "k", "value": "v"}, "name", "key", "value"):
        yield post(f"set a tag: {label}", tag, body)
    for field in ("key", "value"):
        for label, body in with_each({"name": name, "key": "k", "value": "v"}, field, NOT_A_STRING):
            yield post(f"set a tag: {label}", tag, body)
    yield post("set a tag with a bad key", tag, {"name": name, "key": "a$", "value": "v"})
    yield post("set a tag with a key over 250", tag, {"name": name, "key": "k" * 251, "value": "v"})
    yield post("set a tag of an unknown model", tag, {"name": "no", "key": "k", "value": "v"})
    untag = f"{MODELS}/delete-tag"
    yield delete("take a tag off", untag, {"name": name, "key": "bare"})
    yield delete("take it off again", untag, {"name": name, "key": "bare"})
    for label, body in without_each({"name": name, "key": "k"}, "name", "key"):
        yield delete(f"take a tag off: {label}", untag, body)
    yield delete("take a tag off an unknown model", untag, {"name": "no", "key": "k"})
    yield get("the model with its tags", f"{MODELS}/get", {"name": name})

    rename = f"{MODELS}/rename"
    yield from version(name, "one", tags=pairs(k="v"))
    yield post("give an alias", f"{MODELS}/alias", {"name": name, "alias": "champion", "version": "1"})
    yield post("rename to itself", rename, {"name": name, "new_name": name})
    yield post("rename to a name taken", rename, {"name": name, "new_name": prefix + "plain"})
    for label, body in without_each({"name": name, "new_name": prefix + "new"}, "name", "new_name"):
        yield post(f"rename: {label}", rename, body)
    yield post("rename to a bad name", rename, {"name": name, "new_name": "a/b"})
    yield post("rename an unknown model", rename, {"name": "no", "new_name": prefix + "x"})
    yield post("rename", rename, {"name": name, "new_name": prefix + "renamed"})
    yield get("the renamed model", f"{MODELS}/get", {"name": prefix + "renamed"})
    yield get("its version", f"{VERSIONS}/get", {"name": prefix + "renamed", "version": "1"})
    yield get("the old name", f"{MODELS}/get", {"name": name})

    for label, body in without_each({"name": name}, "name"):
        yield delete(f"delete: {label}", f"{MODELS}/delete", body)
    yield delete("delete an unknown model", f"{MODELS}/delete", {"name": "no"})
    yield delete("delete by query", f"{MODELS}/delete?name={prefix}renamed")
    yield delete("delete", f"{MODELS}/delete", {"name": prefix + "renamed"})
    yield delete("delete again", f"{MODELS}/delete", {"name": prefix + "renamed"})
    yield get("the deleted version", f"{VERSIONS}/get", {"name": prefix + "renamed", "version": "1"})
    yield raw("create by PUT", path, b"{}", method="PUT")


def aliases(prefix: str) -> Script:
    path = f"{MODELS}/alias"
    name = yield from registered_model(prefix, "aliased")
    yield get("latest of none", path, {"name": name, "alias": "latest"})
    for label in ("one", "two"):
        yield from version(name, label)
    one = {"name": name, "alias": "champion", "version": "1"}
    yield post("an alias", path, one)
    yield post("the alias again", path, one)
    yield post("another alias", path, {**one, "alias": "challenger"})
    yield get("the version by its alias", path, {"name": name, "alias": "champion"})
    yield post("the alias moved", path, {**one, "version": "2"})
    yield get("the other version by its alias", path, {"name": name, "alias": "champion"})
    yield get("the first version", f"{VERSIONS}/get", {"name": name, "version": "1"})
    yield get("the model", f"{MODELS}/get", {"name": name})
    yield get("its latest versions", f"{MODELS}/get-latest-versions", {"name": name})
    for label, body in without_each(one, "name", "alias", "version"):
        yield post(label, path, body)
    for field in ("name", "alias", "version"):
        for label, body in with_each(one, field, NOT_A_STRING):
            yield post(label, path, body)
    for alias in ("latest", "LATEST", "v1", "V12", "v", "v1a", "1", "a-b", "a_b", "A", "한글", "-", "None"):
        yield post(f"the alias {alias!r}", path, {**one, "alias": alias})
    for alias in ("a b", "a/b", "a:b", "a.b", "a@b", " ", "v1 ", "x" * 255, "x" * 256):
        yield post(f"the alias {alias[:9]!r}, {len(alias)}", path, {**one, "alias": alias})
    for number in ("99", "abc", "0", "-1", "1.5"):
        yield post(f"an alias for {number!r}", path, {**one, "version": number})
    yield post("an alias of an unknown model", path, {**one, "name": "no"})
    yield post("an alias of a bad name", path, {**one, "name": "a/b"})
    for label, query in {
        "nothing": {},
        "a model only": {"name": name},
        "an unknown alias": {"name": name, "alias": "nobody"},
        "the alias in other case": {"name": name, "alias": "Champion"},
        "latest": {"name": name, "alias": "latest"},
        "Latest": {"name": name, "alias": "Latest"},
        "a number": {"name": name, "alias": "v1"},
        "a bad alias": {"name": name, "alias": "a/b"},
        "an unknown model": {"name": "no", "alias": "champion"},
        "the latest of an unknown model": {"name": "no", "alias": "latest"},
        "a bad name": {"name": "a/b", "alias": "champion"},
    }.items():
        yield get(f"get by {label}", path, query)
    gone = {"name": name, "alias": "challenger"}
    yield delete("take it away", path, gone)
    yield delete("take it away again", path, gone)
    for label, body in without_each(gone, "name", "alias"):
        yield delete(f"take away: {label}", path, body)
    yield delete("take away latest", path, {"name": name, "alias": "latest"})
    yield delete("take away a bad alias", path, {"name": name, "alias": "a/b"})
    yield delete("take away from an unknown model", path, {"name": "no", "alias": "champion"})
    yield delete("delete the version", f"{VERSIONS}/delete", {"name": name, "version": "2"})
    yield get("the alias of a deleted version", path, {"name": name, "alias": "champion"})
    yield get("latest after that", path, {"name": name, "alias": "latest"})
    yield post("an alias for the deleted version", path, {**one, "version": "2"})


def long_names(prefix: str) -> Script:
    """Look for a model whose name is longer than PostgreSQL's column. MLflow on SQLite stores such names."""
    name = {"name": prefix + "n" * 260}
    version = {**name, "version": "1"}
    tag = {"key": "k", "value": "v"}
    alias = {"alias": "best"}
    yield get("get", "registered-models/get", name)
    yield patch("update", "registered-models/update", {**name, "description": "d"})
    yield post("rename", "registered-models/rename", {**name, "new_name": prefix + "short"})
    yield post("set a tag", "registered-models/set-tag", {**name, **tag})
    yield delete("delete a tag", "registered-models/delete-tag", {**name, "key": "k"})
    yield get("latest versions", "registered-models/get-latest-versions", name)
    yield post("set an alias", "registered-models/alias", {**version, **alias})
    yield get("get an alias", "registered-models/alias", {**name, **alias})
    yield delete("delete an alias", "registered-models/alias", {**name, **alias})
    yield get("get a version", "model-versions/get", version)
    yield get("get the uri of a version", "model-versions/get-download-uri", version)
    yield patch("update a version", "model-versions/update", {**version, "description": "d"})
    yield post("move a version", "model-versions/transition-stage", {**version, "stage": "Staging"})
    yield post("set a tag of a version", "model-versions/set-tag", {**version, **tag})
    yield delete("delete a tag of a version", "model-versions/delete-tag", {**version, "key": "k"})
    yield delete("delete a version", "model-versions/delete", version)
    yield get("search", "registered-models/search", {"filter": f"name = '{name['name']}'"})
    yield get("search versions", "model-versions/search", {"filter": f"name = '{name['name']}'"})
    yield delete("delete", "registered-models/delete", name)


SCENARIOS = {"registry_long_names": long_names, "registry_models": models, "registry_aliases": aliases}
