package delivery

import (
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery/schedule"
)

// Observation is everything a decision is made from: what the cluster and the
// proxies were seen to be, at one time. It is gathered whole before anything is
// decided, so that no decision can depend on the order of reads and writes.
type Observation struct {
	// Now is the time of the observation; nothing in this package has a clock.
	Now time.Time
	// Rollout is the object whose delivery is decided, with its record.
	Rollout *v1alpha1.Rollout
	// Refused is a user's mistake that only the whole cluster shows (another
	// Rollout on the same Deployment, a query that does not parse); nothing moves
	// while there is one.
	Refused *Refusal
	// Checks are the spec's, with what their templates say filled in, in its order;
	// nil stands for the spec's own.
	Checks []v1alpha1.Check
	// Deployment is the workload, nil when there is none. While a record exists it
	// is the recorded workload, else the one that the spec names.
	Deployment *Deployment
	// ReplicaSets are those with the Deployment's selector that the Deployment or
	// the holder controls, or that nobody does; none that is being deleted.
	ReplicaSets []ReplicaSet
	// Holder is the ControllerRevision that controls the canary and parked
	// history, nil when there is none.
	Holder *Holder
	// Service is the Service whose requests are shifted, nil when there is none.
	Service *Service
	// OtherServices also select pods of the Deployment; they are pinned with it.
	OtherServices []Service
	// Proxies is what is known of those that route to the Service.
	Proxies Proxies
	// Samples are the measurements that were asked for by the last plan and have
	// been answered since; each is seen once.
	Samples []Sample
	// Config are the ConfigMaps and Secrets that pods of stable or of the canary use,
	// sorted; ConfigKnown is false where they cannot be watched, or not yet.
	Config      []Config
	ConfigKnown bool
	// Told are the notices of status.notices that have been sent, or given up, since;
	// each is seen once.
	Told []Told
	// Asked are the actions that people have asked of this Rollout, answered ones
	// too, oldest first. When one has no answer they are from the API server itself:
	// a cache could show one again that was answered.
	Asked []v1alpha1.RolloutAction
	// Names says whether it is known who asked.
	Names Names
	// HookAnswers are what hooks have said since the last pass; each is seen once.
	HookAnswers []HookAnswer
	// Policies says whether the API server holds templates and pins by itself.
	Policies Policies
	// Autoscaled says that an HPA targets the Deployment: it must have time to see
	// the load before the old pods go.
	Autoscaled bool
	// Schedule is spec.schedule, understood; nil when there is none, or when it cannot
	// be (then Refused says so).
	Schedule *schedule.Schedule
	// Freezes are those that select the Rollout's namespace, sorted by name.
	Freezes []schedule.Freeze
	// Budgets are the PodDisruptionBudgets that count the Deployment's pods whatever
	// their revision, sorted by name.
	Budgets []Budget
	// Advice are the codes of what the rules of package advice find in the spec, in
	// order. It decides nothing.
	Advice []string
	// NamespaceTerminating says that the namespace goes: nothing is put back.
	NamespaceTerminating bool
}

// Refusal is a reason (of a condition Ready=False) and a sentence that says what
// to change.
type Refusal struct {
	Reason  string
	Message string
}

// Deployment is what matters of the user's Deployment.
type Deployment struct {
	Name, UID, ResourceVersion string
	// Generation is that of the spec, ObservedGeneration what the Deployment
	// controller has acted on.
	Generation, ObservedGeneration int64
	// Deleting says that it has a deletion timestamp.
	Deleting bool
	// Rollout is the value of the label crossfade.dev/rollout.
	Rollout string
	// Hold is the value of the annotation crossfade.dev/hold: "running", "paused",
	// or empty when nothing is held.
	Hold string
	// BreakGlass says that a person took it out of Crossfade's hands.
	BreakGlass bool
	Paused     bool
	// Template is the hash of the pod template in a normal form (without
	// pod-template-hash, nil equal to empty): equal hashes are equal templates.
	Template string
	// CanaryHash is the pod-template-hash that a canary of this template gets: "x"
	// and ten hex digits of its raw JSON.
	CanaryHash string
	// Replicas is how many pods are asked for.
	Replicas        int32
	MinReadySeconds int32
	// Recreate says that the strategy is Recreate.
	Recreate bool
	// HistoryLimit is revisionHistoryLimit, 10 where it is not set.
	HistoryLimit int32
	// UpdatedReplicas is of its status.
	UpdatedReplicas int32
	// RevisionNumber is the annotation deployment.kubernetes.io/revision, 0 when
	// there is none.
	RevisionNumber int64
}

// Owner says who controls a ReplicaSet.
type Owner int

// Owners of a ReplicaSet.
const (
	// OwnerNone: nobody controls it.
	OwnerNone Owner = iota
	// OwnerDeployment: the Deployment does.
	OwnerDeployment
	// OwnerHolder: the holder does.
	OwnerHolder
)

// ReplicaSet is what matters of a revision's ReplicaSet and its pods.
type ReplicaSet struct {
	Name, UID, ResourceVersion string
	// Revision is its pod-template-hash.
	Revision string
	// Template is the hash of its pod template, comparable to the Deployment's.
	Template string
	Owner    Owner
	// Replicas is spec.replicas.
	Replicas        int32
	MinReadySeconds int32
	// StatusReplicas and Available are of its status, Observed says that the status
	// is about the current spec.
	StatusReplicas, Available int32
	Observed                  bool
	// RevisionNumber is the annotation deployment.kubernetes.io/revision, 0 when
	// there is none.
	RevisionNumber int64
	Created        time.Time
	// Pods counts every pod that still exists, terminating ones too; Ready those
	// that are ready and not terminating, which is what an endpoint is.
	Pods, Ready int32
	// Trouble is why pods do not come (unschedulable, quota, image), if known.
	Trouble string
}

// Budget is a PodDisruptionBudget with an integer minAvailable.
type Budget struct {
	Name string
	// MinAvailable is how many pods, of all revisions together, must stay.
	MinAvailable int32
}

// Holder is what matters of the ControllerRevision <deployment>-crossfade.
type Holder struct {
	Name, UID, ResourceVersion string
	// Deployment is the UID of the Deployment that owns it.
	Deployment string
}

// Service is what matters of a Service that selects the Deployment's pods.
type Service struct {
	Name, UID, ResourceVersion string
	// Rollout is the value of the label crossfade.dev/rollout.
	Rollout string
	// Pin is the annotation crossfade.dev/pin, Key the pod-template-hash in its
	// selector; empty when there is none.
	Pin, Key string
	// Selects says whether its own selector (without the key) matches the pod
	// template's labels.
	Selects bool
	// BreakGlass says that a person took it out of Crossfade's hands.
	BreakGlass bool
	// Unpinnable is why it cannot be pinned ("type ExternalName", "belongs to
	// Rollout other"); empty when it can.
	Unpinnable string
	// Endpoints are the revisions of the ready endpoints that its EndpointSlices
	// show; "" stands for addresses that belong to no known revision.
	Endpoints []string
}

// Proxies is what is known of the proxies that route to the Service.
type Proxies struct {
	// Expected is how many there are by the cluster's account or by a live stream;
	// Connected how many of them have a stream; Acked how many confirmed exactly
	// what is published; Rejected how many refused it.
	Expected, Connected, Acked, Rejected int32
	// OtherVersion is how many of those connected run another version of Crossfade
	// than the controller. Nothing is decided by it.
	OtherVersion int32
	// RejectedBy and Error are the name and the text of the first refusal.
	RejectedBy, Error string
	// PendingSince is since when the longest-waiting one has been unacked; zero
	// when all have acked.
	PendingSince time.Time
	// Silent are names of unacked proxies, the first few, for the message.
	Silent []string
	// Effective is the canary's share that is published now, out of
	// record.total: at most record.weight.
	Effective int32
	// Agreed is the lowest of the canary's shares that connected proxies have
	// confirmed; 0 while none is connected, whatever they may still route by.
	Agreed int32
	// MayRoute are the revisions that any expected proxy may still send requests
	// to: weight above zero in what it acked or in what is on the wire to it. A
	// proxy without a stream may still route to whatever is or was published.
	MayRoute []string
	// Published are the revisions that the published routes name (with whatever
	// weight) and that proxies therefore have clusters of.
	Published []string
	// Current says that what is published was rendered from this very record; an
	// ack of something older counts for nothing.
	Current bool
	// ByConnection are the Service's ports on which proxies divide connections, not
	// requests, as people write them: "5432 (postgres)".
	ByConnection []string
}

// Policies says whether the admission policies were proven by a dry-run.
type Policies struct {
	// Hold: a changed template is held by the API server.
	Hold bool
	// Pin: a pinned Service keeps its key.
	Pin bool
	// Message says what is missing.
	Message string
	// Known is false until the first probe has been answered.
	Known bool
}

// Outcome is what a source answered a query with.
type Outcome int

// Outcomes of a measurement.
const (
	// Number: one number.
	Number Outcome = iota
	// NoData: the answer was empty.
	NoData
	// NotANumber: NaN or an infinity.
	NotANumber
	// NoAnswer: no answer that could be judged: source unreachable, timeout, an
	// error of the query, more than one series. Never a verdict.
	NoAnswer
	// Completed: the check is a Job, and it is complete. Failed: it failed. Both are
	// verdicts without a number.
	Completed
	Failed
)

// Sample is one measurement of one check.
type Sample struct {
	// Check is the check's name.
	Check string
	// Step and Revision are those it was asked for; an answer that comes after the
	// step has moved on is dropped.
	Step     int32
	Revision string
	// At is the time it is about.
	At      time.Time
	Outcome Outcome
	Value   float64
	// Message says what went wrong.
	Message string
	// Requests is how many requests of the canary the value is about, Stable the value
	// of stable, StableRequests how many of its requests that is about; each nil where
	// the check does not need it.
	Requests, Stable, StableRequests *Answer
}

// Answer is a further number of a measurement.
type Answer struct {
	Outcome Outcome
	Value   float64
	// Message says what went wrong.
	Message string
}
