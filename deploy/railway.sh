#!/bin/sh
# Deploys Railtrack on Railway with Railway's CLI: docs/deploy.md, method 2. Shows the commands, and runs them only with
# --apply. Settings of the server belong in src/railtrack/config/settings.py, not here.
set -eu

usage() {
    cat <<'END'
usage: deploy/railway.sh [--apply] [options]

Shows the commands that create or update the service; with --apply it runs them.

  --store s3|r2|b2|railway  where artifacts go (default: s3, Amazon's)
  --bucket NAME             the bucket (--store railway: created if missing; default: mlflow-artifacts)
  --prefix NAME             the folder in the bucket (default: mlflow-artifacts)
  --region NAME             s3: the bucket's region; railway: of a new bucket, sjc, iad, ams or sin (default: sin)
  --endpoint URL            r2, b2: the store's URL
  --proxied                 clients send artifacts through the server and need no keys
  --service NAME            the name of the service (default: mlflow-service)
  --postgres NAME           the name of the PostgreSQL service (default: Postgres)
  --apply                   run the commands

The credentials of the store are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from the terminal. The password
of the administrator is the one in MLFLOW_AUTH_ADMIN_PASSWORD, or a random one. Secrets are never shown, and are piped to
Railway's CLI, so that they are in no process list.
END
}

die() {
    printf 'Error: %s\n' "$1" >&2
    exit 1
}

apply='' proxied='' bucket='' region='' endpoint=''
store=s3 prefix=mlflow-artifacts service=mlflow-service postgres=Postgres

while [ $# -gt 0 ]; do
    case $1 in
    --apply) apply=yes ;;
    --proxied) proxied=yes ;;
    --help) usage && exit ;;
    --store | --bucket | --prefix | --region | --endpoint | --service | --postgres)
        [ -n "${2:-}" ] || die "$1 needs a value. deploy/railway.sh --help shows the options."
        case $1 in
        --store) store=$2 ;;
        --bucket) bucket=$2 ;;
        --prefix) prefix=$2 ;;
        --region) region=$2 ;;
        --endpoint) endpoint=$2 ;;
        --service) service=$2 ;;
        --postgres) postgres=$2 ;;
        esac
        shift
        ;;
    *) die "Unknown option $1. deploy/railway.sh --help shows the options." ;;
    esac
    shift
done

case $store in
s3) [ -n "$region" ] || die "--store s3 needs --region, the region of the bucket, such as ap-northeast-2." ;;
r2 | b2) [ -n "$endpoint" ] || die "--store $store needs --endpoint, the S3 URL that the store's page shows." ;;
railway) bucket=${bucket:-mlflow-artifacts} ;;
*) die "Invalid --store $store. Use s3, r2, b2 or railway." ;;
esac
[ -n "$bucket" ] || die "--store $store needs --bucket, its name."
case $service$postgres$bucket in
*[!A-Za-z0-9._\ -]*) die "Invalid name. Use letters, digits, dots, dashes, underscores and spaces." ;;
esac

# A word as a shell takes it: in single quotes where it needs them, so that ${{...}} reaches Railway as it stands.
quoted() {
    case $1 in
    *[!A-Za-z0-9_./:=,-]* | '') printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s' "$1" ;;
    esac
}

show() {
    printf '$'
    for word; do
        printf ' ' && quoted "$word"
    done
    printf '\n'
}

run() {
    show "$@"
    [ -z "$apply" ] || "$@"
}

# Whether Railway has a $1 (service, bucket) with the name $2.
exists() {
    railway "$1" list --json | grep -Eq "\"name\"[[:space:]]*:[[:space:]]*\"$(printf '%s' "$2" | sed 's/\./\\./g')\""
}

check_railway() {
    command -v railway >/dev/null || die "Railway's CLI is not installed. Install it: npm install --global @railway/cli"
    # whoami fails with a project token, which CI uses.
    [ -n "${RAILWAY_TOKEN:-}" ] || railway whoami >/dev/null || die "Log in first: railway login"
    railway status >/dev/null || die "This folder is not linked to a Railway project. Link it: railway link"
    railway variable set --help >/dev/null 2>&1 || die "Railway's CLI is too old. Upgrade it: railway upgrade"
    exists service "$postgres" ||
        die "The project has no service $postgres. Add it: railway add --database postgres. Or name another: --postgres NAME"
}

add_service() {
    if [ -n "$apply" ] && exists service "$service"; then
        printf '# The service %s exists.\n' "$service"
    else
        # Without a variable, Railway's CLI asks for some.
        run railway add --service "$service" --variables MLFLOW_PORT=5000
    fi
}

add_bucket() {
    [ "$store" = railway ] || return 0
    if [ -n "$apply" ] && exists bucket "$bucket"; then
        printf '# The bucket %s exists.\n' "$bucket"
    else
        run railway bucket create "$bucket" --region "${region:-sin}"
    fi
}

# Railway's CLI accepts these settings only on a terminal: elsewhere it expects other input.
set_up_deployment() {
    if [ -n "$apply" ] && [ ! -t 0 ]; then
        printf '# Not a terminal. Set these in the Settings of %s: Start Command %s, Healthcheck Path %s.\n' \
            "$service" /mlflow/docker-entrypoint.sh /health
        return
    fi
    run railway environment edit --message "Deploy $service" \
        --service-config "$service" deploy.startCommand /mlflow/docker-entrypoint.sh \
        --service-config "$service" deploy.healthcheckPath /health \
        --service-config "$service" deploy.restartPolicyType ON_FAILURE \
        --service-config "$service" deploy.restartPolicyMaxRetries 10
}

set_variables() {
    run railway variable set --service "$service" --skip-deploys "$@"
}

set_artifact_root() {
    if [ -n "$proxied" ]; then
        set_variables MLFLOW_DEFAULT_ARTIFACT_ROOT=mlflow-artifacts:/ "MLFLOW_ARTIFACTS_DESTINATION=$1"
    else
        set_variables "MLFLOW_DEFAULT_ARTIFACT_ROOT=$1"
    fi
}

# Sets the variable $1 to a secret, through a pipe.
set_secret() {
    printf "\$ printf %%s \"\$%s\" | " "$1"
    show railway variable set "$1" --stdin --service "$service" --skip-deploys | cut -c 3-
    [ -z "$apply" ] || printf %s "$2" | railway variable set "$1" --stdin --service "$service" --skip-deploys
}

# Prints the secret in the variable $1, or read from the terminal. The caller captures the output.
secret() {
    eval "value=\${$1:-}"
    if [ -z "$value" ] && [ -n "$apply" ]; then
        [ -t 0 ] || die "$1 is not set."
        printf '%s: ' "$1" >&2
        trap 'stty echo; exit 130' INT TERM
        stty -echo
        IFS= read -r value || value=
        stty echo
        trap - INT TERM
        printf '\n' >&2
        [ -n "$value" ] || die "$1 is empty."
    fi
    printf %s "$value"
}

# Sets the password with which the first start creates the administrator. Later starts ignore it, so it stays as it is.
set_password() {
    if [ -n "$apply" ] && railway variable list --service "$service" --kv | grep -q '^MLFLOW_AUTH_ADMIN_PASSWORD='; then
        printf '# The variable MLFLOW_AUTH_ADMIN_PASSWORD exists.\n'
    else
        set_secret MLFLOW_AUTH_ADMIN_PASSWORD \
            "${MLFLOW_AUTH_ADMIN_PASSWORD:-$(LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c 24)}"
    fi
}

set_store() {
    if [ "$store" = railway ]; then
        set_variables "AWS_ACCESS_KEY_ID=\${{$bucket.ACCESS_KEY_ID}}" \
            "AWS_SECRET_ACCESS_KEY=\${{$bucket.SECRET_ACCESS_KEY}}" \
            "AWS_S3_ENDPOINT_URL=\${{$bucket.ENDPOINT}}" "AWS_REGION=\${{$bucket.REGION}}"
        set_artifact_root "s3://\${{$bucket.BUCKET}}/$prefix"
        return
    fi
    [ -z "$endpoint" ] || set_variables "AWS_S3_ENDPOINT_URL=$endpoint"
    [ -z "$region" ] || set_variables "AWS_REGION=$region"
    set_artifact_root "s3://$bucket/$prefix"
    set_secret AWS_ACCESS_KEY_ID "$access_key"
    set_secret AWS_SECRET_ACCESS_KEY "$secret_key"
}

next_steps() {
    cat <<END

# Next
# 1. Check that it works:
#      railway ssh --service $service -- railtrack verify http://localhost:5000
# 2. Create a user for your services, and a token for each of them:
#      railway ssh --service $service -- railtrack users create services --no-password
#      railway ssh --service $service -- railtrack tokens create services backend --days 365
#    Set the token and the address, which only services of the same project can reach:
#      MLFLOW_TRACKING_URI=http://$service.railway.internal:5000
#      MLFLOW_TRACKING_TOKEN=rtk_...
# 3. For browsers and clients elsewhere, generate a domain:
#      railway domain --service $service --port 5000
#    Log in as admin, with the password in the variable MLFLOW_AUTH_ADMIN_PASSWORD:
#      railway variable list --service $service --kv
END
}

cd "$(dirname "$0")/.."
access_key='' secret_key=''
if [ -n "$apply" ]; then
    check_railway
    if [ "$store" != railway ]; then
        access_key=$(secret AWS_ACCESS_KEY_ID)
        secret_key=$(secret AWS_SECRET_ACCESS_KEY)
    fi
else
    printf '# Nothing is changed. With --apply, these commands are run:\n'
fi
add_service
add_bucket
set_up_deployment
set_variables RAILWAY_DOCKERFILE_PATH=docker/mlflow/Dockerfile RAILWAY_HEALTHCHECK_TIMEOUT_SEC=30 \
    RAILWAY_DEPLOYMENT_DRAINING_SECONDS=35
set_variables "MLFLOW_BACKEND_STORE_URI=\${{$postgres.DATABASE_URL}}" MLFLOW_HOST=0.0.0.0 MLFLOW_PORT=5000 \
    GUNICORN_WORKERS=2 GUNICORN_THREADS=4 RAILTRACK_DB_WAIT_S=20 MLFLOW_AUTH_DEFAULT_PERMISSION=EDIT
set_password
set_store
run railway up --service "$service"
next_steps
