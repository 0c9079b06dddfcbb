#!/bin/sh
# Starts Caddy with the user and password of LOGIN_USER and LOGIN_PASSWORD, which it gets as a hash.
set -eu
: "${LOGIN_USER:?is not set: the name to log in with}"
: "${LOGIN_PASSWORD:?is not set: the password to log in with}"
if [ "${#LOGIN_PASSWORD}" -lt 12 ]; then
    echo "LOGIN_PASSWORD is shorter than 12 characters: it stands between the internet and all data." >&2
    exit 1
fi
LOGIN_HASH=$(printf '%s\n' "$LOGIN_PASSWORD" | caddy hash-password)
export LOGIN_HASH
unset LOGIN_PASSWORD
exec caddy run --config "$(dirname "$0")/Caddyfile" --adapter caddyfile
