"""A replacement for Railway's command line: parses the commands of version 5, records its calls, and knows the services
and buckets of one project. tests/servers/railway.py installs it as the program `railway`.

Its grammar is that of https://docs.railway.com/cli; it rejects what the real one rejects.
"""

import argparse
import json
import os
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    railway = argparse.ArgumentParser(prog="railway", allow_abbrev=False)
    commands = railway.add_subparsers(dest="command", required=True)
    for name in ("login", "whoami", "logout"):
        commands.add_parser(name, allow_abbrev=False).add_argument("--json", action="store_true")
    _with(commands, "init", "--name", "--workspace")
    _with(commands, "link", "--project", "--environment", "--service", "--workspace")
    _with(commands, "status", "--project", "--environment").add_argument("--json", action="store_true")
    add = _with(commands, "add", "--repo", "--image")
    add.add_argument("--database", "-d", action="append", choices=("postgres", "mysql", "redis", "mongo"))
    add.add_argument("--service", "-s", nargs="?", const="")
    add.add_argument("--variables", "-v", action="append", type=_pair)
    up = _with(commands, "up", "--service", "--environment", "--message")
    up.add_argument("folder", nargs="?")
    for option in ("--detach", "--path-as-root"):
        up.add_argument(option, action="store_true")
    _with(commands, "logs", "--service", "--lines").add_argument("--build", action="store_true")
    _with(commands, "redeploy", "--service").add_argument("--yes", action="store_true")
    ssh = _with(commands, "ssh", "--service")
    ssh.add_argument("inside", nargs="*")
    domain = _with(commands, "domain", "--service", "--environment")
    domain.add_argument("--port", "-p", type=int)
    domain.add_argument("name", nargs="?")
    _service(commands)
    _bucket(commands)
    _variable(commands)
    edit = commands.add_parser("environment", allow_abbrev=False).add_subparsers(dest="verb", required=True)
    edit = _with(edit, "edit", "--environment", "--message")
    edit.add_argument("--service-config", action="append", nargs=3, required=True)
    return railway


def _with(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, *options: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, allow_abbrev=False)
    for option in options:
        command.add_argument(option)
    return command


def _pair(text: str) -> str:
    if "=" not in text[1:]:
        raise argparse.ArgumentTypeError("is not KEY=VALUE")
    return text


def _service(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verbs = commands.add_parser("service", allow_abbrev=False).add_subparsers(dest="verb", required=True)
    for name in ("list", "status", "restart"):
        verb = _with(verbs, name, "--environment", "--service")
        verb.add_argument("--json", action="store_true")
        verb.add_argument("--yes", action="store_true")


def _bucket(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verbs = commands.add_parser("bucket", allow_abbrev=False).add_subparsers(dest="verb", required=True)
    _with(verbs, "list").add_argument("--json", action="store_true")
    create = verbs.add_parser("create", allow_abbrev=False)
    create.add_argument("name", nargs="?")
    create.add_argument("--region", choices=("sjc", "iad", "ams", "sin"), required=True)


def _variable(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    for name in ("variable", "variables"):
        verbs = commands.add_parser(name, allow_abbrev=False).add_subparsers(dest="verb")
        _with(verbs, "list", "--service").add_argument("--kv", action="store_true")
        setting = verbs.add_parser("set", allow_abbrev=False)
        setting.add_argument("variables", nargs="+")
        setting.add_argument("--service", "-s")
        setting.add_argument("--stdin", action="store_true")
        setting.add_argument("--skip-deploys", action="store_true")


def main(arguments: list[str], record: Path) -> int:
    state = json.loads(record.with_suffix(".state").read_text())
    options = parser().parse_args(arguments)
    given = {"argv": arguments}
    verb = getattr(options, "verb", None)
    if options.command in ("variable", "variables") and verb == "set":
        if options.stdin:
            given["stdin"] = sys.stdin.read()
        pairs = [options.variables[0] + "=x"] if options.stdin else options.variables
        if not all("=" in pair for pair in pairs) or (options.stdin and (len(pairs) != 1 or not given["stdin"])):
            print("not KEY=VALUE, or no value on the input", file=sys.stderr)
            return 1
    with record.open("a") as file:
        file.write(json.dumps(given) + "\n")
    match options.command, verb:
        case ("whoami", _) if not state["logged_in"]:
            return _fail("Unauthorized. Please login with `railway login`")
        case ("status", _) if not state["linked"]:
            return _fail("No linked project found. Run railway link to connect to a project")
        case (("service" | "bucket"), "list"):
            found = [{"id": f"id-{name}", "name": name} for name in state[f"{options.command}s"]]
            print(json.dumps(found, indent=2))
        case (("variable" | "variables"), "list"):
            print("\n".join(f"{name}={value}" for name, value in state["variables"].items()))
        case "environment", "edit" if not os.isatty(0):
            return _fail("Failed to parse stdin as JSON")
        case "up", _:
            return int(state["up"])
    return 0


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:], Path(sys.argv[1])))
