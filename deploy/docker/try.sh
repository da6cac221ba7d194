#!/usr/bin/env bash
# The whole flow in containers, tried and timed: a dataset published, a trainer killed in mid-run, two trainers at work.
#
#   deploy/docker/try.sh build    build every image and print its size
#   deploy/docker/try.sh run      start the platform from nothing, try it, print the times, and take it away with its data
#
#   STAND_INS=1                   servers from packages instead of pulled images (deploy/docker/stand-ins.yml)
#   BUILD_OPTIONS=--network=host  further options of docker build
#   ENTER="docker-engine exec"    how a command gets to where the gateway's port is published, if that is not here
#   EPOCHS=30                     how long the training is that is killed: it has to last some seconds
#   KEEP=1                        leave the platform running
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
targets=(tools registry inference ingest preprocess trainer compressor preprocess-ray)
files=(--file docker-compose.yml)
if [[ -n ${STAND_INS:-} ]]; then files+=(--file deploy/docker/stand-ins.yml); fi
export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-tidemill-try}

compose() { docker compose "${files[@]}" "$@"; }
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
  step "docker compose up, from nothing"
  local begun
  begun=$(date +%s)
  compose up --detach --no-build
  until [[ -z $(unwell) ]]; do sleep 1; done
  took "everything is well" "$begun"
  compose ps --all --format 'table {{.Service}}\t{{.State}}\t{{.Status}}'
}

# Services whose health check has not passed yet; those without one do not count.
unwell() { compose ps --format '{{.Service}} {{.Health}}' | awk '$2 != "" && $2 != "healthy" {print $1}'; }

publish() { # NAME OPTIONS…: publishes Python's own documentation from inside the network
  local name=$1
  shift
  compose run --rm --no-TTY --entrypoint sh --volume "$PWD/deploy/docker/try-recipe.yaml:/tmp/recipe.yaml:ro" tools -c \
    'tidemill sample python-docs --to /tmp/docs.csv --rows 1200 >/dev/null && name=$1 && shift &&
     tidemill publish /tmp/docs.csv --name "$name" --recipe /tmp/recipe.yaml "$@"' sh "$name" "$@"
}

served() {
  step "a dataset becomes a served model"
  local begun
  begun=$(date +%s)
  publish docs --wait
  tidemill predict docs "Open a connection to a server and send the request."
  took "from published to predicted" "$begun"
  step "the gateway, from outside"
  # shellcheck disable=SC2086
  ${ENTER:-} curl --silent --show-error --write-out ' %{http_code}\n' http://127.0.0.1:8000/readyz
  # shellcheck disable=SC2086
  ${ENTER:-} curl --silent --show-error --write-out ' %{http_code}\n' http://127.0.0.1:8000/v1/models
}

killed() {
  step "the trainer is killed in mid-run"
  local begun run
  begun=$(date +%s)
  run=$(publish killed --set training.epochs="${EPOCHS:-30}" --json | sed -n 's/.*"run_id": "\([^"]*\)".*/\1/p' | head -1)
  until [[ $(tidemill runs list --json) == *'"stage": "train"'* ]]; do sleep 1; done
  sleep 5
  # What a crash does, out-of-memory or not; a container that docker kill ends stays ended.
  compose exec --no-TTY trainer sh -c 'kill -9 "$(cat /tmp/tidemill.ready)"'
  took "killed" "$begun"
  tidemill runs watch "$run"
  tidemill predict killed "Wait until all threads have reached the barrier."
  took "published, killed, served" "$begun"
  docker inspect --format 'restarts of the trainer: {{.RestartCount}}' "$(compose ps --quiet trainer)"
}

scaled() {
  step "two trainers, two folds"
  local begun
  begun=$(date +%s)
  compose up --detach --no-build --no-recreate --scale trainer=2
  until [[ -z $(unwell) ]]; do sleep 1; done
  publish folds --set evaluation.folds=2 --wait
  took "published, trained in folds, served" "$begun"
  compose ps trainer --format 'table {{.Name}}\t{{.Status}}'
}

down() {
  if [[ -z ${KEEP:-} ]]; then compose --profile '*' down --volumes --timeout 40; fi
}

run() {
  trap down EXIT
  up
  served
  killed
  scaled
  step "what telemetry received"
  if [[ -n ${STAND_INS:-} ]]; then
    # shellcheck disable=SC2086
    ${ENTER:-} curl --silent http://127.0.0.1:3000/
  fi
  step "done"
}

case ${1:-} in
  build | run) "$1" ;;
  *) sed -n '2,13p' "$0"; exit 2 ;;
esac
