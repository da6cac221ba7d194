#!/bin/bash
# What the entry point of the image postgres does: a new cluster with the user, password and database of POSTGRES_….
set -euo pipefail
data=/var/lib/postgresql/15/data

if [[ ! -s $data/PG_VERSION ]]; then
  mkdir -p "$data"
  initdb --pgdata "$data" --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" \
    --auth-local trust --auth-host scram-sha-256 --encoding UTF8 --locale C.UTF-8
  echo 'host all all all scram-sha-256' >> "$data/pg_hba.conf"
  pg_ctl --pgdata "$data" --options "-c listen_addresses='' -k /tmp" --wait start
  createdb --host /tmp --username "$POSTGRES_USER" "$POSTGRES_DB"
  pg_ctl --pgdata "$data" --wait stop
fi
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
