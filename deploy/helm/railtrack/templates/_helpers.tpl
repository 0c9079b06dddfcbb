{{- define "railtrack.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "railtrack.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "railtrack.labels" -}}
{{ include "railtrack.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "railtrack.secretName" -}}
{{- default (include "railtrack.fullname" .) .Values.existingSecret -}}
{{- end -}}

{{- define "railtrack.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "railtrack.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Fail for values with which the server would lose data or not start. The content of an existing Secret is unknown. */}}
{{- define "railtrack.validate" -}}
{{- $uri := default (toString (default "" .Values.env.MLFLOW_BACKEND_STORE_URI)) .Values.secret.MLFLOW_BACKEND_STORE_URI -}}
{{- $isSqlite := and (not .Values.existingSecret) (or (not $uri) (hasPrefix "sqlite" $uri)) -}}
{{- if and $isSqlite (not .Values.persistence.enabled) -}}
{{- fail "There is no database: set secret.MLFLOW_BACKEND_STORE_URI or existingSecret to PostgreSQL, or persistence.enabled=true for SQLite." -}}
{{- end -}}
{{- if gt (int .Values.replicaCount) 1 -}}
{{- if or $isSqlite .Values.persistence.enabled -}}
{{- fail "replicaCount is greater than 1, which needs PostgreSQL and no volume: set secret.MLFLOW_BACKEND_STORE_URI or existingSecret, and persistence.enabled=false." -}}
{{- end -}}
{{- if not (hasPrefix "s3" (toString (default "" .Values.env.MLFLOW_ARTIFACTS_DESTINATION))) -}}
{{- fail "replicaCount is greater than 1, but each replica would have its own artifacts: set env.MLFLOW_ARTIFACTS_DESTINATION to s3://bucket/prefix." -}}
{{- end -}}
{{- end -}}
{{- end -}}
