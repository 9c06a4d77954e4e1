{{/* Labels of every object; called with a component's name. */}}
{{- define "kpr.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "kpr.selectorLabels" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels that choose the pods of a component. They can never change. */}}
{{- define "kpr.selectorLabels" -}}
app.kubernetes.io/name: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: kpr
{{- end }}

{{/* The image, by digest if there is one. */}}
{{- define "kpr.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* `https://HOST:PORT` as kubeadm tells it to whoever joins the cluster; empty where it doesn't. */}}
{{- define "kpr.clusterInfo" -}}
{{- $info := lookup "v1" "ConfigMap" "kube-public" "cluster-info" -}}
{{- if and $info $info.data (hasKey $info.data "kubeconfig") -}}
{{- range (fromYaml $info.data.kubeconfig).clusters }}{{ .cluster.server }}{{ end -}}
{{- end -}}
{{- end }}

{{/* Where the API server is: itself and not its Service, which these very pods make work. */}}
{{- define "kpr.apiServer" -}}
{{- if eq .Values.k8sServiceHost "auto" -}}
{{- $address := (urlParse (include "kpr.clusterInfo" .)).host -}}
{{- if not $address -}}
{{- fail "k8sServiceHost=auto: this cluster has no ConfigMap kube-public/cluster-info (or it can't be read, as with `helm template`). Set k8sServiceHost and k8sServicePort to the API server's address: `kubectl cluster-info` shows it" -}}
{{- end -}}
{{- $port := regexFind ":[0-9]+$" $address -}}
- name: KUBERNETES_SERVICE_HOST
  value: {{ trimSuffix $port $address | trimAll "[]" | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ trimPrefix ":" $port | default "443" | quote }}
{{- else if .Values.k8sServiceHost -}}
- name: KUBERNETES_SERVICE_HOST
  value: {{ .Values.k8sServiceHost | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ .Values.k8sServicePort | toString | quote }}
{{- end -}}
{{- end }}

{{/* Log options, by the environment: `kpr` in the same container has them too. */}}
{{- define "kpr.log" -}}
- name: KPR_LOG
  value: {{ .Values.log.level | quote }}
{{- end }}

{{/* What a container that needs nothing of the node may do: nothing. */}}
{{- define "kpr.unprivileged" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/*
Who a hook's pod is: a service account with these rules and no others, which lives as long as the hook.
Called with root, name, hook and rules.
*/}}
{{- define "kpr.hookIdentity" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "kpr.labels" (dict "root" .root "component" .name) | nindent 4 }}
  annotations: {{- include "kpr.hook" (dict "hook" .hook "weight" "-10") | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ .name }}
  labels: {{- include "kpr.labels" (dict "root" .root "component" .name) | nindent 4 }}
  annotations: {{- include "kpr.hook" (dict "hook" .hook "weight" "-10") | nindent 4 }}
rules: {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .name }}
  labels: {{- include "kpr.labels" (dict "root" .root "component" .name) | nindent 4 }}
  annotations: {{- include "kpr.hook" (dict "hook" .hook "weight" "-9") | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .name }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}

{{/* Annotations of a hook. */}}
{{- define "kpr.hook" -}}
helm.sh/hook: {{ .hook }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/*
The Job of a hook, which runs the operator's image once. Called with root, name, hook, args and seconds.
It is on the node's network and tolerates everything: it must work while Services don't.
*/}}
{{- define "kpr.hookJob" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "kpr.labels" (dict "root" .root "component" .name) | nindent 4 }}
  annotations: {{- include "kpr.hook" (dict "hook" .hook "weight" "0") | nindent 4 }}
spec:
  backoffLimit: 2
  activeDeadlineSeconds: {{ add .seconds 30 }}
  template:
    metadata:
      labels: {{- include "kpr.labels" (dict "root" .root "component" .name) | nindent 8 }}
    spec:
      restartPolicy: Never
      serviceAccountName: {{ .name }}
      automountServiceAccountToken: true
      hostNetwork: true
      dnsPolicy: Default
      enableServiceLinks: false
      priorityClassName: {{ .root.Values.operator.priorityClassName }}
      nodeSelector: {{- toYaml .root.Values.operator.nodeSelector | nindent 8 }}
      tolerations: {{- toYaml .root.Values.operator.tolerations | nindent 8 }}
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .name }}
          image: {{ include "kpr.image" .root | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          command: [kpr-operator]
          args: {{- toYaml .args | nindent 12 }}
          env:
            {{- include "kpr.log" .root | nindent 12 }}
            {{- include "kpr.apiServer" .root | nindent 12 }}
          resources: {{- toYaml .root.Values.operator.resources | nindent 12 }}
          securityContext: {{- include "kpr.unprivileged" .root | nindent 12 }}
{{- end }}
