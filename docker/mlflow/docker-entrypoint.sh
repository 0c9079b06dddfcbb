#!/bin/sh
# The entry point of the image, and the start command for platforms that need one. `railtrack server` does everything,
# so that it runs the same outside of a container. `exec` lets it receive the platform's signals.
case "$1" in
    "" | -*) exec /opt/railtrack/bin/railtrack server "$@" ;; # flags of the server
    *) exec "$@" ;;                                           # a command: railtrack doctor, sh, this script itself
esac
