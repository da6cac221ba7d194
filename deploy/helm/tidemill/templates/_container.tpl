{{- /* A service without a port says that it consumes by a file. */ -}}
{{- define "tidemill.workerProbes" -}}
startupProbe:
  exec: {command: [test, -s, /tmp/tidemill.ready]}
  periodSeconds: 2
  failureThreshold: 150
readinessProbe:
  exec: {command: [test, -s, /tmp/tidemill.ready]}
  periodSeconds: 10
{{- end -}}

{{- /* Requests and limits, with the GPUs of a pool of trainers. */ -}}
{{- define "tidemill.resources" -}}
{{- $resources := deepCopy .values.resources -}}
{{- if eq .service "trainer" -}}
{{- if gt (int .values.gpu.count) 0 -}}
{{- $limits := merge (dict .values.gpu.resource (.values.gpu.count | int)) (default dict $resources.limits) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
