package outcome

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// scene is what is seen at one time; the zero value is a Rollout that serves v1.
type scene struct {
	// image is the Deployment's now; v1 has the revision rev1, and so on.
	image string
	// known are the images whose revisions have a ReplicaSet.
	known    []string
	phase    v1alpha1.Phase
	message  string
	record   v1alpha1.Record
	promoted bool
	// ready and stalled are the reasons of these conditions; stalled empty is False.
	ready, stalled string
	history        []v1alpha1.HistoryEntry
	checks         []v1alpha1.CheckStatus
	generation     int64
	behind         bool
	replicas       int64
	leaving        bool
	trouble        Trouble
	after          time.Duration
}

func template(image string) map[string]any {
	return map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"app": "payments"}},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "app", "image": image}}},
	}
}

func (s scene) sight() Sight {
	sight := Sight{At: noon.Add(s.after)}
	if s.trouble != "" {
		sight.Trouble, sight.Words = s.trouble, "the words of it"
		return sight
	}
	r := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments", Generation: 1}}
	r.Spec.WorkloadRef.Name = "payments"
	r.Status = v1alpha1.RolloutStatus{ObservedGeneration: 1, Phase: s.phase, Message: s.message, Checks: s.checks, History: s.history}
	if s.leaving {
		r.DeletionTimestamp = &metav1.Time{Time: noon}
	}
	if s.behind {
		r.Generation = 2
	}
	if s.record.Stable != "" {
		r.Status.Record = s.record.DeepCopy()
	}
	set := func(kind, reason string, is bool) {
		c := metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: s.message}
		if is {
			c.Status = metav1.ConditionTrue
		}
		r.Status.Conditions = append(r.Status.Conditions, c)
	}
	set(v1alpha1.ConditionReady, s.ready, false)
	set(v1alpha1.ConditionStalled, s.stalled, s.stalled != "")
	set(v1alpha1.ConditionPromoted, "", s.promoted)
	replicas := s.replicas
	if replicas == 0 {
		replicas = 4
	}
	f := &rollouts.Family{Rollout: r, Deployment: &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": "payments", "generation": s.generation},
		"spec":     map[string]any{"replicas": max(replicas, 0), "template": template(s.image)},
	}}}
	for _, image := range s.known {
		f.Revisions = append(f.Revisions, rollouts.Revision{Hash: "rev" + image[1:], Template: template(image)})
	}
	sight.Family = f
	return sight
}

// The states of a Rollout that the tables are made of.
var (
	healthy1 = scene{
		image: "v1", known: []string{"v1"}, phase: v1alpha1.PhaseHealthy, message: "revision rev1 serves everybody", promoted: true,
		record: v1alpha1.Record{Stage: v1alpha1.StageHealthy, Stable: "rev1"},
	}
	// unseen2: the template has been written, and the controller has not looked yet.
	unseen2 = healthy1.with(func(s *scene) { s.image = "v2" })
	step2   = scene{
		image: "v2", known: []string{"v1", "v2"}, phase: v1alpha1.PhaseProgressing, message: "step 1/2", ready: "Progressing",
		record: v1alpha1.Record{Stage: v1alpha1.StageStepping, Stable: "rev1", Canary: "rev2", Step: 1},
	}
	paused2 = step2.with(func(s *scene) {
		s.phase, s.ready, s.message = v1alpha1.PhasePaused, v1alpha1.ReasonPaused, "holding until somebody promotes"
	})
	warm2 = scene{
		image: "v2", known: []string{"v1", "v2"}, phase: v1alpha1.PhasePromoting, promoted: true, message: "revision rev2 is promoted",
		record: v1alpha1.Record{Stage: v1alpha1.StageWarm, Stable: "rev2", Old: "rev1"},
	}
	retreat2 = step2.with(func(s *scene) {
		s.phase, s.message, s.record.Stage = v1alpha1.PhaseRollingBack, "check errors failed", v1alpha1.StageRetreating
		s.record.Then = v1alpha1.ThenRolledBack
	})
	failed2 = scene{
		image: "v2", known: []string{"v1", "v2"}, phase: v1alpha1.PhaseRolledBack, stalled: v1alpha1.ReasonRolledBack, ready: v1alpha1.ReasonRolledBack,
		message: "revision rev2 was rolled back: check errors failed; change the template",
		record: v1alpha1.Record{
			Stage: v1alpha1.StageRolledBack, Stable: "rev1", Failed: "rev2", Reason: "CheckFailed", Message: "check errors failed: 0.3 is above max 0.01",
		},
	}
	noVerdict2 = paused2.with(func(s *scene) { s.ready, s.stalled = v1alpha1.ReasonNoVerdict, v1alpha1.ReasonNoVerdict })
	mistake    = healthy1.with(func(s *scene) {
		s.image, s.promoted, s.stalled, s.message = "v2", false, v1alpha1.ReasonInvalidQuery, "the query is no template"
	})
)

func (s scene) with(change func(*scene)) scene {
	s.known = append([]string(nil), s.known...)
	change(&s)
	return s
}

func (s scene) at(after time.Duration) scene { return s.with(func(s *scene) { s.after = after }) }

func TestLook(t *testing.T) {
	ended := func(revision string, outcome v1alpha1.Outcome, at time.Duration) v1alpha1.HistoryEntry {
		return v1alpha1.HistoryEntry{Revision: revision, Outcome: outcome, Message: "the reason", At: metav1.NewMicroTime(noon.Add(at))}
	}
	tests := map[string]struct {
		reason   string
		target   Target
		approval bool
		seen     []scene
		want     Verdict
		revision string
		message  string
	}{
		"promoted": {
			reason: "From the change to the promotion, none of the states between is an end.",
			seen:   []scene{unseen2, step2, warm2}, want: Promoted, revision: "rev2", message: "serves everybody",
		},
		"the older revision's success": {
			reason: "The status still says that the revision before is promoted; it must not count for the template that has just been written.",
			seen:   []scene{unseen2}, want: Waiting, message: "has not begun with the changed template yet",
		},
		"the older revision's success, by image": {
			reason: "The same with an image that the Deployment has already.",
			target: Target{Image: "v2"}, seen: []scene{unseen2}, want: Waiting,
		},
		"the older revision's rollback": {
			reason: "Revision 2 was rolled back; the template is the third's now, which is not seen yet.",
			seen:   []scene{failed2.with(func(s *scene) { s.image = "v3" })}, want: Waiting, message: "has not begun",
		},
		"the older revision's rollback, and an earlier revision again": {
			reason: "The third's ReplicaSet is there as history; it is still the second that was rolled back.",
			seen:   []scene{failed2.with(func(s *scene) { s.image, s.known = "v3", []string{"v1", "v2", "v3"} })}, want: Waiting, revision: "rev3",
		},
		"being deleted": {
			reason: "Nothing is delivered by it any more.",
			seen:   []scene{step2.with(func(s *scene) { s.leaving = true })}, want: Broken, message: "being deleted",
		},
		"an undo that is not seen yet": {
			reason: "Revision 1 has a ReplicaSet and was stable before; until it is again, it is not promoted.",
			target: Target{}, seen: []scene{warm2.with(func(s *scene) { s.image = "v1" })}, want: Waiting, revision: "rev1",
		},
		"nothing changed": {
			reason: "The Deployment's template is stable's: there is nothing to wait for.",
			seen:   []scene{healthy1}, want: Promoted, revision: "rev1",
		},
		"back to stable mid-way": {
			reason: "While the canary is taken back, stable is the template, but not done.",
			seen:   []scene{step2.with(func(s *scene) { s.image = "v1" })}, want: Waiting, revision: "rev1",
		},
		"promoted and on to the next": {
			reason: "The next template came before anybody looked; the revision was promoted all the same.",
			seen:   []scene{step2, warm2.with(func(s *scene) { s.image, s.promoted = "v3", false })}, want: Promoted, revision: "rev2",
		},
		"handing over": {
			reason: "All requests are on the canary, but it is not the Deployment's yet.",
			seen:   []scene{step2.with(func(s *scene) { s.record.Stage, s.phase = v1alpha1.StageHandingOver, v1alpha1.PhasePromoting })}, want: Waiting,
		},
		"rolled back": {
			reason: "The way back is no end yet; its end is.",
			seen:   []scene{step2, retreat2, failed2}, want: RolledBack, revision: "rev2", message: "0.3 is above max 0.01",
		},
		"rolled back before the wait, and cleaned up": {
			reason: "The failed canary's ReplicaSet is gone; the record has the hash of its template.",
			target: Target{Image: "v2"}, seen: []scene{failed2.with(func(s *scene) {
				s.known, s.record.FailedTemplate = []string{"v1"}, rollouts.Hash(template("v2"))
			})}, want: RolledBack, revision: "rev2",
		},
		"a canary that a webhook has altered": {
			reason: "Its ReplicaSet has another template than the Deployment; the record knows which one it was made of.",
			seen: []scene{step2.with(func(s *scene) {
				s.known, s.record.CanaryTemplate = []string{"v1", "v2-altered"}, rollouts.Hash(template("v2"))
			})}, want: Waiting, revision: "rev2",
		},
		"rolling back": {reason: "The way back is no end.", seen: []scene{step2, retreat2}, want: Waiting},
		"rolled back before the wait": {
			reason: "The pipeline's second run of the same template finds the rollback.",
			seen:   []scene{failed2}, want: RolledBack, revision: "rev2",
		},
		"retried": {
			reason: "After a retry the same revision is on its way again.",
			seen:   []scene{step2.with(func(s *scene) { s.record.Failed = "rev2" })}, want: Waiting,
		},
		"rolled back and on to the next": {
			reason: "The next template came before anybody looked; the history knows how this one ended.",
			seen: []scene{step2, step2.with(func(s *scene) {
				s.image, s.record.Canary, s.known = "v3", "rev3", []string{"v1", "v2", "v3"}
				s.history = []v1alpha1.HistoryEntry{ended("rev2", v1alpha1.OutcomeRolledBack, 0)}
			})},
			want: RolledBack, revision: "rev2", message: "the reason",
		},
		"an end of long ago": {
			reason: "The history's end is of the revision's delivery before this one, which was superseded.",
			seen: []scene{
				step2.with(func(s *scene) {
					s.history = []v1alpha1.HistoryEntry{ended("rev2", v1alpha1.OutcomePromoted, -time.Hour)}
				}),
				step2.with(func(s *scene) {
					s.image, s.record.Canary = "v3", "rev3"
					s.history = []v1alpha1.HistoryEntry{ended("rev2", v1alpha1.OutcomePromoted, -time.Hour)}
				}),
			},
			want: Superseded, revision: "rev2",
		},
		"an end before the wait, by revision": {
			reason: "Who names a revision whose delivery is over gets its end.",
			target: Target{Revision: "rev2"}, seen: []scene{healthy1.with(func(s *scene) {
				s.history = []v1alpha1.HistoryEntry{ended("rev2", v1alpha1.OutcomeAborted, -time.Hour)}
			})}, want: RolledBack, revision: "rev2",
		},
		"superseded": {
			reason: "A third template came while the revision was on its way.",
			seen:   []scene{step2, step2.with(func(s *scene) { s.image, s.known = "v3", []string{"v1", "v2", "v3"} })},
			want:   Superseded, revision: "rev2", message: "revision rev3 (v3)",
		},
		"superseded before it was seen": {
			reason: "Two changes in a row: the controller never began with the first.",
			seen:   []scene{unseen2, step2.with(func(s *scene) { s.image, s.known = "v3", []string{"v1"} })}, want: Superseded, message: "another template (v3)",
		},
		"superseded by stable": {
			reason: "Somebody went back to stable by hand.",
			seen:   []scene{step2, step2.with(func(s *scene) { s.image = "v1" })}, want: Superseded, message: "revision rev1",
		},
		"a person": {
			reason: "An endless pause ends only by a person.",
			seen:   []scene{step2, paused2}, want: PersonNeeded, message: "until somebody promotes",
		},
		"a person is waited for": {
			reason: "With --wait-for-approval that is no end.",
			seen:   []scene{step2, paused2}, approval: true, want: Waiting,
		},
		"another revision's person": {
			reason: "The revision before waits for somebody; this one is not seen yet.",
			seen:   []scene{paused2.with(func(s *scene) { s.image = "v3" })}, want: Waiting,
		},
		"no verdict": {
			reason: "Without numbers it is Paused, too, but goes on by itself when they come.",
			seen:   []scene{noVerdict2, noVerdict2.at(settle)},
			want:   Waiting,
		},
		"no replicas": {
			reason: "An autoscaler may scale it up again.",
			seen:   []scene{paused2.with(func(s *scene) { s.replicas = -1 })}, want: Waiting,
		},
		"broken glass": {
			reason: "A person took it out of Crossfade's hands, and only a person gives it back.",
			seen:   []scene{mistake.with(func(s *scene) { s.stalled = v1alpha1.ReasonBreakGlass })}, want: PersonNeeded,
		},
		"a mistake": {
			reason: "A mistake that stays is an end.",
			seen:   []scene{mistake, mistake.at(settle)}, want: Misconfigured, message: "InvalidQuery: the query is no template",
		},
		"a mistake of a moment": {
			reason: "Objects are applied one after the other: what is missing now may come in a second.",
			seen:   []scene{mistake, mistake.at(settle - time.Second)}, want: Waiting,
		},
		"a mistake, mended and made again": {
			reason: "The time counts from the second one.",
			seen:   []scene{mistake, unseen2.at(time.Second), mistake.at(settle)}, want: Waiting,
		},
		"a mistake of the spec before": {
			reason: "The spec was changed, and the status is about the one before.",
			seen:   []scene{mistake.with(func(s *scene) { s.behind = true }), mistake.with(func(s *scene) { s.behind, s.after = true, settle })}, want: Waiting,
		},
		"an image that is not there": {
			reason: "A GitOps tool writes it later.",
			target: Target{Image: "v2"}, seen: []scene{healthy1}, want: Waiting, message: "does not have image v2 yet: it has v1",
		},
		"an image that comes": {
			reason: "From then on it is that revision's outcome.",
			target: Target{Image: "v2"}, seen: []scene{healthy1, unseen2, step2, failed2}, want: RolledBack, revision: "rev2",
		},
		"a generation that is not there": {
			reason: "The change was not written, or this is an older view of it.",
			target: Target{Generation: 8}, seen: []scene{healthy1.with(func(s *scene) { s.generation = 7 })}, want: Waiting, message: "generation 7, not yet 8",
		},
		"a generation that is there": {
			reason: "Later generations are of the hold and of scaling; the template is the same.",
			target: Target{Generation: 8}, seen: []scene{unseen2.with(func(s *scene) { s.generation = 8 }), warm2.with(func(s *scene) { s.generation = 12 })}, want: Promoted, revision: "rev2",
		},
		"a revision that is not there": {
			reason: "Nobody knows yet what it is.",
			target: Target{Revision: "rev9"}, seen: []scene{healthy1}, want: Waiting, message: "no revision rev9 yet",
		},
		"a revision of the past": {
			reason: "It has a ReplicaSet as history, and the Deployment asks for another one.",
			target: Target{Revision: "rev0"}, seen: []scene{healthy1.with(func(s *scene) { s.known = []string{"v1", "v0"} })}, want: Superseded,
		},
		"stable by revision": {
			reason: "It serves everybody, whatever else is on its way.",
			target: Target{Revision: "rev1"}, seen: []scene{step2}, want: Promoted,
		},
		"not adopted": {
			reason: "A Rollout that no controller has looked at has no record.",
			seen:   []scene{{image: "v1", known: []string{"v1"}}}, want: Waiting, message: "no controller has looked",
		},
		"API server away": {reason: "It comes back.", seen: []scene{{trouble: Away}, {trouble: Away, after: time.Hour}}, want: Waiting},
		"API server back": {
			reason: "What happened meanwhile is seen then.",
			seen:   []scene{step2, {trouble: Away}, warm2}, want: Promoted, revision: "rev2",
		},
		"no right for a moment": {
			reason: "An API server that starts does not know the roles yet.",
			seen:   []scene{{trouble: Refused}, {trouble: Refused, after: settle / 2}}, want: Waiting,
		},
		"no right":   {reason: "Nobody gives it by waiting.", seen: []scene{{trouble: Refused}, {trouble: Refused, after: settle}}, want: Broken},
		"no Rollout": {reason: "There is nothing to wait for.", seen: []scene{{trouble: Gone}}, want: Broken},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j := Judge{Target: tt.target, WaitForApproval: tt.approval}
			var got Finding
			for i, s := range tt.seen {
				if got.Verdict != Waiting {
					t.Fatalf("%s: ended before look %d: %+v", tt.reason, i, got)
				}
				j, got = j.Look(s.sight())
			}
			if got.Verdict != tt.want || !strings.Contains(got.Message, tt.message) || (tt.revision != "" && got.Revision != tt.revision) {
				t.Errorf("%s\ngot  %q of revision %q: %s\nwant %q of revision %q: ...%s...", tt.reason, got.Verdict, got.Revision, got.Message, tt.want, tt.revision, tt.message)
			}
		})
	}
}

// TestVerdictsAreExitCodes keeps the promise to pipelines.
func TestVerdictsAreExitCodes(t *testing.T) {
	want := map[Verdict]int{Promoted: 0, Broken: 1, RolledBack: 2, TimedOut: 3, PersonNeeded: 4, Superseded: 5, Misconfigured: 6}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("exit codes (-want +got):\n%s", diff)
	}
}

func TestFailedCheck(t *testing.T) {
	limit := "0.01"
	r := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments"}}
	r.Spec.ServiceRef.Name = "payments"
	r.Spec.Analysis = &v1alpha1.Analysis{Interval: metav1.Duration{Duration: 30 * time.Second}, Checks: []v1alpha1.Check{
		{Name: "tried", DryRun: true, Max: &limit},
		{Name: "errors", Max: &limit, Prometheus: &v1alpha1.PrometheusSource{Query: `rate(errors{revision="{{.Canary}}"}[{{.Interval}}])`}},
	}}
	r.Status.Checks = []v1alpha1.CheckStatus{{Name: "tried", Verdict: v1alpha1.VerdictFailed}, {Name: "errors", Verdict: v1alpha1.VerdictFailed, Value: "0.3"}}
	r.Status.Record = &v1alpha1.Record{Stable: "rev1", Reason: "CheckFailed"}
	want := &FailedCheck{Name: "errors", Value: "0.3", Limits: "max 0.01"}
	if diff := cmp.Diff(want, failedCheck(r)); diff != "" {
		t.Errorf("a check that decides nothing is not the reason (-want +got):\n%s", diff)
	}
	r.Status.Record.Reason = "ProxySilent"
	if got := failedCheck(r); got != nil {
		t.Errorf("no check is the reason of a silent proxy, got %+v", got)
	}
}
