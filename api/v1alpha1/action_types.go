package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// RolloutAction is what a person asks of a Rollout, once. It is written down who
// asked: by the API server, which knows, and not by the person. Each action is a
// verb of its own on rollouts (promote, promotefull, abort, retry, pause, resume,
// override), so that an administrator says who may do what.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:selectablefield:JSONPath=`.spec.rollout`
// +kubebuilder:resource:shortName=roa,categories={all,crossfade}
// +kubebuilder:printcolumn:name="ROLLOUT",type=string,JSONPath=`.spec.rollout`
// +kubebuilder:printcolumn:name="ACTION",type=string,JSONPath=`.spec.action`
// +kubebuilder:printcolumn:name="REVISION",type=string,JSONPath=`.spec.revision`
// +kubebuilder:printcolumn:name="PHASE",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="BY",type=string,JSONPath=`.status.by`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="MESSAGE",type=string,JSONPath=`.status.message`,priority=1
type RolloutAction struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is asked for. It never changes.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an action cannot be changed: create another one"
	Spec RolloutActionSpec `json:"spec"`
	// status is what came of it.
	// +optional
	Status RolloutActionStatus `json:"status,omitzero"`
}

// RolloutActionList is a list of RolloutActions.
//
// +kubebuilder:object:root=true
type RolloutActionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RolloutAction `json:"items"`
}

// ActionKind is what can be asked of a Rollout.
// +kubebuilder:validation:Enum=Promote;PromoteFull;Abort;Retry;Pause;Resume;Override
type ActionKind string

// What can be asked of a Rollout. The verb of each is its name in lower case.
const (
	// ActionPromote ends the hold of the present step; where a step requires
	// approvals, it is one.
	ActionPromote ActionKind = "Promote"
	// ActionPromoteFull skips all steps that are left, with their holds, approvals
	// and checks. Pods and acks are still waited for, and what fails of them still
	// goes back.
	ActionPromoteFull ActionKind = "PromoteFull"
	// ActionAbort goes back to stable; the revision counts as failed.
	ActionAbort ActionKind = "Abort"
	// ActionRetry tries a revision that was rolled back or aborted once more.
	ActionRetry ActionKind = "Retry"
	// ActionPause stops every move of this delivery but those towards stable.
	ActionPause ActionKind = "Pause"
	// ActionResume ends such a pause.
	ActionResume ActionKind = "Resume"
	// ActionOverride lets this delivery go on where a schedule or a freeze holds it.
	ActionOverride ActionKind = "Override"
)

// RolloutActionSpec is what is asked for.
type RolloutActionSpec struct {
	// rollout is the name of a Rollout in the same namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="must be the name of a Rollout: lower-case letters, digits, '-' and '.'"
	Rollout string `json:"rollout"`
	// action is what to do.
	// +required
	Action ActionKind `json:"action"`
	// revision is the one on its way (for Retry, the one that was rolled back), as
	// status.canary.revision shows it. The action is refused when another one is on
	// its way by then.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="must be a revision as status.canary.revision shows it, such as 78bd5d695"
	Revision string `json:"revision"`
	// step makes a Promote count for this step only, counted from 1. Without it, it
	// counts for the step that is held when it arrives.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=51
	Step int32 `json:"step,omitempty"`
	// reason is for those who read the history.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// ActionPhase says what came of an action. A pending one has none.
// +kubebuilder:validation:Enum=Applied;Refused
type ActionPhase string

// What came of an action.
const (
	// ActionApplied: done, or written down to be done.
	ActionApplied ActionPhase = "Applied"
	// ActionRefused: nothing was done; the message says why.
	ActionRefused ActionPhase = "Refused"
)

// RolloutActionStatus is what came of an action.
type RolloutActionStatus struct {
	// phase is empty until the action is answered.
	// +optional
	Phase ActionPhase `json:"phase,omitempty"`
	// message says what was done, or why nothing was.
	// +optional
	Message string `json:"message,omitempty"`
	// by is the user who asked, as the API server knows him.
	// +optional
	By string `json:"by,omitempty"`
	// appliedAt is when the action was applied or refused.
	// +optional
	AppliedAt *metav1.MicroTime `json:"appliedAt,omitempty"`
}

// Requires says who has to agree before a step is over.
type Requires struct {
	// approvals is how many different people have to promote the step, by a
	// RolloutAction each. The annotation crossfade.dev/promote counts nothing here:
	// nobody knows who wrote it.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Approvals int32 `json:"approvals"`
}

// ApprovalsStatus is how many people have to approve a step, and who has.
type ApprovalsStatus struct {
	// required is how many have to.
	Required int32 `json:"required"`
	// by are those who have, in the order in which they did.
	// +optional
	// +listType=atomic
	By []string `json:"by,omitempty"`
}

// Word is what somebody said, and when.
type Word struct {
	// by is the user, as the API server knows him.
	By string `json:"by"`
	// reason is his own.
	// +optional
	Reason string `json:"reason,omitempty"`
	// at is when it was taken.
	At metav1.MicroTime `json:"at"`
}

// Override lets one revision go on where a schedule or a freeze holds it.
type Override struct {
	// revision is the one that may.
	Revision string `json:"revision"`
	// by is the user, as the API server knows him.
	By string `json:"by"`
	// reason is his own.
	// +optional
	Reason string `json:"reason,omitempty"`
	// at is when it was taken.
	At metav1.MicroTime `json:"at"`
}

// TakenAction is an action that has had its effect on the record, so that a crash
// before its own status is written does not apply it twice.
type TakenAction struct {
	// uid is the action's.
	UID types.UID `json:"uid"`
	// message is what its status will say.
	Message string `json:"message"`
	// at is when it was applied.
	At metav1.MicroTime `json:"at"`
}

// Outcome is how a delivery ended.
// +kubebuilder:validation:Enum=Promoted;RolledBack;Aborted;TestEnded
type Outcome string

// How deliveries end.
const (
	OutcomePromoted   Outcome = "Promoted"
	OutcomeRolledBack Outcome = "RolledBack"
	OutcomeAborted    Outcome = "Aborted"
	// OutcomeTestEnded: an A/B test was over and went back to stable.
	OutcomeTestEnded Outcome = "TestEnded"
)

// HistoryEntry is the end of one delivery.
type HistoryEntry struct {
	// revision is the one that was on its way.
	Revision string `json:"revision"`
	// outcome is how it ended.
	Outcome Outcome `json:"outcome"`
	// by are those who said so, as the API server knows them; empty where nobody had
	// to.
	// +optional
	By string `json:"by,omitempty"`
	// message is why: the reason that they gave, or the check that failed.
	// +optional
	Message string `json:"message,omitempty"`
	// at is when.
	At metav1.MicroTime `json:"at"`
}
