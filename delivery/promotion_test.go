package delivery

import (
	"testing"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

func TestPromotion(t *testing.T) {
	pinning := func(o *Observation) { record(o).Stage = v1alpha1.StagePinning }
	failedNow := func(o *Observation) { failing(o); o.Samples[0].Step = 3 }
	checked := func(o *Observation) { failing(o); o.Samples = nil }
	runRules(t, map[string]ruleCase{
		"all acked":       {"the promotion begins", atWhole, nil, "records Pinning"},
		"all but one":     {"I5: 100 % acked", atWhole, func(o *Observation) { o.Proxies.Acked, o.Proxies.PendingSince = 1, start }, "Promoting, Progressing\nasks again at 1m0s"},
		"not settled":     {"the Deployment controller is behind", atWhole, func(o *Observation) { o.Deployment.Generation++ }, "Promoting, Promoting"},
		"paused":          {"no promotion", atWhole, func(o *Observation) { o.Rollout.Spec.Paused = true }, "Paused, Paused"},
		"pins move":       {"clients outside follow", atWhole, pinning, "Pin web to xB"},
		"endpoints late":  {"9a: the slices follow", readyToSwap, func(o *Observation) { pinning(o); o.Service.Endpoints = []string{"rA", "xB"} }, "Promoting, Promoting\nasks again at 9m0s"},
		"endpoints none":  {"nothing is shown yet", readyToSwap, func(o *Observation) { pinning(o); o.Service.Endpoints = nil }, "Promoting, Promoting\nasks again at 9m0s"},
		"endpoints there": {"the ReplicaSets follow", readyToSwap, pinning, "records HandingOver"},
		"pinning, paused": {"no promotion", readyToSwap, func(o *Observation) { pinning(o); o.Rollout.Spec.Paused = true }, "Paused, Paused"},
		"pinning, third":  {"back first", readyToSwap, func(o *Observation) { pinning(o); o.Deployment.Template = "C" }, "records Retreating, weight 0/100 (then Prepare; Superseded)"},
		"pinning, NACK":   {"back", readyToSwap, func(o *Observation) { pinning(o); o.Proxies.Acked, o.Proxies.Rejected = 1, 1 }, "records Retreating, weight 0/100 (then RolledBack; ProxyRejected)"},
		"pinning, HPA up": {"all pods first", readyToSwap, func(o *Observation) { pinning(o); o.Deployment.Replicas = 6 }, "records Pinning, size 6"},
		"pinning, dead":   {"the canary has no ready pod, stable has", readyToSwap, func(o *Observation) { pinning(o); o.ReplicaSets[1].Ready = 0 }, "Pin web to rA"},

		"pinning, measured":                 {"it can still go back", readyToSwap, func(o *Observation) { pinning(o); checked(o) }, "records HandingOver"},
		"pinning, failed":                   {"it can still go back", readyToSwap, func(o *Observation) { pinning(o); failedNow(o) }, "records Retreating, weight 0/100 (then RolledBack; CheckFailed)"},
		"pinning, endpoints late, measured": {"as long as it takes", readyToSwap, func(o *Observation) { pinning(o); checked(o); o.Service.Endpoints = nil }, "measures errors of xB at step 3\nasks again at 9m0s"},
		"swap, paused, measured":            {"as long as it takes", readyToSwap, func(o *Observation) { checked(o); o.Rollout.Spec.Paused = true }, "measures errors of xB at step 3\nasks again at 9m30s"},
		"swap, failed":                      {"right before they change owners", readyToSwap, failedNow, "records Retreating, weight 0/100 (then RolledBack; CheckFailed)"},
		"cut in two, failed":                {"too late", readyToSwap, func(o *Observation) { failedNow(o); o.ReplicaSets[0].Owner = OwnerHolder }, "Join web-xB as revision 2"},
		"whole, failed":                     {"who promoted in full skipped no failure", atWhole, func(o *Observation) { failedNow(o); record(o).Full = true }, "records Retreating, weight 0/100 (then RolledBack; CheckFailed)"},
		"swap":                              {"all is well", readyToSwap, nil, "Swap web-rA for web-xB as revision 2"},
		"pinning, half":                     {"100 % first", readyToSwap, func(o *Observation) { pinning(o); record(o).Weight = 50; o.Proxies.Effective = 50 }, "Promoting, Promoting\nasks again at 9m0s"},
		"pinning, canary deleted": {"it is made again", readyToSwap, func(o *Observation) {
			pinning(o)
			o.ReplicaSets = o.ReplicaSets[:1]
			o.Service.Pin, o.Service.Key = "rA", "rA"
		}, "CreateCanary web-xB"},
		"pinning, reduced": {"the clock starts again", readyToSwap, func(o *Observation) { pinning(o); o.Proxies.Effective = 75 }, "records Pinning"},
		"pinning, refused": {"nothing moves", readyToSwap, func(o *Observation) {
			pinning(o)
			o.Refused = &Refusal{Reason: v1alpha1.ReasonInvalidQuery, Message: "m"}
		}, "Paused, InvalidQuery"},
		"pinning, more steps": {"its pods stay", readyToSwap, func(o *Observation) {
			pinning(o)
			c := o.Rollout.Spec.Strategy.Canary
			c.Steps = append(c.Steps, v1alpha1.Step{Weight: new(int32(60))})
		}, "records HandingOver"},
		"pinning, confirmed again": {"it is noted", readyToSwap, func(o *Observation) { pinning(o); record(o).AckedAt = nil }, "records Pinning, acked"},
		"swap, HPA pods pending": {"spec == available == N", readyToSwap, func(o *Observation) {
			o.Deployment.Replicas, record(o).Replicas = 6, 6
			o.ReplicaSets[1].Replicas, o.ReplicaSets[1].StatusReplicas = 6, 6
		}, "Promoting, Promoting\nasks again at 8m30s"},
		"swap, deleted at zero": {"there is nothing to hand over", readyToSwap, func(o *Observation) { deleted(o); o.Deployment.Replicas = 0 }, "records Retreating, weight 0/100 (then Detach; Detached)"},
		"moved on":              {"a plain rolling update was faster", readyToSwap, func(o *Observation) { o.ReplicaSets = []ReplicaSet{running("rB", "B", OwnerDeployment, 4, 2)} }, "records Restoring, weight 0/0, size 0, stable rB"},
		"endpoints for ever": {"I9: somebody keeps addresses of his own in the Service", readyToSwap, func(o *Observation) {
			pinning(o)
			o.Service.Endpoints = []string{"", "xB"}
			record(o).Since = at(-10 * time.Minute)
		}, "records Retreating, weight 0/100 (then RolledBack; HandoverLate)"},
		"endpoints for ever, paused": {"the pause explains the wait", readyToSwap, func(o *Observation) {
			pinning(o)
			o.Rollout.Spec.Paused = true
			o.Service.Endpoints = []string{"", "xB"}
			record(o).Since = at(-10 * time.Minute)
		}, "Paused, Paused"},
		"swap for ever":          {"I9", readyToSwap, func(o *Observation) { o.Deployment.Generation++; record(o).Since = at(-10 * time.Minute) }, "records Retreating, weight 0/100 (then RolledBack; HandoverLate)"},
		"swap for ever, deleted": {"I9", readyToSwap, func(o *Observation) { deleted(o); o.Deployment.Generation++; record(o).Since = at(-10 * time.Minute) }, "records Retreating, weight 0/100 (then RolledBack; HandoverLate)"},
		"swap, history":          {"1a: the newest number", readyToSwap, func(o *Observation) { o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerHolder, 0, 7)) }, "Swap web-rA for web-xB as revision 8"},
		"swap, unacked":          {"I5", readyToSwap, func(o *Observation) { o.Proxies.Acked, o.Proxies.PendingSince = 1, start }, "Promoting, Promoting\nasks again at 1m0s"},
		"swap, missing pod":      {"spec == available == N", readyToSwap, func(o *Observation) { o.ReplicaSets[1].Available = 3; record(o).AckedAt = nil }, "Promoting, Promoting\nasks again at 8m30s"},
		"swap, third":            {"I5: the held template is the canary's", readyToSwap, func(o *Observation) { o.Deployment.Template = "C" }, "records Retreating, weight 0/100 (then Prepare; Superseded)"},
		"swap, stray":            {"I5: it owns exactly stable", readyToSwap, func(o *Observation) { o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerDeployment, 0, 7)) }, "Park web-rZ"},
		"swap, unheld":           {"I5: held", readyToSwap, func(o *Observation) { o.Deployment.Hold = "" }, "Hold web"},
		"swap, behind":           {"observedGeneration", readyToSwap, func(o *Observation) { o.Deployment.Generation++ }, "Promoting, Promoting\nasks again at 9m0s"},
		"swap, other minReady":   {"2e", readyToSwap, func(o *Observation) { o.Deployment.MinReadySeconds = 5 }, "SetMinReady web-xB to 5s"},
		"swap, altered":          {"3c", readyToSwap, func(o *Observation) { o.ReplicaSets[1].Template = "B'" }, "Promoting, Promoting\nasks again at 9m0s"},
		"swap, paused":           {"no promotion", readyToSwap, func(o *Observation) { o.Rollout.Spec.Paused = true }, "Paused, Paused"},
		"swap, deleted":          {"it is finished first", readyToSwap, func(o *Observation) { deleted(o); o.Rollout.Spec.Paused = true }, "Swap web-rA for web-xB as revision 2"},
		"cut in two":             {"1h: the second half", readyToSwap, func(o *Observation) { o.ReplicaSets[0].Owner = OwnerHolder }, "Join web-xB as revision 2"},
		"cut, third":             {"1i: the Deployment owns nothing now", readyToSwap, func(o *Observation) { o.ReplicaSets[0].Owner = OwnerHolder; o.Deployment.Template = "C" }, "Join web-xB as revision 2"},
		"cut, canary gone":       {"stable goes back", readyToSwap, func(o *Observation) { o.ReplicaSets = o.ReplicaSets[:1]; o.ReplicaSets[0].Owner = OwnerHolder }, "GiveBack web-rA"},
		"joined, not counted":    {"1l", keptWarm, func(o *Observation) { joining(o); o.Deployment.UpdatedReplicas = 3 }, "Promoting, Promoting"},
		"joined, not numbered":   {"1l", keptWarm, func(o *Observation) { joining(o); o.Deployment.RevisionNumber = 1 }, "Promoting, Promoting"},
		"joined, behind":         {"1l", keptWarm, func(o *Observation) { joining(o); o.Deployment.Generation++ }, "Promoting, Promoting"},
		"joined":                 {"promoted", keptWarm, joining, "records Warm, weight 0/100, stable xB"},
		"joined, third":          {"it never will be counted, and needs not", keptWarm, func(o *Observation) { joining(o); o.Deployment.Template, o.Deployment.UpdatedReplicas = "C", 0 }, "records Warm, weight 0/100, stable xB"},
	})
}

// joining puts an observation of Warm back to right before it.
func joining(o *Observation) {
	was := record(o)
	o.Rollout.Status.Record = record(readyToSwap())
	record(o).Since = was.Since
	o.Service.Pin, o.Service.Key = "xB", "xB"
}

// A watch of the message would else see it flip with each step down.
func TestOldGoesInOneMessage(t *testing.T) {
	const want = "revision xB is promoted; the pods of rA go"
	for size := int32(4); size > 0; size-- {
		o := keptWarm()
		o.ReplicaSets[0] = running("rA", "A", OwnerHolder, size, 1)
		o.ReplicaSets[0].StatusReplicas, o.ReplicaSets[0].Pods = size, size
		record(o).Replicas = size
		if size < 4 {
			record(o).ScaledAt = atp(0)
		}
		plan := Decide(*o)
		if plan.Status.Record == nil || plan.Status.Message != want {
			t.Errorf("the record of a step down from %d: %+v, message %q, want %q", size, plan.Status.Record, plan.Status.Message, want)
		}
		record(o).Replicas, record(o).ScaledAt = size-1, atp(0)
		if got := Decide(*o).Status.Message; got != want {
			t.Errorf("the step down from %d: message %q, want %q", size, got, want)
		}
	}
}

func TestWarm(t *testing.T) {
	old := func(n, status int32) func(*Observation) {
		return func(o *Observation) {
			o.ReplicaSets[0] = running("rA", "A", OwnerHolder, n, 1)
			o.ReplicaSets[0].StatusReplicas, o.ReplicaSets[0].Pods = status, status
			record(o).Replicas = n
		}
	}
	runRules(t, map[string]ruleCase{
		"warm":                  {"scaleDownDelaySeconds", keptWarm, func(o *Observation) { record(o).Since = at(-time.Second) }, "Promoting, Promoted\nasks again at 29s"},
		"warm, deleted":         {"no delay", keptWarm, func(o *Observation) { record(o).Since = at(-time.Second); deleted(o) }, "records Warm, size 3"},
		"down":                  {"6a: a quarter", keptWarm, nil, "records Warm, size 3"},
		"down, do":              {"the record first", keptWarm, func(o *Observation) { record(o).Replicas, record(o).ScaledAt = 3, atp(0) }, "Scale web-rA to 3"},
		"down, pods go":         {"one step at a time", keptWarm, func(o *Observation) { old(3, 4)(o) }, "Promoting, Promoted"},
		"down, next":            {"no HPA has to look", keptWarm, func(o *Observation) { old(3, 3)(o); record(o).ScaledAt = atp(0) }, "records Warm, size 2"},
		"down, HPA":             {"6a: 30 s apart", keptWarm, func(o *Observation) { old(3, 3)(o); record(o).ScaledAt = atp(-time.Second); o.Autoscaled = true }, "Promoting, Promoted\nasks again at 29s"},
		"down, HPA, next":       {"6a: 30 s are over", keptWarm, func(o *Observation) { old(3, 3)(o); record(o).ScaledAt = atp(-30 * time.Second); o.Autoscaled = true }, "records Warm, size 2"},
		"stable short":          {"6a: the load needs them", keptWarm, func(o *Observation) { o.ReplicaSets[1].Available = 3 }, "Promoting, Promoted\nasks again at 9m0s"},
		"stable short for long": {"I9: bounded", keptWarm, func(o *Observation) { o.ReplicaSets[1].Available = 3; record(o).Since = at(-10 * time.Minute) }, "records Warm, size 3"},
		"routed": {"I4", keptWarm, func(o *Observation) {
			o.Proxies.MayRoute = []string{"rA", "xB"}
			o.Proxies.PendingSince = start.Add(-time.Hour)
			record(o).Since = at(-31 * time.Second)
		}, "Promoting, Promoted\nasks again at 29s"},
		"routed for long": {"I4: up to acks.timeout", keptWarm, func(o *Observation) {
			o.Proxies.MayRoute = []string{"rA", "xB"}
			o.Proxies.PendingSince = start.Add(-time.Hour)
		}, "records Warm, size 3"},
		"routed, restarted": {"from when this controller listens", keptWarm, func(o *Observation) {
			o.Proxies.MayRoute = []string{"rA", "xB"}
			o.Proxies.PendingSince = start.Add(-time.Second)
		}, "Promoting, Promoted\nasks again at 59s"},
		"not rendered":        {"the proxies have not been told", keptWarm, func(o *Observation) { o.Proxies.Current = false }, "Promoting, Promoted"},
		"gone":                {"everything is put back", keptWarm, old(0, 0), "records Restoring"},
		"pods left":           {"1j: not while it has pods", keptWarm, func(o *Observation) { old(0, 0)(o); o.ReplicaSets[0].Pods = 1; record(o).Replicas = 0 }, "Promoting, Promoted"},
		"status behind":       {"1j: not before its status is current", keptWarm, func(o *Observation) { old(0, 0)(o); o.ReplicaSets[0].Observed = false }, "Promoting, Promoted"},
		"stray":               {"I5", keptWarm, func(o *Observation) { o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerDeployment, 0, 1)) }, "Park web-rZ"},
		"old deleted":         {"nothing is left to keep", keptWarm, func(o *Observation) { o.ReplicaSets = o.ReplicaSets[1:] }, "records Restoring, size 0"},
		"old again, deleted":  {"the Rollout goes", keptWarm, func(o *Observation) { o.Deployment.Template = "A"; deleted(o) }, "records Warm, size 3"},
		"unheld early":        {"nothing can start, the template is stable's", keptWarm, func(o *Observation) { o.Deployment.Hold, o.Deployment.Paused = "", false }, "records Warm, size 3"},
		"down, status behind": {"one step at a time", keptWarm, func(o *Observation) { old(3, 3)(o); o.ReplicaSets[0].Observed = false }, "Promoting, Promoted"},
		"moved on": {"a plain rolling update was faster", keptWarm, func(o *Observation) {
			o.ReplicaSets = []ReplicaSet{o.ReplicaSets[0], running("rB", "B", OwnerDeployment, 4, 3)}
		}, "records Restoring, size 0, stable rB"},
		"stable deleted":  {"nothing to keep", keptWarm, func(o *Observation) { o.ReplicaSets = o.ReplicaSets[:1] }, "LetGo web"},
		"old again":       {"undo right after the promotion", keptWarm, func(o *Observation) { o.Deployment.Template = "A" }, "records Preparing, size 0, overridden by crossfade"},
		"third":           {"it waits until the old one is gone", keptWarm, func(o *Observation) { o.Deployment.Template = "C"; record(o).Since = at(-time.Second) }, "Promoting, Promoted\nasks again at 29s"},
		"third, unheld":   {"I10", keptWarm, func(o *Observation) { o.Deployment.Template, o.Deployment.Hold = "C", "" }, "Hold web"},
		"new stable lost": {"I11: the old one still serves", keptWarm, func(o *Observation) { o.ReplicaSets[1].Ready = 0 }, "Pin web to rA"},
	})
}

func TestRetreating(t *testing.T) {
	runRules(t, map[string]ruleCase{
		"moved on": {"a plain rolling update was faster", goingBack, func(o *Observation) {
			o.ReplicaSets = []ReplicaSet{o.ReplicaSets[1], running("rB", "B", OwnerDeployment, 4, 2)}
		}, "records Restoring, size 0, stable rB"},
		"stable deleted": {"nothing to go back to", goingBack, func(o *Observation) { o.ReplicaSets = o.ReplicaSets[1:] }, "LetGo web"},
		"gone, but routed to": {"it has no pods to lose", goingBack, func(o *Observation) {
			o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 0, 0)
			o.Proxies.MayRoute = []string{"rA", "xB"}
		}, "DeleteReplicaSet web-xB"},
		"at zero": {"nothing is meant to serve, and the routes have nothing else to name", goingBack, func(o *Observation) {
			o.Deployment.Replicas, o.ReplicaSets[0] = 0, running("rA", "A", OwnerDeployment, 0, 1)
			o.Service.Pin, o.Service.Key = "xB", "xB"
			o.Proxies.MayRoute = []string{"xB"}
		}, "Scale web-xB to 0"},
		"at zero, routed": {"I4: the proxies were told, but one has not confirmed", goingBack, func(o *Observation) {
			o.Deployment.Replicas, o.ReplicaSets[0] = 0, running("rA", "A", OwnerDeployment, 0, 1)
			o.Service.Pin, o.Service.Key = "xB", "xB"
			o.Proxies.MayRoute, o.Proxies.PendingSince = []string{"rA", "xB"}, start.Add(-time.Hour)
		}, "RollingBack, RollingBack\nasks again at 50s"},
		"stable just back": {"what is published still routes to the canary, and nobody is silent", goingBack, func(o *Observation) {
			o.Proxies.MayRoute = []string{"rA", "xB"}
			record(o).WeightSince = at(-time.Hour)
		}, "RollingBack, RollingBack"},
		"Service seems clean": {"a cache may be late: the resourceVersion tells", puttingBack, func(o *Observation) {
			o.ReplicaSets[0].Owner, o.Holder = OwnerDeployment, nil
			deleted(o)
			record(o).Then = v1alpha1.ThenDetach
			o.Deployment.Hold, o.Deployment.Rollout = "", ""
			o.Service.Pin, o.Service.Key, o.Service.Rollout = "", "", ""
		}, "UnlabelService web\nRemoveFinalizer web"},

		"unrouted": {"the pods may go", goingBack, nil, "Scale web-xB to 0"},
		"routed": {"I4", goingBack, func(o *Observation) {
			o.Proxies.MayRoute = []string{"rA", "xB"}
			o.Proxies.PendingSince = start.Add(-time.Hour)
		}, "RollingBack, RollingBack\nasks again at 50s"},
		"routed for long": {"I4: up to acks.timeout", goingBack, func(o *Observation) {
			o.Proxies.MayRoute = []string{"rA", "xB"}
			o.Proxies.PendingSince = start.Add(-time.Hour)
			record(o).WeightSince = at(-time.Minute)
		}, "Scale web-xB to 0"},
		"routed, restarted": {"from when this controller listens", goingBack, func(o *Observation) {
			o.Proxies.MayRoute = []string{"rA", "xB"}
			record(o).WeightSince = at(-time.Minute)
			o.Proxies.PendingSince = start
		}, "RollingBack, RollingBack\nasks again at 1m0s"},
		"not rendered":          {"the proxies have not been told", goingBack, func(o *Observation) { o.Proxies.Current = false }, "RollingBack, RollingBack"},
		"stable dead":           {"it is all that serves", goingBack, func(o *Observation) { o.ReplicaSets[0].Ready = 0; o.Service.Pin, o.Service.Key = "xB", "xB" }, "RollingBack, RollingBack"},
		"stable dead, unpinned": {"I11", goingBack, func(o *Observation) { o.ReplicaSets[0].Ready = 0 }, "Pin web to xB"},
		"stable back":           {"now the weight goes", goingBack, func(o *Observation) { record(o).Weight = 20 }, "records Retreating, weight 0/100"},
		"pods go": {"not before they are gone", goingBack, func(o *Observation) {
			o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 0, 0)
			o.ReplicaSets[1].Pods = 1
		}, "RollingBack, RollingBack"},
		"gone":          {"it never was a revision of the Deployment", goingBack, func(o *Observation) { o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 0, 0) }, "DeleteReplicaSet web-xB"},
		"history gone":  {"it stays, parked", goingBack, func(o *Observation) { o.ReplicaSets[1] = running("xB", "B", OwnerHolder, 0, 3) }, "records RolledBack, size 0 (then RolledBack; CheckFailed)"},
		"done":          {"hold and parking stay", goingBack, func(o *Observation) { o.ReplicaSets = o.ReplicaSets[:1] }, "records RolledBack, size 0 (then RolledBack; CheckFailed)"},
		"done, third":   {"what is asked for by now", goingBack, func(o *Observation) { o.ReplicaSets = o.ReplicaSets[:1]; o.Deployment.Template = "C" }, "records Preparing, size 0"},
		"done, back":    {"what is asked for by now", goingBack, func(o *Observation) { o.ReplicaSets = o.ReplicaSets[:1]; o.Deployment.Template = "A" }, "records Restoring, size 0 (then Restore; CheckFailed)"},
		"done, again":   {"it did not fail, another came between", goingBack, func(o *Observation) { o.ReplicaSets = o.ReplicaSets[:1]; record(o).Then = v1alpha1.ThenPrepare }, "records Preparing, size 0"},
		"done, deleted": {"the Rollout goes", goingBack, func(o *Observation) { o.ReplicaSets = o.ReplicaSets[:1]; deleted(o) }, "records Restoring (then Detach; Initializing)"},

		"rolled back": {"it is not tried again by itself", wentBack, nil, "RolledBack, RolledBack"},
		"unpin":       {"D2: no other revision has pods", wentBack, func(o *Observation) { o.Service.Pin, o.Service.Key = "rA", "rA" }, "Unpin web"},
		"unheld":      {"I10", wentBack, func(o *Observation) { o.Deployment.Hold, o.Deployment.Paused = "", false }, "Hold web"},
		"stray":       {"2b: scaled up it would start", wentBack, func(o *Observation) { o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerDeployment, 0, 7)) }, "Park web-rZ"},
		"changed":     {"another template starts anew", wentBack, func(o *Observation) { o.Deployment.Template = "C" }, "records Preparing"},
		"back":        {"the stable template again", wentBack, func(o *Observation) { o.Deployment.Template = "A" }, "records Restoring (then Restore; Superseded)"},
		"retry":       {"exactly the next attempt", wentBack, func(o *Observation) { o.Rollout.Annotations = map[string]string{v1alpha1.AnnotationRetry: "xB/2"} }, "records Preparing"},
		"key left":    {"D2", wentBack, func(o *Observation) { o.Service.Key = "rA" }, "Unpin web directly"},
		"pin left":    {"D2", wentBack, func(o *Observation) { o.Service.Pin = "rA" }, "Unpin web"},
		"moved on, pods ending": {"a broken glass: stable's last pods are still terminating", wentBack, func(o *Observation) {
			o.ReplicaSets = []ReplicaSet{running("rA", "A", OwnerDeployment, 0, 1), running("rB", "B", OwnerDeployment, 4, 2)}
			o.ReplicaSets[0].Pods, o.ReplicaSets[0].StatusReplicas = 2, 1
		}, "records Restoring, stable rB"},
		"moved on, rolled back":       {"a plain rolling update was faster", wentBack, func(o *Observation) { o.ReplicaSets = []ReplicaSet{running("rB", "B", OwnerDeployment, 4, 2)} }, "records Restoring, stable rB"},
		"stable deleted, rolled back": {"nothing serves", wentBack, func(o *Observation) { o.ReplicaSets = nil }, "LetGo web"},
		"holder gone":                 {"it owns the parked history", wentBack, func(o *Observation) { o.Holder = nil }, "CreateHolder web-crossfade"},
		"canary left":                 {"nothing is routed to it", wentBack, func(o *Observation) { o.ReplicaSets = append(o.ReplicaSets, running("xZ", "Z", OwnerHolder, 2, 0)) }, "Scale web-xZ to 0"},
		"new Service":                 {"the pin policy acts on what is labelled", wentBack, func(o *Observation) { o.OtherServices = []Service{{Name: "lb", Selects: true}} }, "LabelService lb"},
		"stale retry": {"an attempt that was", wentBack, func(o *Observation) {
			record(o).Attempt = 2
			o.Rollout.Annotations = map[string]string{v1alpha1.AnnotationRetry: "xB/2"}
		}, "RolledBack, RolledBack"},
		"deleted": {"everything is put back", wentBack, deleted, "records Restoring (then Detach; Initializing)"},
	})
}

func TestRestoring(t *testing.T) {
	bare := func(o *Observation) {
		o.ReplicaSets[0].Owner = OwnerDeployment
		o.Service.Pin, o.Service.Key, o.Holder = "", "", nil
	}
	detach := func(o *Observation) { deleted(o); record(o).Then = v1alpha1.ThenDetach }
	unheld := func(o *Observation) { o.Deployment.Hold, o.Deployment.Paused = "", false }
	runRules(t, map[string]ruleCase{
		"history":            {"first what undo needs", puttingBack, nil, "GiveBack web-rA"},
		"pods left":          {"1j", puttingBack, func(o *Observation) { o.ReplicaSets[0].Pods = 1 }, "Promoting, Progressing"},
		"canary left":        {"it must not look like history", puttingBack, func(o *Observation) { o.ReplicaSets[0] = running("xZ", "Z", OwnerHolder, 0, 0) }, "DeleteReplicaSet web-xZ"},
		"unpin":              {"then the Service", puttingBack, func(o *Observation) { o.ReplicaSets[0].Owner = OwnerDeployment }, "Unpin web"},
		"pin elsewhere":      {"I11: stable is another one by now", puttingBack, func(o *Observation) { o.Service.Pin, o.Service.Key = "rQ", "rQ" }, "Pin web to xB"},
		"holder":             {"then the holder", puttingBack, func(o *Observation) { bare(o); o.Holder = &Holder{Name: "web-crossfade"} }, "DeleteHolder web-crossfade"},
		"release":            {"1k: the hold last", puttingBack, bare, "Release web"},
		"fallback":           {"nothing else would hold the next one", puttingBack, func(o *Observation) { bare(o); o.Policies.Hold = false }, "records Healthy"},
		"Healthy":            {"the record last", puttingBack, func(o *Observation) { bare(o); unheld(o) }, "records Healthy"},
		"changed again":      {"another delivery", puttingBack, func(o *Observation) { o.Deployment.Template = "C" }, "records Preparing"},
		"changed, missed":    {"I10", puttingBack, func(o *Observation) { o.Deployment.Template = "C"; unheld(o) }, "Hold web"},
		"deleted":            {"it lets go, too", puttingBack, deleted, "records Restoring"},
		"let go":             {"one write", puttingBack, func(o *Observation) { bare(o); detach(o) }, "LetGo web"},
		"let go, label gone": {"the hold, too", puttingBack, func(o *Observation) { bare(o); detach(o); o.Deployment.Rollout = "" }, "LetGo web"},
		"moved on":           {"a plain rolling update was faster", puttingBack, func(o *Observation) { o.ReplicaSets = []ReplicaSet{running("rQ", "B", OwnerDeployment, 4, 3)} }, "records Restoring, stable rQ"},
		"moved on, detaching": {"it lets go all the same", puttingBack, func(o *Observation) {
			bare(o)
			detach(o)
			o.ReplicaSets = []ReplicaSet{running("rQ", "B", OwnerDeployment, 4, 3)}
		}, "LetGo web"},
		"stable deleted":         {"never released with another template than stable's", puttingBack, func(o *Observation) { bare(o); o.ReplicaSets = o.ReplicaSets[:1] }, "LetGo web"},
		"stable with the holder": {"it goes back, pods and all", puttingBack, func(o *Observation) { o.ReplicaSets = o.ReplicaSets[1:]; o.ReplicaSets[0].Owner = OwnerHolder }, "GiveBack web-xB"},
		"pinned to the dead": {"I11", puttingBack, func(o *Observation) {
			o.ReplicaSets[1].Ready = 0
			o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerHolder, 1, 3))
		}, "Unpin web"},
		"let go of another template": {"its own rolling update follows", puttingBack, func(o *Observation) { bare(o); detach(o); o.Deployment.Template = "C" }, "LetGo web"},
		"Services":                   {"then the Services, the finalizer last", puttingBack, func(o *Observation) { bare(o); detach(o); unheld(o); o.Deployment.Rollout = "" }, "UnlabelService web\nRemoveFinalizer web"},
		"other workload": {"the Services, then adopt anew", puttingBack, func(o *Observation) {
			bare(o)
			record(o).Then = v1alpha1.ThenDetach
			unheld(o)
			o.Deployment.Rollout = ""
			o.Rollout.Spec.WorkloadRef.Name = "api"
		}, "UnlabelService web"},
		"other workload, done": {"adopt anew", puttingBack, func(o *Observation) {
			bare(o)
			record(o).Then = v1alpha1.ThenDetach
			unheld(o)
			o.Deployment.Rollout, o.Service.Rollout = "", ""
			o.Rollout.Spec.WorkloadRef.Name = "api"
		}, "forgets the record"},
	})
}

func TestGone(t *testing.T) {
	cases := map[string]struct {
		reason string
		rs     ReplicaSet
		want   bool
	}{
		"gone":            {"nothing is left", ReplicaSet{Observed: true}, true},
		"asked for":       {"its pods were lost, others come", ReplicaSet{Replicas: 1, Observed: true}, false},
		"counted":         {"its status still counts pods", ReplicaSet{StatusReplicas: 1, Observed: true}, false},
		"status behind":   {"its status is about another spec", ReplicaSet{}, false},
		"terminating pod": {"a pod still exists", ReplicaSet{Pods: 1, Observed: true}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.rs.gone(); got != tc.want {
				t.Errorf("%s: gone is %v", tc.reason, got)
			}
		})
	}
}
