{{- define "tidemill.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* What every object carries. Takes (root, component). */ -}}
{{- define "tidemill.labels" -}}
{{ include "tidemill.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: tidemill
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "tidemill.selector" -}}
app.kubernetes.io/name: tidemill
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- /* The image of a service. Takes (root, service). */ -}}
{{- define "tidemill.image" -}}
{{- $image := .root.Values.image -}}
{{- printf "%s/%s/%s:%s" $image.registry $image.repository .service (default .root.Chart.AppVersion $image.tag) -}}
{{- end -}}

{{- /* The workers' Deployments, by component: {service, stage, values}. A pool of trainers is one of its own. */ -}}
{{- define "tidemill.workers" -}}
{{- $workers := dict -}}
{{- range $service, $stage := dict "ingest" "ingest" "preprocess" "preprocess" "compressor" "compress" -}}
{{- $values := index $.Values $service -}}
{{- $classes := ternary (list "cpu" "io") (list "cpu") (eq $service "ingest") -}}
{{- $_ := set $workers $service (dict "service" $service "stage" $stage "classes" $classes "plans" true "values" $values) -}}
{{- end -}}
{{- range $pool, $values := .Values.trainer.pools -}}
{{- if $values.enabled -}}
{{- $worker := dict "service" "trainer" "stage" "train" "classes" $values.resourceClasses "plans" $values.plans "values" $values -}}
{{- $_ := set $workers (printf "trainer-%s" $pool) $worker -}}
{{- end -}}
{{- end -}}
{{- toYaml $workers -}}
{{- end -}}

{{- define "tidemill.gatewayUrl" -}}
{{- $scheme := ternary "https" "http" (ne .Values.inference.tls.secret "") -}}
{{- printf "%s://%s-inference.%s.svc:%v" $scheme (include "tidemill.fullname" .) .Release.Namespace .Values.inference.service.port -}}
{{- end -}}

{{- define "tidemill.busUrl" -}}
{{- default (printf "nats://%s:4222" .Values.nats.fullnameOverride) .Values.bus.url -}}
{{- end -}}

{{- define "tidemill.databaseUrl" -}}
{{- if .Values.database.url -}}
{{- .Values.database.url -}}
{{- else if .Values.postgres.enabled -}}
{{- printf "postgresql+psycopg://tidemill@%s:5432/tidemill" .Values.postgres.fullnameOverride -}}
{{- end -}}
{{- end -}}
