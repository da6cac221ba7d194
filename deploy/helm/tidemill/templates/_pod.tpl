{{- /* What every pod of this chart has in common. Takes (root, component, service, values). */ -}}
{{- define "tidemill.pod" -}}
serviceAccountName: {{ include "tidemill.fullname" .root }}-{{ .service }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "tidemill.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Where the pods of a service go. */ -}}
{{- define "tidemill.placement" -}}
{{- with .values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- range .root.Values.topologySpread.keys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels: {{ include "tidemill.selector" $ | nindent 8 }}
  {{- end }}
{{- end -}}

{{- /* The pod template's metadata. */ -}}
{{- define "tidemill.podMetadata" -}}
labels: {{ include "tidemill.labels" . | nindent 2 }}
  tidemill.dev/service: {{ .service }}
{{- with .root.Values.podAnnotations }}
annotations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "tidemill.mounts" -}}
- {name: data, mountPath: /var/lib/tidemill}
- {name: tmp, mountPath: /tmp}
- {name: secrets, mountPath: /run/tidemill/secrets, readOnly: true}
{{- if has .service (list "registry" "inference") }}
- {name: trusted-signers, mountPath: /run/tidemill/trusted-signers, readOnly: true}
{{- end }}
{{- range $name, $secret := fromYaml (include "tidemill.authorities" .) }}
- {name: ca-{{ $name }}, mountPath: /run/tidemill/ca/{{ $name }}, readOnly: true}
{{- end }}
{{- end -}}

{{- define "tidemill.volumes" -}}
- name: data
  {{- if .values.scratch.storageClass }}
  ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes: [ReadWriteOnce]
        storageClassName: {{ .values.scratch.storageClass }}
        resources: {requests: {storage: {{ .values.scratch.size }}}}
  {{- else }}
  emptyDir: {sizeLimit: {{ .values.scratch.size }}}
  {{- end }}
- name: tmp
  emptyDir: {sizeLimit: 2Gi}
- name: secrets
  secret: {secretName: {{ index .root.Values.secrets .service }}, defaultMode: 0440}
{{- if has .service (list "registry" "inference") }}
- name: trusted-signers
  configMap: {name: {{ .root.Values.signing.trustedSigners }}}
{{- end }}
{{- range $name, $secret := fromYaml (include "tidemill.authorities" .) }}
- name: ca-{{ $name }}
  secret: {secretName: {{ $secret }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end -}}

{{- /* Private certificate authorities that a service needs, by what they vouch for: the Secret with ca.crt. */ -}}
{{- define "tidemill.authorities" -}}
{{- $found := dict -}}
{{- with .root.Values.bus.tls.caSecret -}}{{- $_ := set $found "bus" . -}}{{- end -}}
{{- with .root.Values.store.tls.caSecret -}}{{- $_ := set $found "store" . -}}{{- end -}}
{{- if has .service (list "registry" "provision") -}}
{{- with .root.Values.database.tls.caSecret -}}{{- $_ := set $found "database" . -}}{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}
