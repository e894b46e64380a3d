package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Happening is what people are told of.
// +kubebuilder:validation:Enum=Started;StepStarted;Waiting;Promoted;RolledBack;Stalled
type Happening string

// What people are told of.
const (
	// HappeningStarted: a changed template is held, and its delivery begins.
	HappeningStarted Happening = "Started"
	// HappeningStepStarted: a step, or the whole weight after the last one, began.
	HappeningStepStarted Happening = "StepStarted"
	// HappeningWaiting: the rollout waits for a person.
	HappeningWaiting Happening = "Waiting"
	// HappeningPromoted: the canary is stable now.
	HappeningPromoted Happening = "Promoted"
	// HappeningRolledBack: a revision goes back to stable; the message says why.
	HappeningRolledBack Happening = "RolledBack"
	// HappeningStalled: nothing goes on until somebody mends something.
	HappeningStalled Happening = "Stalled"
)

// Notification names whom to tell of what.
type Notification struct {
	// target is a name from the administrator's file of targets, which also says
	// which namespaces may use it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="must be the name of one of the administrator's targets: lower-case letters, digits and '-'"
	Target string `json:"target"`
	// on are the happenings that it is told of; without it all of them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=6
	On []Happening `json:"on,omitempty"`
}

// Notice is one thing that has happened, and whom it has still to be told. It is
// written together with what happened, so that neither a crash nor another leader
// loses it or makes it anew.
type Notice struct {
	// id is the same each time that this is sent.
	ID string `json:"id"`
	// on is what kind of thing has happened.
	On Happening `json:"on"`
	// at is when.
	At metav1.MicroTime `json:"at"`
	// revision, stable and step are those it is about.
	// +optional
	Revision string `json:"revision,omitempty"`
	// +optional
	Stable string `json:"stable,omitempty"`
	// +optional
	Step int32 `json:"step,omitempty"`
	// message says it in a sentence.
	Message string `json:"message"`
	// pending are the targets that have not taken it yet.
	// +optional
	// +listType=set
	Pending []string `json:"pending,omitempty"`
}
