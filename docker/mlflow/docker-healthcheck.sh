#!/bin/bash
# Exit with 0 if GET /health returns 200, or if a server with TLS responds that it speaks HTTPS. Bash opens the
# connection: that takes 3 MB and 2 ms, Python would take 14 MB and 50 ms.
host=${MLFLOW_HOST:-127.0.0.1}
exec 3<>"/dev/tcp/${host/#0.0.0.0/127.0.0.1}/${MLFLOW_PORT:-5000}" || exit 1
printf 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
IFS= read -r -d '' -t 4 response <&3
[[ $response = "HTTP/1.1 200 "* || $response = *"This port speaks HTTPS."* ]]
