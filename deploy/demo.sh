#!/usr/bin/env bash
# The whole flow, live: real text from Python's own documentation, a platform, a published dataset, a served model.
# `make demo` runs it; it needs `tidemill` on the PATH and TIDEMILL_DATA_DIR. KEEP=1 leaves the platform running.
set -euo pipefail

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '\033[2m$ %s\033[0m\n' "$*"; "$@"; }

stop() {
  if [ -z "${KEEP:-}" ]; then
    tidemill down >/dev/null || true
  fi
}
trap stop EXIT
trap 'exit 130' INT TERM

folder=$(dirname "$TIDEMILL_DATA_DIR")
sample="$folder/python-docs.csv"
mkdir -p "$folder"
tidemill down >/dev/null

step "1. A real labelled dataset: the documentation of this Python interpreter"
run tidemill sample python-docs --to "$sample" --rows 2400

step "2. The platform: NATS and six services"
run tidemill up --detach --port "${DEMO_PORT:-0}"

step "3. Publish the dataset; six services make a model of it"
run tidemill publish "$sample" --name python-docs --wait \
  --set model.max_length=32 --set training.epochs="${DEMO_EPOCHS:-2}"

step "4. Ask the served model"
run tidemill predict python-docs \
  "Open a connection to a server and send the request." \
  "Return the arithmetic mean of the data." \
  "Wait until all threads have reached the barrier."
url=$(tidemill status --json | python -c 'import json, sys; print(json.load(sys.stdin)["gateway_url"])')
if command -v curl >/dev/null; then
  run curl --silent --show-error "$url/v1/models/python-docs:predict" -d '{"instances": ["Compress a file with gzip."]}'
  echo
fi

if [ -n "${KEEP:-}" ]; then
  step "The platform stays up: $url (its API: $url/docs)"
  echo "export TIDEMILL_DATA_DIR=$TIDEMILL_DATA_DIR"
  echo "tidemill status     tidemill runs list     tidemill down"
else
  step "Done; the platform stops now. make demo KEEP=1 leaves it running."
fi
