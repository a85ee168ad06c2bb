{{- /*
The name of every object. A pod carries its StatefulSet's name and a hash in
the label controller-revision-hash, which leaves 52 of a label's 63 characters.
*/ -}}
{{- define "openshell.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "openshell.hints" -}}
{{- include "openshell.name" . }}-hints
{{- end -}}

{{- /* The namespace of sandboxes is the same in every cluster. */ -}}
{{- define "openshell.sandboxes" -}}openshell-sandboxes{{- end -}}

{{- define "openshell.endpoint" -}}
{{- ternary "http" "https" .Values.server.disableTls }}://{{ include "openshell.name" . }}.{{ .Release.Namespace }}.svc:8080
{{- end -}}

{{- define "openshell.image" -}}
{{- .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- /* Where sandboxes get the supervisor from; "image" alone is the server's. */ -}}
{{- define "openshell.supervisor" -}}
{{- if eq .Values.server.supervisor.source "image" -}}
image:{{ include "openshell.image" . }}
{{- else -}}
{{ .Values.server.supervisor.source }}
{{- end -}}
{{- end -}}

{{- define "openshell.selector" -}}
app.kubernetes.io/name: openshell
app.kubernetes.io/instance: {{ include "openshell.name" . }}
{{- end -}}

{{- /* Labels of a pod. They leave out the chart's version, which restarts nothing by itself. */ -}}
{{- define "openshell.podLabels" -}}
{{ include "openshell.selector" . }}
app.kubernetes.io/component: gateway
app.kubernetes.io/part-of: openshell
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "openshell.labels" -}}
{{ include "openshell.podLabels" . }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end -}}
