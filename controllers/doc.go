// Package controllers is the shell around the decisions: the only package that
// reads and writes the cluster.
//
// It runs two loops. The rollout loop observes one Rollout whole (Observer),
// lets package delivery decide, and acts: status and record first, then the
// planned writes, each a merge patch under the resourceVersion of the object
// that was judged. The mesh loop observes the whole cluster, lets package proxy
// build what the proxies should do from it, and publishes that to the xDS
// server. They meet in two places only: the record in a Rollout's status, which
// the mesh loop renders, and the server's table of acks, which the rollout loop
// reads.
//
// +kubebuilder:rbac:groups=crossfade.dev,resources=rollouts,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=crossfade.dev,resources=rollouts/status,verbs=patch
// +kubebuilder:rbac:groups=crossfade.dev,resources=rollouts/finalizers,verbs=update
// +kubebuilder:rbac:groups=crossfade.dev,resources=analysistemplates;clusteranalysistemplates,verbs=get;list;watch
// +kubebuilder:rbac:groups=crossfade.dev,resources=rolloutactions,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=crossfade.dev,resources=rolloutactions/status,verbs=patch
// +kubebuilder:rbac:groups=crossfade.dev,resources=meshpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=crossfade.dev,resources=meshpolicies/status,verbs=patch
// +kubebuilder:rbac:groups=crossfade.dev,resources=freezes,verbs=get;list;watch
// +kubebuilder:rbac:groups=crossfade.dev,resources=freezes/status,verbs=patch
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=apps,resources=deployments/finalizers,verbs=update
// +kubebuilder:rbac:groups=apps,resources=replicasets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=apps,resources=controllerrevisions,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=apps,resources=controllerrevisions/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups="",resources=pods;namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,verbs=get;list;watch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=pods/log,verbs=get
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingadmissionpolicies;mutatingadmissionpolicybindings;validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=get;list;watch
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=gatewayclasses;gateways;httproutes;referencegrants,verbs=get;list;watch
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=gatewayclasses/status;gateways/status;httproutes/status,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
package controllers
