{{- /* Checks of values that a JSON schema cannot express; all problems are reported at once. */}}
{{- define "tokend.checks" -}}
{{- $problems := list }}
{{- $name := include "tokend.name" . }}
{{- if not (regexMatch "^[a-z]" $name) }}
{{- $problems = append $problems (printf "fullnameOverride: set one: a service cannot be named %s, which does not begin with a letter" $name) }}
{{- end }}
{{- with regexFind "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x{9f}\\x{2028}\\x{2029}]" (.Values.config | replace "\r\n" "\n") }}
{{- $problems = append $problems (printf "config: it contains the character %+q, which YAML does not allow within a line" .) }}
{{- end }}
{{- $ports := .Values.ports }}
{{- range list "aws" "sds" }}
{{- if not (index $.Values .).enabled }}{{ $ports = omit $ports . }}{{ end }}
{{- end }}
{{- $taken := dict }}
{{- range $listener, $port := $ports }}
{{- with get $taken (toString $port) }}
{{- $problems = append $problems (printf "ports.%s: %v is also ports.%s; each listener needs its own port" $listener $port .) }}
{{- end }}
{{- $_ := set $taken (toString $port) $listener }}
{{- end }}
{{- with .Values.autoscaling }}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}
{{- $problems = append $problems (printf "autoscaling.minReplicas: %v is above autoscaling.maxReplicas, %v" .minReplicas .maxReplicas) }}
{{- end }}
{{- end }}
{{- with .Values.tls.clientCa }}
{{- if and .secretName .configMapName }}
{{- $problems = append $problems "tls.clientCa: name a secret or a config map, not both: tokend reads one file of authorities" }}
{{- end }}
{{- end }}
{{- range .Values.env }}
{{- if or (eq .name "TOKEND_CONFIG" "TOKEND_LIMITS_REPLICAS") (regexMatch "^TOKEND_[A-Z]+_(LISTEN|TLS_(CERTIFICATE|PRIVATE_KEY|CLIENT_CA)_FILE)$" .name) }}
{{- $problems = append $problems (printf "env: %s is set by the chart, from ports, tls and replicas" .name) }}
{{- end }}
{{- end }}
{{- $volumes := dict }}
{{- range $secret := .Values.secrets }}
{{- $volume := $secret | replace "." "-" }}
{{- with get $volumes $volume }}
{{- $problems = append $problems (printf "secrets: %s and %s differ only by a dot and would share a volume" . $secret) }}
{{- end }}
{{- $_ := set $volumes $volume $secret }}
{{- end }}
{{- range .Values.extraVolumes }}
{{- if regexMatch "^(config|tls|client-ca|tmp|secret-.*)$" .name }}
{{- $problems = append $problems (printf "extraVolumes: %s is the name of a volume of the chart" .name) }}
{{- end }}
{{- end }}
{{- range $setting, $key := dict "env" "name" "extraVolumes" "name" "extraVolumeMounts" "mountPath" }}
{{- $found := dict }}
{{- range index $.Values $setting }}
{{- $member := index . $key }}
{{- if eq (get $found $member | toString) "once" }}
{{- $problems = append $problems (printf "%s: %s is set more than once" $setting $member) }}
{{- end }}
{{- $_ := set $found $member (hasKey $found $member | ternary "more" "once") }}
{{- end }}
{{- end }}
{{- $mounts := dict "config" "/etc/tokend/tokend.toml" "tls" "/etc/tokend/tls" "tmp" "/tmp" }}
{{- if or .Values.tls.clientCa.secretName .Values.tls.clientCa.configMapName }}
{{- $mounts = set $mounts "client-ca" "/etc/tokend/client-ca" }}
{{- end }}
{{- range .Values.secrets }}
{{- $mounts = set $mounts (printf "secret-%s" (replace "." "-" .)) (printf "/etc/tokend/secrets/%s" .) }}
{{- end }}
{{- $names := keys $mounts }}
{{- range .Values.extraVolumes }}{{ $names = append $names .name }}{{ end }}
{{- range .Values.extraVolumeMounts }}
{{- if has (clean .mountPath) (values $mounts) }}
{{- $problems = append $problems (printf "extraVolumeMounts: %s is a mount path of the chart" .mountPath) }}
{{- end }}
{{- if not (has .name $names) }}
{{- $problems = append $problems (printf "extraVolumeMounts: there is no volume %s" .name) }}
{{- end }}
{{- end }}
{{- $labels := include "tokend.labels" . | fromYaml }}
{{- range $setting, $added := dict "podLabels" .Values.podLabels "serviceMonitor.labels" .Values.serviceMonitor.labels "prometheusRule.labels" .Values.prometheusRule.labels }}
{{- range $label, $_ := $added }}
{{- if hasKey $labels $label }}
{{- $problems = append $problems (printf "%s: %s is set by the chart" $setting $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- if hasKey (.Values.podAnnotations | default dict) "tokend/config-sha256" }}
{{- $problems = append $problems "podAnnotations: tokend/config-sha256 is set by the chart" }}
{{- end }}
{{- if $problems }}{{ fail (join "; " $problems) }}{{ end }}
{{- end }}
