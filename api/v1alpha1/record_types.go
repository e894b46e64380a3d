package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Stage is the record's place in a delivery. The phase is for people; the stage
// is what a controller that has just started goes on from.
// +kubebuilder:validation:Enum=Healthy;Preparing;Stepping;Pinning;HandingOver;Warm;Retreating;RolledBack;Restoring
type Stage string

// The stages. A Rollout without a record is not adopted.
const (
	// StageHealthy: adopted, nothing on its way.
	StageHealthy Stage = "Healthy"
	// StagePreparing: a held template was seen; history is parked, the Services
	// are pinned to stable, the canary ReplicaSet is made.
	StagePreparing Stage = "Preparing"
	// StageStepping: steps are gone through, and after the last one the whole
	// weight.
	StageStepping Stage = "Stepping"
	// StagePinning: everything is acked on the canary; the pins move to it.
	StagePinning Stage = "Pinning"
	// StageHandingOver: the ReplicaSets change owners.
	StageHandingOver Stage = "HandingOver"
	// StageWarm: the canary is stable now; the old one stays warm, then goes.
	StageWarm Stage = "Warm"
	// StageRetreating: the weight goes back to stable, then the canary goes.
	StageRetreating Stage = "Retreating"
	// StageRolledBack: stable serves everybody; the failed template stays held.
	StageRolledBack Stage = "RolledBack"
	// StageRestoring: history goes back to the Deployment, pins and hold end.
	StageRestoring Stage = "Restoring"
)

// AfterRetreat is what follows when a retreating canary is gone.
// +kubebuilder:validation:Enum=RolledBack;Prepare;Restore;Detach
type AfterRetreat string

// What follows a retreat.
const (
	// ThenRolledBack: the revision failed and is not tried again by itself.
	ThenRolledBack AfterRetreat = "RolledBack"
	// ThenPrepare: another template came; it starts from step 1.
	ThenPrepare AfterRetreat = "Prepare"
	// ThenRestore: the template is the stable one again.
	ThenRestore AfterRetreat = "Restore"
	// ThenDetach: the Rollout is being deleted, or its references changed.
	ThenDetach AfterRetreat = "Detach"
)

// Record is the hard state of a Rollout: only what no later observation could
// bring back. It is written before anything else of a plan, under an optimistic
// lock. All replicas render the proxies' weights from it and from nothing else.
type Record struct {
	// stage is the place in the delivery.
	Stage Stage `json:"stage"`
	// since is when the stage began.
	// +optional
	Since metav1.MicroTime `json:"since,omitzero"`
	// workload is the name of the Deployment that was adopted; it differs from the
	// spec's after the references changed, until the first one is let go.
	Workload string `json:"workload"`
	// workloadUID tells a re-created Deployment from the adopted one.
	WorkloadUID types.UID `json:"workloadUID"`
	// service is the name of the Service that was adopted.
	Service string `json:"service"`

	// stable is the pod-template-hash of the revision that serves everybody.
	Stable string `json:"stable"`
	// canary is the revision on its way; empty when there is none.
	// +optional
	Canary string `json:"canary,omitempty"`
	// canaryTemplate is the hash of the canary's template, by which another
	// template that arrives is told from it.
	// +optional
	CanaryTemplate string `json:"canaryTemplate,omitempty"`
	// old is the former stable revision while it stays warm.
	// +optional
	Old string `json:"old,omitempty"`

	// step is the step that is gone through, counted from 1; one more than there
	// are steps while the whole weight is moved.
	// +optional
	Step int32 `json:"step,omitempty"`
	// stepSince is when the step began.
	// +optional
	StepSince metav1.MicroTime `json:"stepSince,omitzero"`
	// admitted is what the present step gives the canary, as a hash: that is what passed
	// the gates before it. A step that was edited since passes them again.
	// +optional
	Admitted string `json:"admitted,omitempty"`
	// promoting says that the gates before the promotion have been passed. Nothing else
	// leads to it.
	// +optional
	Promoting bool `json:"promoting,omitempty"`
	// weight is the canary's share of the requests, out of total. The one place
	// where a weight is stored.
	// +optional
	Weight int32 `json:"weight,omitempty"`
	// total is what weight is out of; fixed for a delivery, so that the sum of a
	// route's weights never changes on the way.
	// +optional
	Total int32 `json:"total,omitempty"`
	// traffic says which requests the canary gets beside its weight, at the step
	// whose weight is written.
	// +optional
	Traffic *Traffic `json:"traffic,omitempty"`
	// testSince is when an A/B test was confirmed by every proxy for the first time:
	// its duration counts from here, whatever pods are lost on the way.
	// +optional
	TestSince *metav1.MicroTime `json:"testSince,omitempty"`
	// config are the ConfigMaps and Secrets that the pods of both revisions use, as they
	// were when the canary started.
	// +optional
	// +listType=atomic
	Config []ConfigVersion `json:"config,omitempty"`
	// capacity is the number of canary pods that carry weight; with fewer of them
	// ready, less weight is rendered.
	// +optional
	Capacity int32 `json:"capacity,omitempty"`
	// weightSince is when weight was written; empty from the start of a step until
	// its weight is.
	// +optional
	WeightSince metav1.MicroTime `json:"weightSince,omitzero"`
	// ackedAt is when every proxy had confirmed the step's weight: the hold, the
	// first measurements and the verdict's deadline count from here.
	// +optional
	AckedAt *metav1.MicroTime `json:"ackedAt,omitempty"`

	// then is what follows when a retreat is done.
	// +optional
	Then AfterRetreat `json:"then,omitempty"`
	// reason and message say why the retreat or the rollback happened.
	// +optional
	Reason string `json:"reason,omitempty"`
	// +optional
	Message string `json:"message,omitempty"`
	// failed is the revision that was rolled back last, with the hash of its
	// template and the number of attempts it had.
	// +optional
	Failed string `json:"failed,omitempty"`
	// +optional
	FailedTemplate string `json:"failedTemplate,omitempty"`
	// attempt counts the attempts of the revision on its way, or of the failed one.
	// +optional
	Attempt int32 `json:"attempt,omitempty"`
	// replicas is the size that was asked for last: of the canary while it steps,
	// of the old ReplicaSet while it goes.
	// +optional
	Replicas int32 `json:"replicas,omitempty"`
	// scaledAt is when replicas was written: the wait for those pods counts from
	// here, and so does the time between two sizes of the old ReplicaSet.
	// +optional
	ScaledAt *metav1.MicroTime `json:"scaledAt,omitempty"`

	// taken is the last action that had an effect on this record.
	// +optional
	Taken *TakenAction `json:"taken,omitempty"`
	// approvals are who promoted the present step, one word for each person.
	// +optional
	// +listType=atomic
	Approvals []Word `json:"approvals,omitempty"`
	// promoted is the last word that went into this delivery's promotion.
	// +optional
	Promoted *Word `json:"promoted,omitempty"`
	// full skips the steps that are left.
	// +optional
	Full bool `json:"full,omitempty"`
	// paused is who paused this delivery.
	// +optional
	Paused *Word `json:"paused,omitempty"`
	// override is who let this delivery go on where a schedule or a freeze holds it.
	// +optional
	Override *Override `json:"override,omitempty"`
	// hooks are those that were asked in this delivery and, until they have answered,
	// those that are told what came of an earlier one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Hooks []HookRecord `json:"hooks,omitempty"`
}

// ConfigVersion is what is known of a ConfigMap or Secret without reading it.
type ConfigVersion struct {
	// kind is ConfigMap or Secret.
	Kind string `json:"kind"`
	// name is its name in the Rollout's namespace.
	Name string `json:"name"`
	// version changes with its content; empty when there is no such object.
	// +optional
	Version string `json:"version,omitempty"`
	// changed says that it was changed since the canary started.
	// +optional
	Changed bool `json:"changed,omitempty"`
}
