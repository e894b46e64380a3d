package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Strategy is a union: exactly one member is set.
//
// +kubebuilder:validation:XValidation:rule="[has(self.canary), has(self.blueGreen), has(self.abTest)].filter(x, x).size() == 1",message="exactly one strategy must be set: canary with its steps, blueGreen or abTest"
type Strategy struct {
	// canary moves the requests in steps: of weight, of matching requests, of copies.
	// +optional
	Canary *Canary `json:"canary,omitempty"`
	// blueGreen brings the canary up whole, shows it to a few, and then moves all
	// requests at once.
	// +optional
	BlueGreen *BlueGreen `json:"blueGreen,omitempty"`
	// abTest divides users between both revisions for a time, each staying where he
	// is.
	// +optional
	ABTest *ABTest `json:"abTest,omitempty"`
}

// Canary moves requests to the canary in steps that never give it less weight.
//
// +kubebuilder:validation:XValidation:rule="self.steps.all(s, !has(s.weight) || s.weight <= self.totalWeight)",message="no step's weight may be over totalWeight: lower it, or raise totalWeight (100, 1000 or 10000)"
// +kubebuilder:validation:XValidation:rule="self.steps.filter(s, has(s.weight)).map(s, s.weight).isSorted()",message="the weights of the steps must not descend: put the steps in the order of their weights"
type Canary struct {
	// totalWeight is what the weights are out of.
	// +optional
	// +kubebuilder:default=100
	// +kubebuilder:validation:Enum=100;1000;10000
	TotalWeight int32 `json:"totalWeight,omitempty"`
	// steps are gone through in order; after the last one the canary is promoted.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	Steps []Step `json:"steps"`
	// sticky keeps a user on the revision that he was given: while the weight only
	// rises, nobody goes back to stable.
	// +optional
	Sticky *Sticky `json:"sticky,omitempty"`
}

// Step is a traffic state to reach and hold.
//
// +kubebuilder:validation:XValidation:rule="has(self.weight) || has(self.match) || has(self.mirror)",message="a step needs a weight, a match or a mirror: without one of them it would change nothing"
// +kubebuilder:validation:XValidation:rule="!has(self.replicas) || (type(self.replicas) == int ? self.replicas > 0 : self.replicas != '0%') || !((has(self.weight) && self.weight > 0) || has(self.mirror) || (has(self.match) && self.match.size() > 0))",message="a step that gives the canary requests needs canary pods: set replicas above 0, or leave it out"
type Step struct {
	// weight is the share of requests meant for the canary, out of totalWeight.
	// Without it a step with match or mirror has the weight of the step before, 0 at
	// first.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Weight *int32 `json:"weight,omitempty"`
	// match are requests that all go to the canary, whatever the weight is; the
	// entries are alternatives. They stay in the steps that follow, until one has a
	// match of its own, which replaces them; an empty list ends them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Match []RequestMatch `json:"match,omitzero"`
	// mirror sends the canary copies of requests that stable answers, in this step
	// only; its own answers are thrown away, and judged by the checks.
	// +optional
	Mirror *Mirror `json:"mirror,omitempty"`
	// replicas is the size of the canary at this step, a number of pods or a
	// percentage of the Deployment's replicas. Without it the canary gets the
	// share of pods that it gets of the requests by weight and mirror, rounded up;
	// how many requests a match takes nobody knows, so it counts as one pod.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 && self <= 100000 : self.matches('^(100|[1-9]?[0-9])%$')",message="must be a number of pods from 0 to 100000, or a percentage from 0% to 100%"
	Replicas *intstr.IntOrString `json:"replicas,omitempty"`
	// pause holds the step after its weight is acked. Without it the rollout goes
	// on as soon as every check has passed once.
	// +optional
	Pause *Pause `json:"pause,omitempty"`
	// checks are the names of those that judge this step; all of them by default.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MaxLength=63
	Checks []string `json:"checks,omitempty"`
}

// BlueGreen shows the whole canary to a few first, and then moves all requests in
// one step.
type BlueGreen struct {
	// replicas is the size of the canary before the switch, a number of pods or a
	// percentage of the Deployment's replicas. It is whole before it gets everything.
	// +optional
	// +kubebuilder:default="100%"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 100000 : self.matches('^(100|[1-9][0-9]?)%$')",message="must be a number of pods from 1 to 100000, or a percentage from 1% to 100%"
	Replicas *intstr.IntOrString `json:"replicas,omitempty"`
	// preview is how people and tests reach the canary before the switch.
	// +optional
	Preview *Preview `json:"preview,omitempty"`
	// mirror sends the canary copies of requests before the switch.
	// +optional
	Mirror *Mirror `json:"mirror,omitempty"`
	// hold is how long the canary is looked at before the switch.
	// +optional
	Hold *Hold `json:"hold,omitempty"`
	// autoPromote switches by itself when hold is over and the checks pass; without
	// it somebody has to promote.
	// +optional
	AutoPromote bool `json:"autoPromote,omitempty"`
	// verify is how long the canary is measured with all requests, while the pods of
	// stable are all still there: a failed check switches back at once.
	// +optional
	Verify *Hold `json:"verify,omitempty"`
}

// Preview is the requests that reach the canary before the switch.
type Preview struct {
	// match are these requests; the entries are alternatives.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Match []RequestMatch `json:"match"`
}

// Hold is a time that a traffic state is held, from when all proxies have confirmed
// it.
type Hold struct {
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) > duration('0s') && duration(self) <= duration('720h')",message="must be a duration such as 30s, 5m or 1h30m, longer than 0s and at most 720h"
	Duration metav1.Duration `json:"duration"`
}

// ABTestEnd says what happens when a test is over.
// +kubebuilder:validation:Enum=Hold;Promote;Return
type ABTestEnd string

// What happens when a test is over.
const (
	// ABTestHold waits for a person; both revisions serve on.
	ABTestHold ABTestEnd = "Hold"
	// ABTestPromote promotes the canary if its checks pass.
	ABTestPromote ABTestEnd = "Promote"
	// ABTestReturn goes back to stable.
	ABTestReturn ABTestEnd = "Return"
)

// ABTest divides users between stable and canary for a time. Nobody changes sides
// while it lasts.
//
// +kubebuilder:validation:XValidation:rule="self.weight <= self.totalWeight",message="weight may not be over totalWeight: lower it, or raise totalWeight (100, 1000 or 10000)"
type ABTest struct {
	// match are the requests that take part; without it all do. Those that do not
	// go to stable.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Match []RequestMatch `json:"match,omitempty"`
	// weight is the share of those who take part that the canary gets, out of
	// totalWeight.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Weight int32 `json:"weight"`
	// totalWeight is what weight is out of.
	// +optional
	// +kubebuilder:default=100
	// +kubebuilder:validation:Enum=100;1000;10000
	TotalWeight int32 `json:"totalWeight,omitempty"`
	// sticky keeps a user on the revision that he was given.
	// +required
	Sticky Sticky `json:"sticky"`
	// duration is how long the test lasts, from when all proxies have confirmed it
	// for the first time.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) > duration('0s') && duration(self) <= duration('2160h')",message="must be a duration such as 48h, longer than 0s and at most 2160h"
	Duration metav1.Duration `json:"duration"`
	// onEnd says what happens then: Hold waits for a person, Promote promotes the
	// canary if its checks pass, Return goes back to stable.
	// +optional
	// +kubebuilder:default=Hold
	OnEnd ABTestEnd `json:"onEnd,omitempty"`
	// replicas is the size of the canary, a number of pods or a percentage of the
	// Deployment's replicas. Without it the canary gets the share of pods that its
	// weight is of the requests, rounded up, as if everybody took part.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 100000 : self.matches('^(100|[1-9][0-9]?)%$')",message="must be a number of pods from 1 to 100000, or a percentage from 1% to 100%"
	Replicas *intstr.IntOrString `json:"replicas,omitempty"`
}
