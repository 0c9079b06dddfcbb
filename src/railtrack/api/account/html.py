"""The HTML of the login and account pages. It needs no files: style and script are inline, allowed by their hashes."""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from urllib.parse import urlencode

from railtrack.auth.audit_entries import AuditEntry, AuditFilter
from railtrack.auth.oidc.provider import LOGIN_PATH as PROVIDER_PATH
from railtrack.auth.sessions import Session
from railtrack.auth.tokens import ApiToken
from railtrack.wire.response import BytesResponse, Header

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f272d; background: #f6f7f9; margin: 0 }
main { max-width: 60rem; margin: 3rem auto; padding: 0 1rem }
main.login { max-width: 22rem } main.wide { max-width: 90rem }
section { background: #fff; border: 1px solid #d8dee3; border-radius: 6px; padding: 1rem 1.5rem 1.5rem; margin: 1rem 0 }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem }
label { display: block; margin: .75rem 0 .25rem }
input, select { font: inherit; padding: .4rem .5rem; border: 1px solid #8a959e; border-radius: 4px;
  box-sizing: border-box; width: 100%; max-width: 22rem }
button { font: inherit; padding: .4rem 1rem; border: 0; border-radius: 4px; background: #0e538b; color: #fff;
  cursor: pointer; margin-top: 1rem; display: block }
a.button { display: block; text-align: center; padding: .4rem 1rem; border-radius: 4px; border: 1px solid #0e538b;
  color: #0e538b; text-decoration: none; margin-top: 1rem; overflow-wrap: anywhere }
td button { margin: 0; background: #fff; color: #c82d4c; border: 1px solid #c82d4c; padding: .1rem .6rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .4rem .6rem .4rem 0;
  border-bottom: 1px solid #e4e9ed; overflow-wrap: anywhere }
.error { color: #c82d4c } .notice { background: #e8f3e8; padding: .75rem 1rem; border-radius: 4px }
code { overflow-wrap: anywhere; user-select: all }
header { display: flex; justify-content: space-between; align-items: center } header button { margin: 0 }
"""

FRAGMENT_SCRIPT = """
if (location.hash) {
  for (const form of document.forms) form.action += location.hash
  const provider = document.getElementById("provider")
  if (provider) provider.href += "&fragment=" + encodeURIComponent(location.hash)
}
"""
"""The web interface keeps its route in the fragment. The redirect after the login inherits that of the form's URL; a
provider does not keep it.
"""


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


HEADERS: tuple[Header, ...] = (
    (
        b"content-security-policy",
        f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(FRAGMENT_SCRIPT)}; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'".encode(),
    ),
    (b"cache-control", b"no-store"),
    # With no-referrer, browsers would send "Origin: null" with the form.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


def page(title: str, content: str, *, status: int = 200, headers: tuple[Header, ...] = ()) -> BytesResponse:
    """Return a page. `content` is HTML: its callers escape values."""
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body>{content}</body></html>"
    )
    return BytesResponse(html.encode(errors="replace"), "text/html; charset=utf-8", status, (*HEADERS, *headers))


def login_page(form: str, button: str, error: str) -> str:
    """Return the page with the form for a password, the button of the provider, or both."""
    content = error_line(error) + form + button
    return f"""<main class="login"><h1>Log in</h1><section>{content}</section></main>
<script>{FRAGMENT_SCRIPT}</script>"""


def login_form(prefix: str, csrf: str, next_path: str, *, username: str = "") -> str:
    return f"""<form method="post" action="{escape(prefix)}/login">{hidden("csrf", csrf)}{hidden("next", next_path)}
<label for="username">User name</label>
<input id="username" name="username" value="{escape(username)}" autocomplete="username" autocapitalize="none"
required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button>Log in</button></form>"""


def provider_button(prefix: str, next_path: str, label: str) -> str:
    """Return a link: the policy of this page keeps a form from being redirected to another server."""
    url = f"{prefix}{PROVIDER_PATH}?{urlencode({'next': next_path})}"
    return f'<p><a class="button" id="provider" href="{escape(url)}">{escape(label)}</a></p>'


def provider_logout(url: str) -> str:
    return f"""<main class="login"><h1>Log out</h1><section><p>You are logged out of this server.</p>
<p><a class="button" href="{escape(url)}">Log out of the provider of single sign-on, too</a></p></section></main>"""


def refresh(url: str) -> Header:
    """Return the header by which the browser goes on to another server: it would not follow the redirect of a form."""
    return b"refresh", f"0;url={url}".encode()


def signup_form(prefix: str, csrf: str, *, username: str, error: str, notice: str, reauthentication: str) -> str:
    notice_line = f'<p class="notice" role="status">{escape(notice)}</p>' if notice else ""
    return f"""<main class="login"><h1>Create a user</h1><section>{error_line(error)}{notice_line}
<form method="post" action="{escape(prefix)}/api/2.0/mlflow/users/create-ui">{hidden("csrf", csrf)}
<label for="username">User name</label>
<input id="username" name="username" value="{escape(username)}" autocomplete="off" autocapitalize="none"
maxlength="255" required autofocus>
{password_input("password", "Password of the user, of at least 12 characters", "new-password", element="password")}
{reauthentication}
<button>Create the user</button></form></section>
<p><a href="{escape(prefix)}/">Back to the experiments</a></p></main>"""


def account_header(prefix: str, csrf: str, title: str, *links: str) -> str:
    """`links`: HTML, after the link to the experiments."""
    experiments = f'<a href="{escape(prefix)}/">Back to the experiments</a>'
    return f"""<header><h1>{escape(title)}</h1>
<form method="post" action="{escape(prefix)}/logout">{hidden("csrf", csrf)}<button>Log out</button></form></header>
<p>{" · ".join((experiments, *links))}</p>"""


def account_link(prefix: str) -> str:
    return f'<a href="{escape(prefix)}/account">Account</a>'


def audit_link(prefix: str) -> str:
    return f'<a href="{escape(prefix)}/account/audit">Audit log</a>'


def audit_section(
    prefix: str, entries: Sequence[AuditEntry], wanted: AuditFilter, older: str, *, is_recorded: bool
) -> str:
    """`older`: the query of the link to older entries, "" without any."""
    outcomes = "".join(
        f'<option value="{value}"{" selected" if is_denied is wanted.is_denied else ""}>{text}</option>'
        for value, is_denied, text in (("", None, "All"), ("denied", True, "Denied"), ("allowed", False, "Allowed"))
    )
    rows = "".join(
        f"<tr><td>{time(one.timestamp)}</td><td>{escape(one.username) or '-'}</td><td>{escape(one.credential)}</td>"
        f"<td>{escape(one.address)}</td><td>{'denied' if one.is_denied else 'allowed'}</td>"
        f"<td>{escape(one.action)}</td><td>{escape(f'{one.resource_type} {one.resource_id}')}</td>"
        f"<td>{escape(one.detail)}</td><td>{one.count}</td></tr>"
        for one in entries
    )
    table = (
        "<table><tr><th>Time<th>User<th>Credential<th>Address<th>Outcome<th>Action<th>Resource<th>Detail<th>Count</tr>"
        f"{rows}</table>"
        if rows
        else "<p>There are no such entries.</p>"
    )
    link = f'<p><a href="{escape(prefix)}/account/audit?{escape(older)}">Older entries</a></p>' if older else ""
    notice = "" if is_recorded else '<p class="notice">RAILTRACK_AUDIT_LOG is off: nothing is recorded.</p>'
    return f"""<section id="audit">{notice}<form method="get" action="{escape(prefix)}/account/audit">
<label for="user">User</label><input id="user" name="user" value="{escape(wanted.username)}" maxlength="255">
<label for="action">Action, or a part of it</label>
<input id="action" name="action" value="{escape(wanted.action)}" maxlength="255">
<label for="outcome">Outcome</label><select id="outcome" name="outcome">{outcomes}</select>
<button>Search</button></form>{table}{link}</section>"""


def password_form(prefix: str, csrf: str) -> str:
    return f"""<section id="password"><h2>Password</h2>
<form method="post" action="{escape(prefix)}/account/password">{hidden("csrf", csrf)}
{password_input("current", "Current password", "current-password")}
{password_input("new", "New password, of at least 12 characters", "new-password")}
{password_input("again", "New password again", "new-password")}
<button>Change the password</button></form></section>"""


def reauthentication(prefix: str, element: str, *, has_password: bool, is_fresh: bool) -> str:
    """Return the input for the user's password, or for a user of the provider the link to log in there again."""
    if has_password:
        return password_input("current", "Your password", "current-password", element=element)
    if is_fresh:
        return ""
    url = f"{prefix}{PROVIDER_PATH}?{urlencode({'next': f'{prefix}/account', 'fresh': '1'})}"
    return f'<p>For this, <a href="{escape(url)}">log in again</a>: your last login was more than 10 minutes ago.</p>'


def tokens_section(prefix: str, csrf: str, tokens: Sequence[ApiToken], now: int, reauthentication: str) -> str:
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{escape(one.hint)}…</td><td>{escape(one.scope)}</td>"
        f"<td>{time(one.created_ms)}</td><td>{time(one.last_used_ms)}</td><td>{time(one.expires_ms)}</td>"
        f"<td>{_revoke_form(prefix, csrf, one.token_id)}</td></tr>"
        for one in tokens
        if one.is_active(now)
    )
    table = (
        "<table><tr><th>Name<th>Token<th>Scope<th>Created<th>Last used<th>Expires<th></tr>" + rows + "</table>"
        if rows
        else "<p>You have no tokens.</p>"
    )
    return f"""<section id="tokens"><h2>Tokens</h2>
<p>Programs use a token instead of your password: <code>MLFLOW_TRACKING_TOKEN</code>.</p>{table}
<h2>New token</h2><form method="post" action="{escape(prefix)}/account/tokens">{hidden("csrf", csrf)}
<label for="name">Name, such as the machine that will use it</label>
<input id="name" name="name" maxlength="255" required>
<label for="scope">What it may do</label><select id="scope" name="scope"><option value="all">All that I may do</option>
<option value="read">Read all that I may read</option><option value="experiment">Only one experiment</option>
<option value="registered_model">Only one registered model</option></select>
<label for="target">Id of that experiment, or name of that model</label>
<input id="target" name="target" maxlength="500">
<label for="days">Expires after</label><select id="days" name="days"><option value="30">30 days</option>
<option value="90" selected>90 days</option><option value="365">a year</option>
<option value="0">never</option></select>
{reauthentication}
<button>Create the token</button></form></section>"""


def new_token_notice(token: str) -> str:
    return f"""<p class="notice" id="new-token">Copy your new token now. It is not shown again.<br>
<code>{escape(token)}</code></p>"""


def sessions_section(prefix: str, csrf: str, sessions: Sequence[Session], current_hash: str) -> str:
    rows = "".join(
        f"<tr><td>{escape(one.user_agent)}</td><td>{escape(one.address)}</td><td>{time(one.created_ms)}</td>"
        f"<td>{'this browser' if one.session_hash == current_hash else time(one.last_seen_ms)}</td>"
        f"<td>{_end_form(prefix, csrf, one.session_hash)}</td></tr>"
        for one in sessions
    )
    return f"""<section id="sessions"><h2>Sessions</h2><p>Browsers in which you are logged in.</p>
<table><tr><th>Browser<th>Address<th>Login<th>Last seen<th></tr>{rows}</table></section>"""


def _revoke_form(prefix: str, csrf: str, token_id: int) -> str:
    return f"""<form method="post" action="{escape(prefix)}/account/tokens/revoke">{hidden("csrf", csrf)}
{hidden("token_id", str(token_id))}<button>Revoke</button></form>"""


def _end_form(prefix: str, csrf: str, session_hash: str) -> str:
    return f"""<form method="post" action="{escape(prefix)}/account/sessions/end">{hidden("csrf", csrf)}
{hidden("session", session_hash)}<button>End</button></form>"""


def error_line(error: str) -> str:
    return f'<p class="error" role="alert">{escape(error)}</p>' if error else ""


def hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{name}" value="{escape(value)}">'


def password_input(name: str, label: str, autocomplete: str, *, element: str = "") -> str:
    element = element or f"{name}-password"
    return (
        f'<label for="{element}">{escape(label)}</label>'
        f'<input id="{element}" name="{name}" type="password" autocomplete="{autocomplete}" required>'
    )


def time(milliseconds: int | None) -> str:
    """Return the time as text, "never" for None."""
    if milliseconds is None:
        return "never"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
