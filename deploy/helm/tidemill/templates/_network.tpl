{{- /* The labels of every pod of this chart, in one line. */ -}}
{{- define "tidemill.pods" -}}
{{ dict "app.kubernetes.io/name" "tidemill" "app.kubernetes.io/instance" .Release.Name | toJson }}
{{- end -}}

{{- /* A way out: to the pods of a chart beside this one (own), else to the peers of the rule, else anywhere, on its port. */ -}}
{{- define "tidemill.egress" -}}
ports: [{protocol: TCP, port: {{ .rule.port }}}]
{{- if .own }}
to: [{podSelector: {matchLabels: {{ toJson .own }}}}]
{{- else if .rule.to }}
to: {{ toJson .rule.to }}
{{- end }}
{{- end -}}
