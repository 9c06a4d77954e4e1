{{/* What the schema of the values can't say, in sentences that say what to do. */}}
{{- define "kpr.validate" -}}
{{- $strict := eq .Values.kubeProxyReplacement "strict" -}}
{{- if and $strict (not .Values.k8sServiceHost) -}}
{{- fail "k8sServiceHost is empty: with kubeProxyReplacement=strict nobody else serves the API server's Service, so a node that restarts could not reach it. Set k8sServiceHost and k8sServicePort to the API server's own address (`kubectl cluster-info` shows it), or k8sServiceHost=auto on clusters of kubeadm" -}}
{{- end -}}
{{- $some := or .Values.clusterIP.enabled .Values.nodePort.enabled .Values.loadBalancer.enabled .Values.externalIPs.enabled .Values.hostPort.enabled -}}
{{- if and (not $strict) .Values.pool.create (not $some) -}}
{{- fail "kubeProxyReplacement=partial serves only what is enabled, and nothing is: set clusterIP.enabled, nodePort.enabled, loadBalancer.enabled, externalIPs.enabled or hostPort.enabled" -}}
{{- end -}}
{{- if and (not $strict) (eq .Values.kubeProxy.policy "Disable") -}}
{{- fail "kubeProxy.policy=Disable needs kubeProxyReplacement=strict: with partial, kube-proxy serves the other kinds" -}}
{{- end -}}
{{- end }}
