#!/bin/sh
# The entry point of the image, and the start command for platforms that need one. `railtrack server` does everything,
# so that it runs the same outside of a container. `exec` lets it receive the platform's signals. The image also has the
# command under MLflow's name: compose files and charts that run `mlflow server` need another image, and nothing else.
case "$1" in
    "" | -*) exec /opt/railtrack/bin/railtrack server "$@" ;; # flags of the server
    server | ui) exec /opt/railtrack/bin/railtrack "$@" ;;
    *) exec "$@" ;;                                           # a command: railtrack doctor, sh, this script itself
esac
