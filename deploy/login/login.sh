#!/bin/sh
# Starts Caddy with the login in LOGIN_USER and LOGIN_PASSWORD. Caddy gets a hash of the password.
set -eu
: "${LOGIN_USER:?is not set. Set it to the user name of the login}"
: "${LOGIN_PASSWORD:?is not set. Set it to the password of the login}"
if [ "${#LOGIN_PASSWORD}" -lt 12 ]; then
    echo "LOGIN_PASSWORD is shorter than 12 characters. Use a longer one: it is all that protects the data." >&2
    exit 1
fi
LOGIN_HASH=$(printf '%s\n' "$LOGIN_PASSWORD" | caddy hash-password)
export LOGIN_HASH
unset LOGIN_PASSWORD
exec caddy run --config "$(dirname "$0")/Caddyfile" --adapter caddyfile
