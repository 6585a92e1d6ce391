{{- /* A Service has at most 63 characters, of which `-issuer` takes seven: no release's own name is cut. The chart's name is what a
chart that depends on this one calls it (alias), maybe in letters that no Service has. */}}
{{- define "tokend.name" -}}
{{- $release := .Release.Name | replace "." "-" }}
{{- $chart := .Chart.Name | lower | replace "_" "-" }}
{{- $named := contains $chart $release | ternary $release (printf "%s-%s" $release $chart) }}
{{- .Values.fullnameOverride | default $named | trunc 56 | trimAll "-" }}
{{- end }}

{{- define "tokend.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "tokend.labels" -}}
{{ include "tokend.selectorLabels" . }}
app.kubernetes.io/version: {{ include "tokend.version" . | include "tokend.labelValue" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | include "tokend.labelValue" }}
{{- end }}

{{- /* A label has at most 63 characters, which a version that names a branch and a commit is not held to. */}}
{{- define "tokend.labelValue" -}}
{{- . | trunc 63 | trimAll "-_." }}
{{- end }}

{{- /* Neither labels nor tags of images have the `+` of a version. */}}
{{- define "tokend.version" -}}
{{- .Chart.AppVersion | replace "+" "_" }}
{{- end }}

{{- define "tokend.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "tokend.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "tokend.image" -}}
{{- with .Values.image }}{{ if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default (include "tokend.version" $) }}{{ end }}{{ end }}
{{- end }}
