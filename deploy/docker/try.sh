#!/usr/bin/env bash
# The whole flow in containers, tried and timed: a dataset published, the model asked with an API key, a trainer killed in
# mid-run, two trainers at work, a person erased, then three NATS servers of which one ends. Ends with 1 at the first thing that fails.
#
#   deploy/docker/try.sh build    build every image and print its size
#   deploy/docker/try.sh run      start the platform from nothing, try it, print the times, and take it away with its data
#   deploy/docker/try.sh ray      the same start with a Ray cluster, and one dataset prepared on it
#
#   STAND_INS=1                   servers from packages instead of pulled images (deploy/docker/stand-ins.yml)
#   BUILD_OPTIONS=--network=host  further options of docker build
#   ENTER="docker-engine exec"    how a command gets to where the gateway's port is published, if that is not here
#   EPOCHS=30                     how long the training is that is killed: it has to last some seconds
#   KEEP=1                        leave the platform running
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
targets=(tools registry eraser inference ingest preprocess trainer compressor preprocess-ray)
files=(--file docker-compose.yml)
if [[ -n ${STAND_INS:-} ]]; then files+=(--file deploy/docker/stand-ins.yml); fi
export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-tidemill-try}

compose() { docker compose "${files[@]}" "$@"; }
# shellcheck disable=SC2086 # a command with its arguments, if any
outside() { ${ENTER:-} "$@"; }
tidemill() { compose run --rm --no-TTY tools "$@"; }
step() { printf '\n== %s\n' "$*"; }
took() { printf -- '-- %s: %d s\n' "$1" $(($(date +%s) - $2)); }

build() {
  local target begun base=python:3.11-slim-bookworm
  if [[ -n ${STAND_INS:-} ]]; then
    base=tidemill-stand-ins/python
    stand_in python "$base"
    for target in nats store postgres telemetry; do stand_in "$target" "tidemill-stand-ins/$target"; done
  fi
  for target in "${targets[@]}"; do
    begun=$(date +%s)
    # shellcheck disable=SC2086 # several options, if any
    docker build ${BUILD_OPTIONS:-} --build-arg "PYTHON=$base" --file deploy/docker/Dockerfile --target "$target" \
      --tag "tidemill/$target:$version" .
    took "built $target" "$begun"
  done
  sizes "$base"
}

stand_in() { # TARGET TAG
  # shellcheck disable=SC2086
  docker build ${BUILD_OPTIONS:-} --file deploy/docker/stand-ins/Dockerfile --target "$1" --tag "$2" .
}

sizes() { # BASE
  step "images (MB, of these the base image)"
  local target base
  base=$(docker image inspect --format '{{.Size}}' "$1")
  for target in "${targets[@]}"; do
    docker image inspect --format '{{.Size}}' "tidemill/$target:$version" |
      awk -v name="$target" -v base="$base" '{printf "%-15s %5d  (%d)\n", name, $1 / 1000000, base / 1000000}'
  done
}

up() {
  step "docker compose up, from nothing: $*"
  local begun
  begun=$(date +%s)
  compose up --detach --no-build
  until_true 600 "everything is well" well
  took "everything is well" "$begun"
  compose ps --all --format 'table {{.Service}}\t{{.State}}\t{{.Status}}'
}

until_true() { # SECONDS WHAT COMMAND…
  local seconds=$1 what=$2 begun=$SECONDS
  shift 2
  until "$@"; do
    if ((SECONDS - begun > seconds)); then
      echo "after $seconds s: not yet that $what" >&2
      compose ps --all >&2
      exit 1
    fi
    sleep 1
  done
}

# Every service runs and is healthy, if it says how it is; one-shot steps have ended with 0.
well() {
  local states
  states=$(compose ps --all --format '{{.Service}} {{.State}} {{.ExitCode}} {{.Health}}') || exit 1
  awk '$2 == "exited" && $3 == 0 {next} $2 == "running" && ($4 == "" || $4 == "healthy") {running++; next} {unwell++}
       END {exit unwell || !running}' <<<"$states"
}

publish() { # NAME OPTIONS…: publishes Python's own documentation from inside the network
  local name=$1
  shift
  compose run --rm --no-TTY --entrypoint sh --volume "$PWD/deploy/docker/try-recipe.yaml:/tmp/recipe.yaml:ro" tools -c \
    'tidemill sample python-docs --to /tmp/docs.csv --rows 1200 >/dev/null && name=$1 && shift &&
     tidemill publish /tmp/docs.csv --name "$name" --recipe /tmp/recipe.yaml "$@"' sh "$name" "$@"
}

field() { # NAME: of the JSON document on standard input
  python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

# The gateway from outside, with a key that is on no command line: KEY STATUS CURL-ARGUMENTS…
ask() {
  local key=$1 expected=$2 answer
  shift 2
  answer=$(printf 'header = "Authorization: Bearer %s"\n' "$key" |
    outside curl --config - --silent --show-error --write-out ' %{http_code}' "$@")
  echo "$answer"
  if [[ ${answer##* } != "$expected" ]]; then
    echo "expected $expected from: $*" >&2
    exit 1
  fi
}

served() {
  step "a dataset becomes a served model"
  local begun document key
  begun=$(date +%s)
  publish docs --wait
  tidemill predict docs "Open a connection to a server and send the request."
  took "from published to predicted" "$begun"
  step "the gateway, from outside, with an API key that may predict"
  document=$(tidemill keys create try --scope predict --json)
  key=$(field key <<<"$document")
  local gateway=http://127.0.0.1:${TIDEMILL_PORT:-8000} model=/v1/models/docs:predict
  local question='{"instances": ["Open a connection to a server and send the request."]}'
  ask none 200 "$gateway/readyz"
  ask none 401 --json "$question" "$gateway$model"
  until_true 30 "the gateway knows the key" knows "$key" "$gateway/v1/deployments"
  ask "$key" 200 --json "$question" "$gateway$model"
  ask "$key" 403 "$gateway/v1/runs"
}

knows() { # KEY URL
  printf 'header = "Authorization: Bearer %s"\n' "$1" | outside curl --config - --silent --fail --output /dev/null "$2"
}

trains() {
  local runs
  runs=$(tidemill runs list --json) || exit 1
  [[ $runs == *'"stage": "train"'* ]]
}

killed() {
  step "the trainer is killed in mid-run"
  local begun document run trainer restarts
  begun=$(date +%s)
  document=$(publish killed --set training.epochs="${EPOCHS:-30}" --json)
  run=$(field run_id <<<"$document")
  until_true 300 "run $run trains" trains
  sleep 5
  trainer=$(compose ps --quiet trainer)
  # What a crash does, out-of-memory or not; a container that docker kill ends stays ended.
  compose exec --no-TTY trainer sh -c 'kill -9 "$(cat /tmp/tidemill.ready)"'
  took "killed" "$begun"
  tidemill runs watch "$run"
  tidemill predict killed "Wait until all threads have reached the barrier."
  took "published, killed, served" "$begun"
  restarts=$(docker inspect --format '{{.RestartCount}}' "$trainer")
  echo "restarts of the trainer: $restarts"
  ((restarts == 1))
}

scaled() {
  step "two trainers, two folds"
  local begun trainers
  begun=$(date +%s)
  compose up --detach --no-build --no-recreate --scale trainer=2
  until_true 300 "two trainers are well" well
  publish folds --set evaluation.folds=2 --wait
  took "published, trained in folds, served" "$begun"
  compose ps trainer --format 'table {{.Name}}\t{{.Status}}'
  trainers=$(compose ps --quiet trainer | wc -l)
  ((trainers == 2))
}

erased() {
  step "a person is erased"
  local begun document artifacts
  begun=$(date +%s)
  compose run --rm --no-TTY --entrypoint sh tools -c \
    'tidemill sample python-docs --to /tmp/docs.csv --rows 300 >/dev/null &&
     sed -i "2s/^\(\"\{0,1\}\)/\1Write to ada.lovelace@example.com. /" /tmp/docs.csv &&
     tidemill publish /tmp/docs.csv --name people --set until=prepared --wait'
  document=$(tidemill erase --subject ada.lovelace@example.com --yes --json)
  artifacts=$(field artifacts <<<"$document")
  took "published, prepared, erased" "$begun"
  [[ $artifacts != "[]" ]]
}

clustered() {
  down
  files+=(--env-file deploy/docker/cluster.env)
  export TIDEMILL_ENCRYPTION_KEY_FILE=/run/tidemill/secrets/encryption-key
  up "three NATS servers, an encrypted store"
  local begun
  begun=$(date +%s)
  publish before --wait
  took "published, served" "$begun"
  step "one of three NATS servers ends"
  compose kill nats-2
  begun=$(date +%s)
  publish after --wait
  tidemill predict after "Open a connection to a server and send the request."
  took "published, served with two of three" "$begun"
}

down() {
  if [[ -z ${KEEP:-} ]]; then compose --profile '*' down --volumes --timeout 40; fi
}

telemetry() {
  step "what telemetry received"
  if [[ -n ${STAND_INS:-} ]]; then outside curl --silent --show-error --fail "http://127.0.0.1:${GRAFANA_PORT:-3000}/"; fi
}

run() {
  trap down EXIT
  up "one NATS server"
  served
  killed
  scaled
  erased
  telemetry
  clustered
  step "done"
}

ray() {
  trap down EXIT
  files+=(--env-file deploy/docker/ray.env)
  up "a Ray cluster"
  local begun
  begun=$(date +%s)
  publish prepared --set data.engine=ray --set until=prepared --wait
  took "prepared on Ray" "$begun"
}

case ${1:-} in
  build | run | ray) "$1" ;;
  *) sed -n '2,15p' "$0"; exit 2 ;;
esac
