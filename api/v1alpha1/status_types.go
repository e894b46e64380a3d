package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Phase is where a Rollout is, in one word for people.
// +kubebuilder:validation:Enum=Initializing;Healthy;Progressing;Paused;Promoting;RollingBack;RolledBack
type Phase string

// The phases of a Rollout.
const (
	// PhaseInitializing: the Deployment is not adopted yet, or was refused; the
	// condition Ready says why.
	PhaseInitializing Phase = "Initializing"
	// PhaseHealthy: the stable revision is the Deployment's template.
	PhaseHealthy Phase = "Healthy"
	// PhaseProgressing: a canary is on its way.
	PhaseProgressing Phase = "Progressing"
	// PhasePaused: a canary is on its way and waits for somebody or for a verdict.
	PhasePaused Phase = "Paused"
	// PhasePromoting: the canary has all requests and becomes stable.
	PhasePromoting Phase = "Promoting"
	// PhaseRollingBack: the requests go back to stable.
	PhaseRollingBack Phase = "RollingBack"
	// PhaseRolledBack: stable serves everybody, the Deployment's template failed
	// and stays held.
	PhaseRolledBack Phase = "RolledBack"
)

// Verdict is the outcome of a check.
// +kubebuilder:validation:Enum=Pending;Passing;Failing;NoVerdict;Failed
type Verdict string

// The verdicts.
const (
	// VerdictPending: not measured yet in this step.
	VerdictPending Verdict = "Pending"
	// VerdictPassing: the last number was in its range.
	VerdictPassing Verdict = "Passing"
	// VerdictFailing: the last number was out of its range, and failureLimit
	// forgives it.
	VerdictFailing Verdict = "Failing"
	// VerdictNoVerdict: there was no number to judge.
	VerdictNoVerdict Verdict = "NoVerdict"
	// VerdictFailed: more failed measurements than failureLimit forgives.
	VerdictFailed Verdict = "Failed"
)

// RolloutStatus is what Crossfade sees and remembers.
type RolloutStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// phase is where the Rollout is.
	// +optional
	Phase Phase `json:"phase,omitempty"`
	// message says what is going on and what is waited for.
	// +optional
	Message string `json:"message,omitempty"`
	// waitingFor is what a held delivery waits for, in a few words: "window until
	// 2026-12-01 08:00Z"; empty while nothing holds it.
	// +optional
	WaitingFor string `json:"waitingFor,omitempty"`
	// stable is the revision that serves everybody.
	// +optional
	Stable *RevisionStatus `json:"stable,omitempty"`
	// canary is the revision on its way.
	// +optional
	Canary *RevisionStatus `json:"canary,omitempty"`
	// step is the traffic state to reach and hold.
	// +optional
	Step *StepStatus `json:"step,omitempty"`
	// stepSummary is the step as people read it: "2/3".
	// +optional
	StepSummary string `json:"stepSummary,omitempty"`
	// weight is the canary's share, as wanted, as rendered and as confirmed.
	// +optional
	Weight *WeightStatus `json:"weight,omitempty"`
	// weightSummary is what the canary is to get, as people read it: "25", "0 +match",
	// "0 +mirror 20%"; where totalWeight is not 100, "250/1000".
	// +optional
	WeightSummary string `json:"weightSummary,omitempty"`
	// proxies counts who routes to the Service.
	// +optional
	Proxies *ProxiesStatus `json:"proxies,omitempty"`
	// ackedSummary is the proxies' acks as people read them: "12/12".
	// +optional
	AckedSummary string `json:"ackedSummary,omitempty"`
	// checks are the verdicts of this step.
	// +optional
	// +listType=map
	// +listMapKey=name
	Checks []CheckStatus `json:"checks,omitempty"`
	// history are the ends of the last ten deliveries, the newest first.
	// +optional
	// +listType=atomic
	History []HistoryEntry `json:"history,omitempty"`
	// notices are what has happened lately, and whom it has still to be told.
	// +optional
	// +listType=map
	// +listMapKey=id
	Notices []Notice `json:"notices,omitempty"`
	// record is what must survive a crash; it is the controller's own.
	// +optional
	Record *Record `json:"record,omitempty"`
	// conditions are Ready, Reconciling, Stalled (kstatus), Promoted and Held, and
	// WeakBudget while there is one.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// RevisionStatus counts the pods of a revision.
type RevisionStatus struct {
	// revision is the pod-template-hash.
	Revision string `json:"revision"`
	// replicas is how many pods are asked for.
	Replicas int32 `json:"replicas"`
	// ready is how many of them are ready.
	Ready int32 `json:"ready"`
}

// StepStatus is the step that is reached for or held.
type StepStatus struct {
	// index counts from 1.
	Index int32 `json:"index"`
	// count is the number of steps.
	Count int32 `json:"count"`
	// startedAt is when the step began.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// approvals is how far the people are whom the step requires.
	// +optional
	Approvals *ApprovalsStatus `json:"approvals,omitempty"`
}

// WeightStatus is the canary's share out of totalWeight.
type WeightStatus struct {
	// desired is what the step asks for.
	Desired int32 `json:"desired"`
	// effective is what is rendered for the proxies: less than desired while
	// canary pods are missing.
	Effective int32 `json:"effective"`
	// acked is the lowest share that a connected proxy has confirmed, 0 while none has;
	// every proxy has it when proxies.acked is proxies.expected.
	Acked int32 `json:"acked"`
}

// ProxiesStatus counts the proxies that route to the Service.
type ProxiesStatus struct {
	// expected is how many route to the Service, by the cluster's account.
	Expected int32 `json:"expected"`
	// connected is how many of them have a stream to the control plane.
	Connected int32 `json:"connected"`
	// acked is how many confirmed exactly what is published.
	Acked int32 `json:"acked"`
	// rejected is how many refused it.
	Rejected int32 `json:"rejected"`
	// otherVersion is how many of those connected run another version of Crossfade
	// than the controller; a pod gets the controller's when it is made anew.
	// +optional
	OtherVersion int32 `json:"otherVersion,omitempty"`
}

// CheckStatus is the verdict of one check.
type CheckStatus struct {
	// name is the check's.
	Name string `json:"name"`
	// verdict is the outcome so far in this step.
	Verdict Verdict `json:"verdict"`
	// expected says what passes: "at least 99.5%".
	// +optional
	Expected string `json:"expected,omitempty"`
	// value is the number that was measured last, in unit.
	// +optional
	Value string `json:"value,omitempty"`
	// unit is "%" for a successRate, "ms" for a latency, "/s" for a requestRate.
	// +optional
	Unit string `json:"unit,omitempty"`
	// stableValue is what was measured of stable then, where the two are compared.
	// +optional
	StableValue string `json:"stableValue,omitempty"`
	// requests is how many requests of the canary the number is about, where they
	// were counted.
	// +optional
	Requests *int64 `json:"requests,omitempty"`
	// message says why there is no verdict, or what was out of range.
	// +optional
	Message string `json:"message,omitempty"`
	// failures counts the failed measurements of this step.
	// +optional
	Failures int32 `json:"failures,omitempty"`
	// consecutiveFailures counts those since the last one that passed.
	// +optional
	ConsecutiveFailures int32 `json:"consecutiveFailures,omitempty"`
	// measuredAt is when it was measured last.
	// +optional
	MeasuredAt *metav1.MicroTime `json:"measuredAt,omitempty"`
	// verdictAt is when a measurement last gave a number.
	// +optional
	VerdictAt *metav1.MicroTime `json:"verdictAt,omitempty"`
}
