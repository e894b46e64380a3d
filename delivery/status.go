package delivery

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// words are what a pass has to say beyond what its stage says by itself. No word
// of them changes while nothing happens: times are absolute, never counted down,
// or every pass would write the status.
type words struct {
	reason, message string
	// waits is what is waited for in a few words, for the column of that name.
	waits string
	// paused: the rollout waits for somebody. refused: nothing moves until
	// somebody corrects something; that is the reason of Ready.
	paused, refused bool
	// idle: nothing is to be done, and everything is as the user wrote it.
	idle bool
	// overdue is why no verdict comes.
	overdue string
}

// wait says what is waited for.
func (p *pass) wait(reason, message string) {
	p.words = words{reason: reason, message: message, overdue: p.words.overdue}
}

// pause says that somebody is waited for.
func (p *pass) pause(message string) {
	p.words = words{reason: v1alpha1.ReasonPaused, message: message, paused: true, overdue: p.words.overdue}
}

// refuse says what keeps everything from moving.
func (p *pass) refuse(reason, message string) {
	p.words = words{reason: reason, message: message, refused: true, overdue: p.words.overdue}
}

// holding describes the step that is held.
func (p *pass) holding(until string) string {
	m := fmt.Sprintf("%s: %s; holding %s", p.where(), p.portionNow(), until)
	if p.asking != "" {
		m += "; " + p.asking
	}
	return m
}

func (p *pass) waitingForPods() string {
	m := fmt.Sprintf("%s: waiting for canary pods, %d of %d available", p.where(), p.canary.Available, p.podsWanted())
	if p.canary.Trouble != "" {
		m += ": " + p.canary.Trouble
	}
	if p.canary.Available < p.rec.Replicas {
		m += "; rolls back at " + clock(p.waitingSince().Add(p.deadline()))
	}
	return m
}

func (p *pass) waitingForAcks() string {
	x := &p.Proxies
	if x.Expected == 0 && p.reached() {
		return fmt.Sprintf("%s: waiting for a proxy that routes to Service %s; rolls back at %s", p.where(), p.rec.Service, clock(p.waitingSince().Add(p.deadline())))
	}
	if x.Current && x.Acked >= x.Expected {
		return fmt.Sprintf("%s: %d/%d on canary %s instead of %d for want of ready pods; rolls back at %s",
			p.where(), x.Effective, p.rec.Total, p.rec.Canary, p.rec.Weight, clock(p.waitingSince().Add(p.deadline())))
	}
	return fmt.Sprintf("%s: waiting until all proxies confirm %s, each for %s at most", p.where(), p.portionNow(), p.ackTimeout())
}

// askedChecks are the verdicts of those that judge the present step.
func (p *pass) askedChecks() []v1alpha1.CheckStatus {
	var asked []v1alpha1.CheckStatus
	for i := range p.checks {
		if p.asks(p.checks[i].Name) {
			asked = append(asked, p.checks[i])
		}
	}
	return asked
}

func (p *pass) where() string {
	if p.step() != nil {
		return fmt.Sprintf("step %d/%d", p.rec.Step, len(p.steps()))
	}
	return "after the last step"
}

// waitingSince is when the present wait of a step began.
func (p *pass) waitingSince() time.Time {
	t := latest(p.rec.StepSince.Time, p.rec.WeightSince.Time)
	if p.rec.ScaledAt != nil {
		t = latest(t, p.rec.ScaledAt.Time)
	}
	return t
}

// status is the whole next status.
func (p *pass) status() v1alpha1.RolloutStatus {
	if p.rec != nil {
		p.stable, p.canary = p.find(p.rec.Stable), p.find(p.rec.Canary)
	}
	phase, reason, message := p.summary()
	s := v1alpha1.RolloutStatus{
		ObservedGeneration: p.Rollout.Generation,
		Phase:              phase,
		Message:            message,
		WaitingFor:         p.words.waits,
		Record:             p.rec,
	}
	if p.rec != nil {
		s.Stable = revisionStatus(p.rec.Stable, p.stable)
		s.Canary = revisionStatus(p.rec.Canary, p.canary)
		s.WeightSummary = portionOf(p.rec).summary(p.rec.Total)
		s.Weight = &v1alpha1.WeightStatus{Desired: p.rec.Weight, Effective: p.Proxies.Effective, Acked: p.Proxies.Agreed}
		s.Proxies = &v1alpha1.ProxiesStatus{
			Expected: p.Proxies.Expected, Connected: p.Proxies.Connected, Acked: p.Proxies.Acked, Rejected: p.Proxies.Rejected,
			OtherVersion: p.Proxies.OtherVersion,
		}
		s.AckedSummary = fmt.Sprintf("%d/%d", p.Proxies.Acked, p.Proxies.Expected)
		s.Step, s.StepSummary = p.stepStatus()
		if p.rec.Stage != v1alpha1.StageHealthy {
			s.Checks = p.askedChecks()
		}
	}
	s.History = p.history
	s.Conditions = p.conditions(phase, reason, message)
	s.Notices = p.notices(&s)
	return s
}

func revisionStatus(revision string, r *ReplicaSet) *v1alpha1.RevisionStatus {
	if revision == "" {
		return nil
	}
	s := &v1alpha1.RevisionStatus{Revision: revision}
	if r != nil {
		s.Replicas, s.Ready = r.Replicas, r.Ready
	}
	return s
}

func (p *pass) stepStatus() (*v1alpha1.StepStatus, string) {
	if p.rec.Step == 0 {
		return nil, ""
	}
	count := int32(len(p.steps()))
	index := min(p.rec.Step, count)
	started := metav1.NewTime(p.rec.StepSince.Truncate(time.Second))
	return &v1alpha1.StepStatus{Index: index, Count: count, StartedAt: &started, Approvals: p.approvals()}, fmt.Sprintf("%d/%d", index, count)
}

// summary is the phase, with its reason and its sentence.
func (p *pass) summary() (v1alpha1.Phase, string, string) {
	phase, reason, message := p.ofStage()
	w := p.words // empty when the record changes: it was said about another stage
	if w.message != "" {
		reason, message = w.reason, w.message
	}
	onItsWay := phase == v1alpha1.PhaseProgressing || phase == v1alpha1.PhasePromoting
	if onItsWay && (w.paused || w.refused) {
		phase = v1alpha1.PhasePaused
	}
	if w.overdue != "" && !w.paused && !w.refused {
		return v1alpha1.PhasePaused, v1alpha1.ReasonNoVerdict, fmt.Sprintf("%s: %s; %s: goes on when verdicts come", p.where(), p.portionNow(), w.overdue)
	}
	return phase, reason, message
}

// ofStage is what a stage says by itself.
func (p *pass) ofStage() (v1alpha1.Phase, string, string) {
	if p.rec == nil {
		return v1alpha1.PhaseInitializing, v1alpha1.ReasonInitializing, "waiting to adopt the Deployment"
	}
	switch p.rec.Stage {
	case v1alpha1.StageHealthy:
		return v1alpha1.PhaseHealthy, v1alpha1.ReasonHealthy, fmt.Sprintf("revision %s serves everybody", p.rec.Stable)
	case v1alpha1.StagePreparing:
		return v1alpha1.PhaseProgressing, v1alpha1.ReasonProgressing, "preparing a canary of the changed template"
	case v1alpha1.StageStepping:
		if p.step() == nil {
			return v1alpha1.PhasePromoting, v1alpha1.ReasonPromoting, fmt.Sprintf("moving all requests to canary %s", p.rec.Canary)
		}
		return v1alpha1.PhaseProgressing, v1alpha1.ReasonProgressing, fmt.Sprintf("%s: canary %s", p.where(), p.rec.Canary)
	case v1alpha1.StagePinning:
		return v1alpha1.PhasePromoting, v1alpha1.ReasonPromoting, fmt.Sprintf("moving clients outside the mesh to canary %s", p.rec.Canary)
	case v1alpha1.StageHandingOver:
		return v1alpha1.PhasePromoting, v1alpha1.ReasonPromoting, fmt.Sprintf("handing canary %s over to the Deployment", p.rec.Canary)
	case v1alpha1.StageWarm:
		if p.rec.ScaledAt != nil {
			return v1alpha1.PhasePromoting, v1alpha1.ReasonPromoted, p.oldGoes()
		}
		return v1alpha1.PhasePromoting, v1alpha1.ReasonPromoted, fmt.Sprintf("revision %s is promoted; the pods of %s stay warm", p.rec.Stable, p.rec.Old)
	case v1alpha1.StageRetreating:
		return v1alpha1.PhaseRollingBack, v1alpha1.ReasonRollingBack, p.rec.Message
	case v1alpha1.StageRolledBack:
		if p.rec.Reason == EventABTestEnded {
			return v1alpha1.PhaseRolledBack, v1alpha1.ReasonABTestEnded, fmt.Sprintf("revision %s is not tested any more, and stable serves everybody: %s; change the template, or go on with this one (after a change of the strategy, maybe): %s",
				p.rec.Failed, p.rec.Message, p.command("retry"))
		}
		return v1alpha1.PhaseRolledBack, v1alpha1.ReasonRolledBack, fmt.Sprintf("revision %s was rolled back: %s; change the template, or try again: %s",
			p.rec.Failed, p.rec.Message, p.command("retry"))
	case v1alpha1.StageRestoring:
		if p.rec.Then != "" {
			return v1alpha1.PhaseRollingBack, v1alpha1.ReasonRollingBack, "putting the Deployment and its Services back: " + p.rec.Message
		}
	}
	return v1alpha1.PhasePromoting, v1alpha1.ReasonPromoted, fmt.Sprintf("revision %s is promoted; putting the Deployment and its Services back", p.rec.Stable)
}

// command is what most people type. Those who have kubectl alone find in the docs what
// it stands for.
func (p *pass) command(verb string) string {
	return fmt.Sprintf("kubectl crossfade %s %s -n %s", verb, p.Rollout.Name, p.Rollout.Namespace)
}

// wasReason is the reason that a condition had before this pass. An event that no
// record change goes with is told when the reason becomes its own.
func (p *pass) wasReason(condition string) string {
	if c := conditionOf(&p.Rollout.Status, condition); c != nil {
		return c.Reason
	}
	return ""
}

// conditionOf is a condition by its type, nil when there is none.
func conditionOf(s *v1alpha1.RolloutStatus, kind string) *metav1.Condition {
	for i := range s.Conditions {
		if c := &s.Conditions[i]; c.Type == kind {
			return c
		}
	}
	return nil
}

func (p *pass) conditions(phase v1alpha1.Phase, reason, message string) []metav1.Condition {
	settled := p.words.idle
	stuck := p.words.refused && reason != v1alpha1.ReasonInitializing && reason != v1alpha1.ReasonNotSettled
	stalled := phase == v1alpha1.PhaseRolledBack || stuck || reason == v1alpha1.ReasonNoVerdict
	list := []metav1.Condition{
		p.condition(v1alpha1.ConditionReady, settled, reason, message),
		p.condition(v1alpha1.ConditionReconciling, !settled && !stalled, reason, message),
		p.condition(v1alpha1.ConditionStalled, stalled, reason, message),
		p.promoted(reason, message),
	}
	if p.Policies.Known {
		list = append(list, p.holdCondition())
	} else {
		list = append(list, p.keptCondition(v1alpha1.ConditionHeld)...)
	}
	if len(p.Budgets) > 0 {
		list = append(list, p.condition(v1alpha1.ConditionWeakBudget, true, v1alpha1.ReasonIntegerMinAvailable, p.weakBudgets()))
	}
	if changed := p.configChanged(); len(changed) > 0 {
		list = append(list, p.condition(v1alpha1.ConditionConfigChanged, true, v1alpha1.ReasonChangedInPlace, configSentence(changed)))
	}
	list = append(list, p.advised()...)
	if ports := p.Proxies.ByConnection; len(ports) > 0 {
		message := fmt.Sprintf("port %s is TCP: inside the mesh new connections are divided, not requests, and open ones stay where they are; declare HTTP by the port's appProtocol if it is", join(ports))
		if slices.ContainsFunc(p.steps(), func(s Step) bool { return s.Traffic != nil }) {
			message += "; matches, copies and sticky do nothing there"
		}
		list = append(list, p.condition(v1alpha1.ConditionPerConnection, true, v1alpha1.ReasonTCPPorts, message))
	}
	return list
}

// weakBudgets says what is wrong with budgets that count pods: with as many canary
// pods as stable ones, minAvailable 3 of 4 lets all of stable's be evicted at once
// (handover.md 5b).
func (p *pass) weakBudgets() string {
	names := make([]string, len(p.Budgets))
	for i, b := range p.Budgets {
		names[i] = fmt.Sprintf("%s (minAvailable %d)", b.Name, b.MinAvailable)
	}
	return fmt.Sprintf("canary pods count for PodDisruptionBudget %s, too: while there are some, as many more stable pods may be evicted at once; use maxUnavailable or a percentage", join(names))
}

// promoted is what a pipeline waits for: never True for a revision that is not the
// Deployment's template.
func (p *pass) promoted(reason, message string) metav1.Condition {
	if p.rec != nil && p.Deployment != nil && p.back() {
		switch p.rec.Stage {
		case v1alpha1.StageHealthy, v1alpha1.StageWarm, v1alpha1.StageRestoring:
			return p.condition(v1alpha1.ConditionPromoted, true, v1alpha1.ReasonPromoted, fmt.Sprintf("revision %s is stable", p.rec.Stable))
		case v1alpha1.StagePreparing, v1alpha1.StageStepping, v1alpha1.StagePinning, v1alpha1.StageHandingOver, v1alpha1.StageRetreating, v1alpha1.StageRolledBack:
		}
	}
	return p.condition(v1alpha1.ConditionPromoted, false, reason, message)
}

func (p *pass) holdCondition() metav1.Condition {
	if p.Policies.Hold && p.Policies.Pin {
		return p.condition(v1alpha1.ConditionHeld, true, v1alpha1.ReasonPoliciesWork, "the admission policies hold changed templates and pins")
	}
	message := "the controller holds and pins in place of the admission policies: " + p.Policies.Message
	if p.wasReason(v1alpha1.ConditionHeld) != v1alpha1.ReasonPoliciesMissing {
		p.warn(EventPoliciesMissing, message)
	}
	return p.condition(v1alpha1.ConditionHeld, false, v1alpha1.ReasonPoliciesMissing, message)
}

func (p *pass) keptCondition(kind string) []metav1.Condition {
	if c := conditionOf(&p.Rollout.Status, kind); c != nil {
		return []metav1.Condition{*c}
	}
	return nil
}

// condition is True or False since its status last changed. Times of conditions
// are stored in whole seconds.
func (p *pass) condition(kind string, is bool, reason, message string) metav1.Condition {
	c := metav1.Condition{
		Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: message,
		ObservedGeneration: p.Rollout.Generation,
		LastTransitionTime: metav1.NewTime(p.now.Truncate(time.Second)),
	}
	if is {
		c.Status = metav1.ConditionTrue
	}
	for i := range p.Rollout.Status.Conditions {
		if was := &p.Rollout.Status.Conditions[i]; was.Type == kind && was.Status == c.Status {
			c.LastTransitionTime = was.LastTransitionTime
		}
	}
	return c
}
