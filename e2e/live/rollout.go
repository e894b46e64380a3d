package live

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Rollout is what a user can see of a Rollout. It is written down here a second time, by the documentation and
// not by the product's types: a field that is renamed by mistake has to be noticed.
type Rollout struct {
	metav1.ObjectMeta `json:"metadata"`

	Status struct {
		ObservedGeneration int64              `json:"observedGeneration"`
		Phase              string             `json:"phase"`
		Message            string             `json:"message"`
		WaitingFor         string             `json:"waitingFor"`
		StepSummary        string             `json:"stepSummary"`
		AckedSummary       string             `json:"ackedSummary"`
		Stable             Revision           `json:"stable"`
		Canary             Revision           `json:"canary"`
		Step               Step               `json:"step"`
		Weight             Weight             `json:"weight"`
		Proxies            Proxies            `json:"proxies"`
		Checks             []Check            `json:"checks"`
		Conditions         []metav1.Condition `json:"conditions"`
		Record             Record             `json:"record"`
	} `json:"status"`
}

// Revision is a pod template by its hash, and its pods.
type Revision struct {
	Revision string `json:"revision"`
	Replicas int32  `json:"replicas"`
	Ready    int32  `json:"ready"`
}

// Step is the step that is reached for or held.
type Step struct {
	Index int32 `json:"index"`
	Count int32 `json:"count"`
}

// Weight is the canary's share of 100.
type Weight struct {
	Desired   int32 `json:"desired"`
	Effective int32 `json:"effective"`
	Acked     int32 `json:"acked"`
}

// Proxies counts who routes to the Service.
type Proxies struct {
	Expected  int32 `json:"expected"`
	Connected int32 `json:"connected"`
	Acked     int32 `json:"acked"`
	Rejected  int32 `json:"rejected"`
}

// Check is a check and its verdict.
type Check struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
	Value   string `json:"value"`
	Message string `json:"message"`
	// Expected is what passes, Unit what Value is in, StableValue what stable has.
	Expected    string `json:"expected"`
	Unit        string `json:"unit"`
	StableValue string `json:"stableValue"`
	// Requests is how many Value is about.
	Requests int64 `json:"requests"`
}

// Record is where a controller goes on after a crash; tests look only at its stage, to crash in each.
type Record struct {
	Stage string `json:"stage"`
}

// Condition returns a condition; its zero value when it is not there.
func (r Rollout) Condition(kind string) metav1.Condition {
	for _, c := range r.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return metav1.Condition{}
}

// Current says that the status is about the spec as it is.
func (r Rollout) Current() bool { return r.Status.ObservedGeneration == r.Generation }

// Healthy says that nothing is on its way.
func (r Rollout) Healthy() bool {
	return r.Current() && r.Status.Phase == "Healthy" && r.Condition("Ready").Status == metav1.ConditionTrue
}

// String is one line for people.
func (r Rollout) String() string {
	s := r.Status
	var conditions []string
	for _, c := range s.Conditions {
		conditions = append(conditions, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
	}
	return fmt.Sprintf("%s (%s) step %s weight %d/%d/%d acked %s stable %s %d/%d canary %s %d/%d [%s] %q", s.Phase, s.Record.Stage, s.StepSummary,
		s.Weight.Desired, s.Weight.Effective, s.Weight.Acked, s.AckedSummary, s.Stable.Revision, s.Stable.Ready, s.Stable.Replicas,
		s.Canary.Revision, s.Canary.Ready, s.Canary.Replicas, strings.Join(conditions, " "), s.Message)
}

// FollowRollout follows a Rollout.
func FollowRollout(ctx context.Context, c client.WithWatch, namespace, name string) *Follower[Rollout] {
	kind := schema.GroupVersionKind{Group: "crossfade.dev", Version: "v1alpha1", Kind: "Rollout"}
	return Follow[Rollout](ctx, c, kind, types.NamespacedName{Namespace: namespace, Name: name})
}

// Window is a time during which all proxies had confirmed one weight of one canary.
type Window struct {
	// Canary is the revision; empty while there is none.
	Canary string
	// Weight is the canary's share of 100.
	Weight int32
	// Step is "2/3".
	Step string
	// From and To are its bounds.
	From, To time.Time
}

// Windows finds the times during which a canary's share of the requests is known: from when the confirmation of all
// proxies was seen until before the next state was written, which until says. end ends the last one.
func Windows(states []Seen[Rollout], until func(Seen[Rollout]) time.Time, end time.Time) []Window {
	var windows []Window
	var open *Window
	shut := func(at time.Time) {
		if open != nil && at.After(open.From) {
			open.To = at
			windows = append(windows, *open)
		}
		open = nil
	}
	for _, s := range states {
		status := s.Object.Status
		known := !s.Gone && status.Canary.Revision != "" && status.Weight.Desired == status.Weight.Acked &&
			status.Weight.Effective == status.Weight.Acked && status.Proxies.Acked == status.Proxies.Expected
		if known && open != nil && open.Canary == status.Canary.Revision && open.Weight == status.Weight.Acked {
			continue
		}
		if open != nil {
			shut(until(s))
		}
		if known {
			open = &Window{Canary: status.Canary.Revision, Weight: status.Weight.Acked, Step: status.StepSummary, From: s.At}
		}
	}
	shut(end)
	return windows
}
