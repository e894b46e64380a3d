package delivery

import (
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Plan says what to do next. Its fields are carried out in their order: the
// status, with the record in it, is written BEFORE any action, and a plan whose
// record differs from the observed one has no actions: they follow from the next
// observation. A crash between any two writes therefore plans the same again.
type Plan struct {
	// Status is the whole next status. It is written only when it differs.
	Status v1alpha1.RolloutStatus
	// Actions are writes to the cluster, in order; the first that fails ends the
	// pass, and the next observation plans anew.
	Actions []Action
	// Measure are the measurements that are due now.
	Measure []Measurement
	// Hooks are the questions that are due now.
	Hooks []Question
	// Events are told to the user after the status was written; they go with a
	// change of it.
	Events []Event
	// RequeueAt is when time alone may change the decision; zero when only an
	// event can.
	RequeueAt time.Time
}

// Measurement asks for a check to be measured.
type Measurement struct {
	Check    string
	Step     int32
	Revision string
	// Stable is the revision that is measured beside it, to compare with; empty for
	// none.
	Stable string
}

// Event is something that has happened, told once: with the write of the status
// (Plan.Events), or with that of an action (Action.Tells).
type Event struct {
	// Warning says that somebody should look.
	Warning bool
	Reason  string
	Message string
}

// Kind names a write. Each is a merge patch (or create, delete) with the
// resourceVersion of the object that was judged.
type Kind string

// The writes.
const (
	// AddFinalizer and RemoveFinalizer change the Rollout's finalizers.
	AddFinalizer    Kind = "AddFinalizer"
	RemoveFinalizer Kind = "RemoveFinalizer"
	// LabelDeployment puts the label on the Deployment; LabelService on a Service.
	LabelDeployment Kind = "LabelDeployment"
	LabelService    Kind = "LabelService"
	// UnlabelService removes label, pin and key from a Service in one write.
	UnlabelService Kind = "UnlabelService"
	// LetGo removes label and hold from the Deployment in one write, and paused
	// unless the hold says that it was paused before.
	LetGo Kind = "LetGo"
	// Hold pauses the Deployment and notes what it was: only where no policy does.
	Hold Kind = "Hold"
	// Release ends the hold: the annotation goes, and paused unless the hold says
	// that it was paused before. Never planned for another template than stable's.
	Release Kind = "Release"
	// CreateHolder and DeleteHolder make and remove the ControllerRevision.
	CreateHolder Kind = "CreateHolder"
	DeleteHolder Kind = "DeleteHolder"
	// Park gives a ReplicaSet to the holder, GiveBack to the Deployment.
	Park     Kind = "Park"
	GiveBack Kind = "GiveBack"
	// CreateCanary makes the canary's ReplicaSet with 0 replicas from the raw
	// template of the Deployment that was judged.
	CreateCanary Kind = "CreateCanary"
	// Scale sets a ReplicaSet's replicas; SetMinReady its minReadySeconds.
	Scale       Kind = "Scale"
	SetMinReady Kind = "SetMinReady"
	// DeleteReplicaSet removes a ReplicaSet, preconditions UID and
	// resourceVersion.
	DeleteReplicaSet Kind = "DeleteReplicaSet"
	// Pin writes the pin (Revision) on a Service, Unpin removes it. Direct says
	// that no policy keeps the key, so that the controller writes it, too.
	Pin   Kind = "Pin"
	Unpin Kind = "Unpin"
	// Swap gives stable (ReplicaSet) to the holder and at once the canary (Joins)
	// to the Deployment with RevisionNumber: two prepared writes, nothing between.
	Swap Kind = "Swap"
	// AnswerAction writes what came of a RolloutAction; DeleteAction removes one.
	AnswerAction Kind = "AnswerAction"
	DeleteAction Kind = "DeleteAction"
	// Join is the second half of Swap, after a crash between the two.
	Join Kind = "Join"
)

// Action is one write, with the reason for it.
type Action struct {
	Kind Kind
	// Object is the name of the object that is written.
	Object string
	// Joins is the ReplicaSet that joins the Deployment in a Swap.
	Joins string
	// Replicas is for Scale, Seconds for SetMinReady.
	Replicas int32
	// Seconds is minReadySeconds.
	Seconds int32
	// Revision is for Pin and CreateCanary.
	Revision string
	// RevisionNumber is for Swap and Join.
	RevisionNumber int64
	// Answer is for AnswerAction.
	Answer *v1alpha1.RolloutActionStatus
	// Direct is for Pin, Unpin and UnlabelService.
	Direct bool
	// Why is the reason, one clause, for logs and goldens.
	Why string
	// Tells is told once the write has been done, nil when there is nothing to tell:
	// an event that no change of the record goes with would be repeated by every
	// pass whose write meets a conflict.
	Tells *Event
}
