package delivery

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// clusterActs lets every part of the cluster that has something to do act once.
func (w *world) clusterActs() bool {
	did := w.deploymentController()
	for _, r := range slices.Clone(w.rss) {
		did = w.kubelet(r) || did
		did = w.replicaSetController(r) || did
	}
	for _, s := range w.svcs {
		did = w.endpoints(s) || did
	}
	return did
}

func (w *world) meshActs() bool {
	did := w.render()
	for _, p := range w.proxies {
		did = w.talk(p) || did
	}
	return did
}

// pass is one pass of the controller: observe, decide, write the status, act. It
// says whether anything was written.
func (w *world) pass() (bool, Plan) {
	if w.cache.ro == nil {
		return false, Plan{}
	}
	o := w.observe()
	plan := Decide(o)
	did, err := w.commit(&o, &plan)
	if err == nil {
		w.tellEvents(plan.Events)
		w.post.send(w.ro)
	}
	for i := range plan.Actions {
		if err != nil {
			break
		}
		did = true
		if err = w.do(&o, &plan.Actions[i]); errors.Is(err, errHalf) {
			err = w.changeOwner(&o, plan.Actions[i].Joins, OwnerDeployment, plan.Actions[i].RevisionNumber)
		}
		if e := plan.Actions[i].Tells; e != nil && err == nil {
			w.tellEvents([]Event{*e})
		}
	}
	return did || w.answer(&plan) || w.answerHooks(&plan), plan
}

// commit writes the status when it differs.
func (w *world) commit(o *Observation, plan *Plan) (bool, error) {
	if w.ro == nil || reflect.DeepEqual(o.Rollout.Status, plan.Status) {
		w.heard(o.Samples)
		return false, nil
	}
	if err := w.writeStatus(o, plan); err != nil {
		return false, err
	}
	return true, nil
}

// answer lets the source answer what was asked.
func (w *world) answer(plan *Plan) bool {
	if w.measure == nil {
		return false
	}
	for _, m := range plan.Measure {
		s := w.measure(m.Check, m.Revision)
		s.Check, s.Step, s.Revision, s.At = m.Check, m.Step, m.Revision, w.now
		w.samples = append(w.samples, s)
	}
	return len(plan.Measure) > 0
}

// answerHooks lets hooks answer what was asked.
func (w *world) answerHooks(plan *Plan) bool {
	if w.hook == nil {
		return false
	}
	for _, q := range plan.Hooks {
		a := w.hook(q)
		a.Question, a.Came = q, w.now
		w.hookAnswers = append(w.hookAnswers, a)
	}
	return len(plan.Hooks) > 0
}

// traceStatus tells what a status write changes.
func (w *world) traceStatus(was, next *v1alpha1.RolloutStatus) {
	if next.Record == nil {
		if was.Record != nil {
			w.trace("crossfade", "forgets the record")
		}
	} else if !sameRecord(was.Record, next.Record) {
		w.trace("crossfade", "records "+tell(was.Record, next.Record)+tellHooks(was.Record, next.Record))
	}
}

func tell(was, r *v1alpha1.Record) string {
	s := string(r.Stage)
	if r.Canary != "" && (was == nil || was.Canary != r.Canary) {
		s += " of " + r.Canary
	}
	if r.Canary != "" && r.Step > 0 && r.Stage == v1alpha1.StageStepping {
		s += fmt.Sprintf(" step %d", r.Step)
	}
	if was == nil || was.Weight != r.Weight || (r.Total > 0 && was.WeightSince != r.WeightSince && r.Stage == v1alpha1.StageStepping) {
		s += fmt.Sprintf(", weight %d/%d", r.Weight, r.Total)
	}
	if was != nil && r.Canary != "" && portionOf(was).words() != portionOf(r).words() {
		s += ", " + trafficWords(r.Traffic)
	}
	if was != nil && was.Replicas != r.Replicas && r.Replicas+was.Replicas > 0 {
		s += fmt.Sprintf(", size %d", r.Replicas)
	}
	if was != nil && was.Capacity != r.Capacity && r.Capacity > 0 {
		s += fmt.Sprintf(", capacity %d", r.Capacity)
	}
	if r.AckedAt != nil && (was == nil || was.AckedAt == nil) {
		s += ", acked"
	}
	if r.AckedAt == nil && was != nil && was.AckedAt != nil && r.Stage == v1alpha1.StageStepping {
		s += ", not acked"
	}
	if was != nil && was.Stage != r.Stage && r.Reason != "" {
		s += fmt.Sprintf(" (then %s; %s)", r.Then, r.Reason)
	}
	if was == nil || was.Stable != r.Stable {
		s += ", stable " + r.Stable
	}
	return s + tellPeople(was, r)
}

// trafficWords tell which requests the canary gets beside its weight.
func trafficWords(t *v1alpha1.Traffic) string {
	if t == nil {
		return "no others"
	}
	var list []string
	for _, m := range t.Match {
		list = append(list, "matching "+matchWords(&m))
	}
	for _, m := range t.Audience {
		list = append(list, "of "+matchWords(&m))
	}
	if t.Mirror != nil {
		list = append(list, fmt.Sprintf("mirror %d%%", t.Mirror.Percent))
	}
	if t.Sticky != nil {
		list = append(list, "sticky")
	}
	return strings.Join(list, ", ")
}

func matchWords(m *v1alpha1.RequestMatch) string {
	var list []string
	for _, values := range [][]v1alpha1.ValueMatch{m.Headers, m.Cookies, m.QueryParams} {
		for _, v := range values {
			list = append(list, v.Name)
		}
	}
	return strings.Join(list, "+")
}

// run lets the world go on, in a fixed and fair order, until a condition holds; it
// moves the clock only when nothing else can happen. It says whether the condition
// came within a time.
func (w *world) run(within time.Duration, until func() bool) bool {
	end := w.now.Add(within)
	told := ""
	for range 200000 {
		if until() {
			return true
		}
		if w.clusterActs() {
			continue
		}
		w.seeAll()
		if w.meshActs() {
			continue
		}
		w.seeAll()
		did, plan := w.pass()
		if did {
			continue
		}
		w.checkQuiet(&plan)
		if s := fmt.Sprintf("%s: %s", plan.Status.Phase, plan.Status.Message); s != told && w.ro != nil {
			told = s
			w.trace("status", s)
		}
		next := w.nextTime(plan.RequeueAt)
		if next.IsZero() || next.After(end) {
			if until() {
				return true
			}
			if w.now.Before(end) {
				w.now = end
				continue
			}
			return false
		}
		w.now = next
	}
	return false
}

func (w *world) tellEvents(events []Event) {
	for _, e := range events {
		kind := "event"
		if e.Warning {
			kind = "warning"
		}
		w.trace(kind, e.Reason+": "+e.Message)
	}
}

// nextTime is when something can happen by itself.
func (w *world) nextTime(requeue time.Time) time.Time {
	next := requeue
	add := func(t time.Time) {
		if t.After(w.now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if !next.After(w.now) {
		next = time.Time{}
	}
	for _, r := range w.rss {
		for _, p := range r.pods {
			add(p.at)
		}
	}
	for _, p := range w.proxies {
		if p.sent != nil && p.connected && !p.silent {
			add(p.ackAt)
		}
	}
	return next
}

func (w *world) inStage(s v1alpha1.Stage) func() bool {
	return func() bool { r := w.record(); return r != nil && r.Stage == s }
}

func (w *world) atWeight(weight int32) func() bool {
	return func() bool { r := w.record(); return r != nil && r.Weight == weight && r.AckedAt != nil }
}

func (w *world) settledIn(phases ...v1alpha1.Phase) func() bool {
	return func() bool {
		return w.ro != nil && slices.Contains(phases, w.ro.Status.Phase) && w.ro.Status.Conditions != nil &&
			(w.ro.Status.Phase != v1alpha1.PhaseHealthy || w.ro.Status.Conditions[0].Status == "True")
	}
}

// journal writes what happens with the time since the start.
type journal struct {
	strings.Builder
}

func (w *world) write(j *journal) {
	start := w.now
	w.trace = func(who, what string) {
		fmt.Fprintf(j, "%7.1fs  %-10s %s\n", w.now.Sub(start).Seconds(), who, what)
	}
}
