{{- /* The environment of a service: where things are, what it may use, and the settings given by name.
       Takes (root, service, values). */ -}}
{{- define "tidemill.environment" -}}
{{- $values := .root.Values -}}
- {name: TIDEMILL_DATA_DIR, value: /var/lib/tidemill}
- {name: TIDEMILL_CACHE_BYTES, value: {{ .values.scratch.cache | quote }}}
- {name: TIDEMILL_NATS_URL, value: {{ include "tidemill.busUrl" .root | quote }}}
- {name: TIDEMILL_NATS_NKEY_FILE, value: /run/tidemill/secrets/nats.nk}
{{- if $values.bus.tls.caSecret }}
- {name: TIDEMILL_NATS_CA, value: /run/tidemill/ca/bus/ca.crt}
{{- end }}
- {name: TIDEMILL_ACK_WAIT, value: {{ $values.bus.ackWait | quote }}}
- {name: TIDEMILL_STORE_URL, value: {{ $values.store.url | quote }}}
{{- if $values.store.credentialsInSecrets }}
- {name: TIDEMILL_STORE_CREDENTIALS_FILE, value: /run/tidemill/secrets/store-credentials}
{{- end }}
{{- if $values.store.encrypted }}
- {name: TIDEMILL_ENCRYPTION_KEY_FILE, value: /run/tidemill/secrets/encryption-key}
{{- end }}
{{- if $values.store.tls.caSecret }}
- {name: TIDEMILL_STORE_CA, value: /run/tidemill/ca/store/ca.crt}
{{- end }}
- {name: AWS_REGION, value: {{ $values.store.region | quote }}}
{{- with $values.store.endpoint }}
- {name: AWS_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
- {name: TIDEMILL_LOG_LEVEL, value: {{ $values.telemetry.logLevel | quote }}}
{{- with $values.telemetry.otlpEndpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- if has .service (list "registry" "inference") }}
- {name: TIDEMILL_TRUSTED_SIGNERS, value: /run/tidemill/trusted-signers}
{{- end }}
{{- if eq .service "registry" }}
- {name: TIDEMILL_REGISTRY_SIGNING_KEY_FILE, value: /run/tidemill/secrets/signing-key.pem}
{{- end }}
{{- if has .service (list "registry" "provision") }}
- {name: TIDEMILL_STREAM_REPLICAS, value: {{ $values.bus.streamReplicas | quote }}}
{{- with include "tidemill.databaseUrl" .root }}
- {name: TIDEMILL_REGISTRY_DATABASE_URL, value: {{ . | quote }}}
- {name: TIDEMILL_REGISTRY_DATABASE_PASSWORD_FILE, value: /run/tidemill/secrets/database-password}
{{- end }}
{{- if $values.database.tls.caSecret }}
- {name: PGSSLROOTCERT, value: /run/tidemill/ca/database/ca.crt}
{{- end }}
{{- end }}
{{- $own := dict }}
{{- range $name, $value := merge (dict) (default dict .values.settings) $values.settings }}
{{- $_ := set $own $name (toString $value) }}
{{- end }}
{{- range $name, $value := $own }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{- /* How many threads the numerical libraries start: as many as the container may use. Python sees the node's. */ -}}
{{- define "tidemill.threads" -}}
{{- range . }}
- name: {{ . }}
  valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: "1"}}
{{- end }}
{{- end -}}
