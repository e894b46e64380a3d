package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Rollout says how the template of a Deployment is delivered: which Service's
// requests move to a new revision, in which steps, and what must hold meanwhile.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ro,categories={all,crossfade}
// +kubebuilder:printcolumn:name="PHASE",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="STEP",type=string,JSONPath=`.status.stepSummary`
// +kubebuilder:printcolumn:name="WEIGHT",type=string,JSONPath=`.status.weightSummary`
// +kubebuilder:printcolumn:name="ACKED",type=string,JSONPath=`.status.ackedSummary`
// +kubebuilder:printcolumn:name="STABLE",type=string,JSONPath=`.status.stable.revision`
// +kubebuilder:printcolumn:name="CANARY",type=string,JSONPath=`.status.canary.revision`
// +kubebuilder:printcolumn:name="WAITS",type=string,JSONPath=`.status.waitingFor`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="MESSAGE",type=string,JSONPath=`.status.message`,priority=1
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="the name of a Rollout must not be longer than 63 characters: it is written as a label on the Deployment and its Services"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.phase) || !(oldSelf.status.phase in ['Progressing', 'Paused', 'Promoting', 'RollingBack', 'RolledBack']) || (self.spec.workloadRef == oldSelf.spec.workloadRef && self.spec.serviceRef == oldSelf.spec.serviceRef)",message="workloadRef and serviceRef cannot change while a rollout is on its way: wait until the phase is Healthy, or go back to the stable template first"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.phase) || !(oldSelf.status.phase in ['Progressing', 'Paused', 'Promoting', 'RollingBack']) || (has(self.spec.strategy.canary) == has(oldSelf.spec.strategy.canary) && has(self.spec.strategy.blueGreen) == has(oldSelf.spec.strategy.blueGreen) && has(self.spec.strategy.abTest) == has(oldSelf.spec.strategy.abTest))",message="the strategy cannot be switched while a rollout is on its way: wait until the phase is Healthy or RolledBack, or go back to the stable template first"
type Rollout struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the user wants.
	// +required
	Spec RolloutSpec `json:"spec"`
	// status is what Crossfade sees and remembers.
	// +optional
	Status RolloutStatus `json:"status,omitzero"`
}

// RolloutList is a list of Rollouts.
//
// +kubebuilder:object:root=true
type RolloutList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Rollout `json:"items"`
}

// RolloutSpec is what the user wants.
//
// +kubebuilder:validation:XValidation:rule="!has(self.strategy.canary) || self.strategy.canary.steps.all(s, !has(s.checks) || s.checks.all(c, has(self.analysis) && self.analysis.checks.exists(k, k.name == c)))",message="a step names a check that there is not: correct the name in steps[].checks, or add the check to analysis.checks"
// +kubebuilder:validation:XValidation:rule="!has(self.hooks) || !has(self.strategy.canary) || self.hooks.all(h, !has(h.steps) || h.steps.all(s, s <= size(self.strategy.canary.steps)))",message="a hook names a step that there is not: its steps go from 1 to the number of strategy.canary.steps"
type RolloutSpec struct {
	// workloadRef names the Deployment whose template is delivered. It stays the
	// user's: it goes on saying what runs.
	// +required
	WorkloadRef WorkloadRef `json:"workloadRef"`
	// serviceRef names the Service whose requests are shifted, on all its ports.
	// +required
	ServiceRef ServiceRef `json:"serviceRef"`
	// strategy says how. Exactly one member is set.
	// +required
	Strategy Strategy `json:"strategy"`
	// analysis is measured all through the rollout. Without it only readiness and
	// the proxies' acks are waited for.
	// +optional
	Analysis *Analysis `json:"analysis,omitempty"`
	// schedule says when the delivery may go on towards the canary. Without it, at
	// any time.
	// +optional
	Schedule *Schedule `json:"schedule,omitempty"`
	// acks says how long proxies may take to confirm a weight.
	// +optional
	// +kubebuilder:default={timeout: "60s", onTimeout: "Rollback"}
	Acks Acks `json:"acks,omitzero"`
	// progressDeadlineSeconds bounds every wait that no pause explains: for canary
	// pods to become available, for a proxy to appear, for a verdict.
	// +optional
	// +kubebuilder:default=600
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2592000
	ProgressDeadlineSeconds int32 `json:"progressDeadlineSeconds,omitempty"`
	// scaleDownDelaySeconds is how long the pods of the revision that was left stay
	// warm after a promotion.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	ScaleDownDelaySeconds *int32 `json:"scaleDownDelaySeconds,omitempty"`
	// allowRecreateStrategy delivers a Deployment whose strategy is Recreate all the
	// same. Its strategy says that two versions must never run side by side; during
	// a rollout they do: the canary's pods start while stable's serve, and both
	// write to whatever they share (a database, a volume, a lock). Set it when the
	// strategy is there for another reason, or when both versions are known to get
	// along. Without it such a Deployment is refused, reason RecreateStrategy.
	// +optional
	AllowRecreateStrategy bool `json:"allowRecreateStrategy,omitempty"`
	// notify says whom to tell of what.
	// +optional
	// +listType=map
	// +listMapKey=target
	// +kubebuilder:validation:MaxItems=10
	Notify []Notification `json:"notify,omitempty"`
	// paused stops every move but those towards stable.
	// +optional
	Paused bool `json:"paused,omitempty"`
	// hooks ask somebody before the delivery goes on, or tell him afterwards.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	Hooks []Hook `json:"hooks,omitempty"`
}

// WorkloadRef names a Deployment in the Rollout's namespace.
type WorkloadRef struct {
	// +optional
	// +kubebuilder:default="apps/v1"
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self == 'apps/v1'",message="only Deployments of apiVersion apps/v1 can be delivered: set apiVersion to apps/v1"
	APIVersion string `json:"apiVersion,omitempty"`
	// +optional
	// +kubebuilder:default="Deployment"
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self != 'StatefulSet'",message="StatefulSets cannot be delivered: their pods have names and volumes of their own, so that two revisions cannot stand side by side; name a Deployment, and leave this one to its own rolling update (with partition)"
	// +kubebuilder:validation:XValidation:rule="self != 'DaemonSet'",message="DaemonSets cannot be delivered: they have one pod on each node, so that two revisions cannot stand side by side there; name a Deployment, and leave this one to its own rolling update"
	// +kubebuilder:validation:XValidation:rule="self in ['Deployment', 'StatefulSet', 'DaemonSet']",message="only Deployments can be delivered: set kind to Deployment"
	Kind string `json:"kind,omitempty"`
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="must be the name of a Deployment: lower-case letters, digits, '-' and '.'"
	Name string `json:"name"`
}

// ServiceRef names a Service in the Rollout's namespace.
type ServiceRef struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1035Label().validate(self).hasValue()",message="must be the name of a Service: lower-case letters, digits and '-', starting with a letter"
	Name string `json:"name"`
}

// Pause holds a step: for a duration, or, when empty, until somebody promotes, or
// until as many people as are required have.
//
// +kubebuilder:validation:XValidation:rule="!has(self.duration) || !has(self.requires)",message="a pause ends by its duration or by approvals: set one of duration and requires"
type Pause struct {
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) > duration('0s') && duration(self) <= duration('720h')",message="must be a duration such as 30s, 5m or 1h30m, longer than 0s and at most 720h; leave it out to hold until somebody promotes"
	Duration *metav1.Duration `json:"duration,omitempty"`
	// requires holds the step until several people have approved it.
	// +optional
	Requires *Requires `json:"requires,omitempty"`
}

// AckTimeoutAction says what happens when a proxy stays silent.
// +kubebuilder:validation:Enum=Rollback;Continue
type AckTimeoutAction string

// What happens when a proxy stays silent past acks.timeout.
const (
	AckTimeoutRollback AckTimeoutAction = "Rollback"
	AckTimeoutContinue AckTimeoutAction = "Continue"
)

// Acks says how long proxies may take to confirm a weight.
type Acks struct {
	// timeout is the longest silence of a proxy.
	// +optional
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be a duration such as 60s, from 1s to 24h"
	Timeout metav1.Duration `json:"timeout,omitempty"`
	// onTimeout says what happens then.
	// +optional
	// +kubebuilder:default=Rollback
	OnTimeout AckTimeoutAction `json:"onTimeout,omitempty"`
}
