package delivery

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

func deleted(o *Observation) {
	t := metav1.NewTime(start)
	o.Rollout.DeletionTimestamp = &t
}

func TestAdoption(t *testing.T) {
	held := func(o *Observation) { o.Deployment.Hold, o.Deployment.Paused = "running", true }
	runRules(t, map[string]ruleCase{
		"settled":         {"a settled Deployment is adopted", unadopted, nil, "records Healthy, weight 0/0, stable rA"},
		"finalizer first": {"from the record on there is something to put back", unadopted, func(o *Observation) { o.Rollout.Finalizers = nil }, "AddFinalizer web"},
		"no Deployment":   {"nothing to adopt", unadopted, func(o *Observation) { o.Deployment = nil }, "Initializing, DeploymentNotFound"},
		"Deployment goes": {"nothing to adopt", unadopted, func(o *Observation) { o.Deployment.Deleting = true }, "Initializing, DeploymentNotFound"},
		"no Service":      {"nothing to shift", unadopted, func(o *Observation) { o.Service = nil }, "Initializing, ServiceNotFound"},
		"other selector":  {"the Service is not about these pods", unadopted, func(o *Observation) { o.Service.Selects = false }, "Initializing, SelectorMismatch"},
		"conflict":        {"another Rollout has it", unadopted, func(o *Observation) { o.Refused = &Refusal{Reason: v1alpha1.ReasonConflict, Message: "m"} }, "Initializing, Conflict"},
		"Recreate":        {"two revisions must not run at once", unadopted, func(o *Observation) { o.Deployment.Recreate = true }, "Initializing, RecreateStrategy"},
		"Recreate, allowed": {"somebody accepted that two revisions run", unadopted, func(o *Observation) {
			o.Deployment.Recreate, o.Rollout.Spec.AllowRecreateStrategy = true, true
		}, "records Healthy, weight 0/0, stable rA"},
		"no history":       {"2c: stable would be deleted", unadopted, func(o *Observation) { o.Deployment.HistoryLimit = 0 }, "Initializing, HistoryLimitZero"},
		"history of one":   {"one is enough", unadopted, func(o *Observation) { o.Deployment.HistoryLimit = 1 }, "records Healthy, weight 0/0, stable rA"},
		"policies unknown": {"no hold before the probe", unadopted, func(o *Observation) { o.Policies.Known = false }, "Initializing, Initializing"},
		"unpinnable": {"10a: the canary would be in it at once", unadopted, func(o *Observation) {
			o.OtherServices = []Service{{Name: "lb", Unpinnable: "type ExternalName"}}
		}, "Initializing, UnpinnedServices"},
		"spec not acted on": {"not settled", unadopted, func(o *Observation) { o.Deployment.Generation = 4 }, "Initializing, NotSettled"},
		"rolling": {"two revisions run", unadopted, func(o *Observation) {
			o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerDeployment, 1, 0))
		}, "Initializing, NotSettled"},
		"old pods in status": {"the last pod of another revision is not gone", unadopted, func(o *Observation) {
			r := running("rZ", "Z", OwnerDeployment, 0, 0)
			r.StatusReplicas = 1
			o.ReplicaSets = append(o.ReplicaSets, r)
		}, "Initializing, NotSettled"},
		"no ReplicaSet": {"not settled", unadopted, func(o *Observation) { o.ReplicaSets = nil }, "Initializing, NotSettled"},
		"twins": {"which is stable?", unadopted, func(o *Observation) {
			o.ReplicaSets = append(o.ReplicaSets, running("rA2", "A", OwnerDeployment, 4, 0))
		}, "Initializing, NotSettled"},
		"twins, one idle": {"which would an undo go to?", unadopted, func(o *Observation) {
			o.ReplicaSets = append(o.ReplicaSets, running("rA2", "A", OwnerDeployment, 0, 0))
		}, "Initializing, NotSettled"},
		"being scaled": {"not settled", unadopted, func(o *Observation) { o.Deployment.Replicas = 5 }, "Initializing, NotSettled"},
		"history idle": {"history without pods is no obstacle", unadopted, func(o *Observation) {
			o.ReplicaSets = append([]ReplicaSet{running("rZ", "Z", OwnerDeployment, 0, 0)}, o.ReplicaSets...)
		}, "records Healthy, weight 0/0, stable rA"},
		"scaled to zero": {"nothing is wrong with 0 pods", unadopted, func(o *Observation) {
			o.Deployment.Replicas = 0
			o.ReplicaSets[0] = running("rA", "A", OwnerDeployment, 0, 1)
		}, "records Healthy, weight 0/0, stable rA"},
		"glass broken":       {"a person has it", unadopted, func(o *Observation) { o.Service.BreakGlass = true }, "Initializing, BreakGlass"},
		"stale copy of held": {"7f: it would have no pods for ever", unadopted, func(o *Observation) { held(o); o.ReplicaSets = nil }, "LetGo web"},
		"held, record lost": {
			"what has pods is stable, not what is held", unadopted, func(o *Observation) { held(o); o.Deployment.Template = "B" },
			"records Healthy, weight 0/0, stable rA",
		},
		"deleted before": {"nothing was adopted", unadopted, deleted, "RemoveFinalizer web"},
		"new pods asked for": {"two revisions are asked for", unadopted, func(o *Observation) {
			r := running("rZ", "Z", OwnerDeployment, 1, 0)
			r.StatusReplicas = 0
			o.ReplicaSets = append(o.ReplicaSets, r)
		}, "Initializing, NotSettled"},
		"held, record lost, history": {"what has pods is stable, not what is newest", unadopted, func(o *Observation) {
			held(o)
			o.Deployment.Template = "B"
			o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerDeployment, 0, 9))
		}, "records Healthy, weight 0/0, stable rA"},
		"held, record lost, at zero": {"the newest is what would be scaled up", unadopted, func(o *Observation) {
			held(o)
			o.Deployment.Template, o.Deployment.Replicas = "B", 0
			o.ReplicaSets = []ReplicaSet{running("rA", "A", OwnerDeployment, 0, 1), running("rZ", "Z", OwnerDeployment, 0, 9)}
		}, "records Healthy, weight 0/0, stable rZ"},
		"held, record lost, two": {"which is stable?", unadopted, func(o *Observation) {
			held(o)
			o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerDeployment, 1, 9))
		}, "Initializing, NotSettled"},
		"deleted, other's Service": {"the label is another Rollout's", unadopted, func(o *Observation) { deleted(o); o.Service.Rollout = "first" }, "RemoveFinalizer web"},
		"namespace goes":           {"10c: nothing is put back", adoptedHealthy, func(o *Observation) { o.NamespaceTerminating = true }, "RemoveFinalizer web"},
		"label, then Healthy": {
			"the policies act on what is labelled", adoptedHealthy, func(o *Observation) { o.Deployment.Rollout, o.Service.Rollout = "", "" },
			"LabelDeployment web\nLabelService web",
		},
		"other Services, too": {"the pin policy acts on what is labelled", adoptedHealthy, func(o *Observation) { o.OtherServices = []Service{{Name: "lb", Selects: true}} }, "LabelService lb"},
	})
}

func TestHealthy(t *testing.T) {
	unheldB := func(o *Observation) { o.Deployment.Template, o.Deployment.CanaryHash = "B", "xB" }
	fallback := func(o *Observation) { o.Policies = Policies{Known: true, Message: "missing"} }
	runRules(t, map[string]ruleCase{
		"no finalizer":                 {"somebody took it", adoptedHealthy, func(o *Observation) { o.Rollout.Finalizers = nil }, "AddFinalizer web"},
		"glass broken, finalizer gone": {"nothing is left to do", steppingAt20, func(o *Observation) { deleted(o); o.Service.BreakGlass = true; o.Rollout.Finalizers = nil }, "Paused, BreakGlass"},
		"idle":                         {"nothing to do", adoptedHealthy, nil, "Healthy, Healthy"},
		"held template":                {"a delivery begins", adoptedHealthy, func(o *Observation) { unheldB(o); o.Deployment.Hold, o.Deployment.Paused = "running", true }, "records Preparing"},
		"missed template":              {"no policy held it", adoptedHealthy, unheldB, "Hold web"},
		"held template, Recreate": {"the strategy came with the template", adoptedHealthy, func(o *Observation) {
			unheldB(o)
			o.Deployment.Hold, o.Deployment.Paused, o.Deployment.Recreate = "running", true, true
		}, "Healthy, RecreateStrategy"},
		"missed template, refused": {"a mistake elsewhere must not let it start", adoptedHealthy, func(o *Observation) {
			unheldB(o)
			o.Refused = &Refusal{Reason: v1alpha1.ReasonInvalidQuery, Message: "m"}
		}, "Hold web"},
		"refused, held": {"nothing moves while it is unclear what is meant", adoptedHealthy, func(o *Observation) {
			unheldB(o)
			o.Deployment.Hold, o.Deployment.Paused = "running", true
			o.Refused = &Refusal{Reason: v1alpha1.ReasonInvalidQuery, Message: "m"}
		}, "Healthy, InvalidQuery"},
		"held for nothing":  {"the template is stable's", adoptedHealthy, func(o *Observation) { o.Deployment.Hold, o.Deployment.Paused = "running", true }, "Release web"},
		"fallback":          {"nothing else would hold", adoptedHealthy, fallback, "Hold web"},
		"fallback, held":    {"it stays paused", adoptedHealthy, func(o *Observation) { fallback(o); o.Deployment.Hold, o.Deployment.Paused = "running", true }, "Healthy, Healthy"},
		"fallback, resumed": {"somebody resumed it", adoptedHealthy, func(o *Observation) { fallback(o); o.Deployment.Hold = "running" }, "Hold web"},
		"template of others": {"what others run is not what is asked for", adoptedHealthy, func(o *Observation) {
			unheldB(o)
			o.ReplicaSets = []ReplicaSet{running("rA", "A", OwnerDeployment, 0, 1), running("rZ", "Z", OwnerDeployment, 4, 2)}
		}, "Hold web"},
		"stable gone, history": {"history is not what is asked for", adoptedHealthy, func(o *Observation) { o.ReplicaSets = []ReplicaSet{running("rZ", "Z", OwnerDeployment, 0, 1)} }, "Healthy, NotSettled"},
		"fallback, rolling": {"it is not held again before it is done", adoptedHealthy, func(o *Observation) {
			fallback(o)
			o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerDeployment, 1, 0))
		}, "Healthy, NotSettled"},
		"fallback, paused by the user": {"the hold notes that", adoptedHealthy, func(o *Observation) { fallback(o); o.Deployment.Paused = true }, "Hold web"},
		"held, policies unknown": {"not before the probe", adoptedHealthy, func(o *Observation) {
			o.Deployment.Hold, o.Deployment.Paused = "running", true
			o.Policies = Policies{}
		}, "Healthy, Healthy"},
		"fallback, half-way": {"a pause would freeze two revisions", adoptedHealthy, func(o *Observation) {
			fallback(o)
			o.Deployment.Hold, o.Deployment.Paused = "running", true
			o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerDeployment, 1, 0))
		}, "Release web"},
		"rolled out already": {"there is nothing to go back to", adoptedHealthy, func(o *Observation) {
			unheldB(o)
			o.ReplicaSets = []ReplicaSet{running("rA", "A", OwnerDeployment, 0, 1), running("rB", "B", OwnerDeployment, 4, 2)}
		}, "records Restoring, stable rB"},
		"rolled out already, pods ending": {"stable's last pods are still terminating: they serve nobody", adoptedHealthy, func(o *Observation) {
			unheldB(o)
			o.ReplicaSets = []ReplicaSet{running("rA", "A", OwnerDeployment, 0, 1), running("rB", "B", OwnerDeployment, 4, 2)}
			o.ReplicaSets[0].Pods, o.ReplicaSets[0].StatusReplicas = 2, 1
		}, "records Restoring, stable rB"},
		"rolled out, a pod of stable's left": {"it still serves: not at its end", adoptedHealthy, func(o *Observation) {
			unheldB(o)
			o.ReplicaSets = []ReplicaSet{running("rA", "A", OwnerDeployment, 0, 1), running("rB", "B", OwnerDeployment, 4, 2)}
			o.ReplicaSets[0].Pods, o.ReplicaSets[0].Ready = 1, 1
		}, "Hold web"},
		"stable made again":       {"the Deployment makes what somebody deleted", adoptedHealthy, func(o *Observation) { o.ReplicaSets = []ReplicaSet{running("rA2", "A", OwnerDeployment, 0, 1)} }, "records Healthy, stable rA2"},
		"stable gone":             {"the Deployment makes it again", adoptedHealthy, func(o *Observation) { o.ReplicaSets = nil }, "Healthy, NotSettled"},
		"stable gone, held":       {"2c: a held one never would", adoptedHealthy, func(o *Observation) { o.ReplicaSets = nil; o.Deployment.Hold, o.Deployment.Paused = "running", true }, "LetGo web"},
		"left pin":                {"I12", adoptedHealthy, func(o *Observation) { o.Service.Pin, o.Service.Key = "rA", "rA" }, "records Restoring"},
		"left holder":             {"I12", adoptedHealthy, func(o *Observation) { o.Holder = &Holder{Name: "web-crossfade"} }, "records Restoring"},
		"Service gone":            {"nothing to shift", adoptedHealthy, func(o *Observation) { o.Service = nil }, "Healthy, ServiceNotFound"},
		"deleted":                 {"everything is put back", adoptedHealthy, deleted, "records Restoring (then Detach; Initializing)"},
		"other Service":           {"the first one is let go", adoptedHealthy, func(o *Observation) { o.Rollout.Spec.ServiceRef.Name = "api" }, "records Restoring (then Detach; Initializing)"},
		"other workload":          {"the first one is let go", adoptedHealthy, func(o *Observation) { o.Rollout.Spec.WorkloadRef.Name = "api" }, "records Restoring (then Detach; Initializing)"},
		"Deployment gone":         {"it is adopted anew", adoptedHealthy, func(o *Observation) { o.Deployment, o.ReplicaSets = nil, nil }, "forgets the record"},
		"Deployment gone, pinned": {"7e: the Service would stay empty", steppingAt20, func(o *Observation) { o.Deployment, o.ReplicaSets = nil, nil }, "Unpin web"},
		"Deployment made again":   {"another UID is another Deployment", adoptedHealthy, func(o *Observation) { o.Deployment.UID = "d2" }, "forgets the record"},
		"Deployment going":        {"its pods go with it", steppingAt20, func(o *Observation) { o.Deployment.Deleting = true }, "Paused, DeploymentNotFound"},
		"both going":              {"the finalizer never blocks a deleted Deployment", steppingAt20, func(o *Observation) { deleted(o); o.Deployment.Deleting = true }, "UnlabelService web\nRemoveFinalizer web"},
		"glass broken":            {"no writes at all", steppingAt20, func(o *Observation) { o.Deployment.BreakGlass = true; record(o).Weight = 0 }, "Paused, BreakGlass"},
		"glass broken, deleted":   {"a person puts things back", steppingAt20, func(o *Observation) { deleted(o); o.Service.BreakGlass = true }, "RemoveFinalizer web"},
	})
}

func TestPreparing(t *testing.T) {
	runRules(t, map[string]ruleCase{
		"holder":       {"the canary's owner comes first", heldB, func(o *Observation) { o.Holder = nil }, "CreateHolder web-crossfade"},
		"stale holder": {"it belongs to a Deployment of that name that is gone", heldB, func(o *Observation) { o.Holder.Deployment = "d0" }, "CreateHolder web-crossfade"},
		"park":         {"1b: the Deployment must own nothing that it could scale", heldB, func(o *Observation) { o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerDeployment, 0, 7)) }, "Park web-rZ"},
		"pin":          {"D2: before the first canary pod", heldB, func(o *Observation) { o.Service.Pin, o.Service.Key = "", "" }, "Pin web to rA"},
		"pin others":   {"10a", heldB, func(o *Observation) { o.OtherServices = []Service{{Name: "lb", Rollout: testName, Selects: true}} }, "Pin lb to rA"},
		"label others": {"a Service that came just now", heldB, func(o *Observation) { o.OtherServices = []Service{{Name: "lb", Selects: true}} }, "LabelService lb"},
		"key missing":  {"no policy wrote it", heldB, func(o *Observation) { o.Service.Key = "" }, "Pin web to rA directly"},
		"no policy":    {"the controller writes the key", heldB, func(o *Observation) { o.Service.Pin, o.Service.Key = "", ""; o.Policies.Pin = false }, "Pin web to rA directly"},
		"unheld":       {"somebody ended the hold", heldB, func(o *Observation) { o.Deployment.Hold, o.Deployment.Paused = "", false }, "Hold web"},
		"resumed":      {"somebody resumed it where no policy keeps it", heldB, func(o *Observation) { o.Deployment.Paused = false }, "Hold web"},
		"create":       {"all is ready", heldB, nil, "CreateCanary web-xB"},
		"begin":        {"its ReplicaSet is there", heldB, func(o *Observation) { o.ReplicaSets = append(o.ReplicaSets, running("xB", "B", OwnerHolder, 0, 0)) }, "records Stepping of xB step 1"},
		"history": {"1d: an equal ReplicaSet is the canary, the oldest", heldB, func(o *Observation) {
			younger := running("r2", "B", OwnerHolder, 0, 2)
			younger.Created = start.Add(time.Second)
			o.ReplicaSets = append(o.ReplicaSets, younger, running("r1", "B", OwnerHolder, 0, 1))
		}, "records Stepping of r1 step 1"},
		"paused": {"no canary starts", heldB, func(o *Observation) {
			o.ReplicaSets = append(o.ReplicaSets, running("xB", "B", OwnerHolder, 0, 0))
			o.Rollout.Spec.Paused = true
		}, "Paused, Paused"},
		"no Service": {"nothing to shift", heldB, func(o *Observation) { o.Service = nil }, "Paused, ServiceNotFound"},
		"Recreate":   {"the strategy was changed on the way", heldB, func(o *Observation) { o.Deployment.Recreate = true }, "Paused, RecreateStrategy"},
		"no history": {"2c, changed on the way", heldB, func(o *Observation) { o.Deployment.HistoryLimit = 0 }, "Paused, HistoryLimitZero"},
		"unpinnable": {"10a, come on the way", heldB, func(o *Observation) { o.OtherServices = []Service{{Name: "lb", Unpinnable: "x"}} }, "Paused, UnpinnedServices"},
		"0 replicas": {"nothing to shift, and the hold stays", heldB, func(o *Observation) {
			o.Deployment.Replicas = 0
			o.ReplicaSets[0] = running("rA", "A", OwnerDeployment, 0, 1)
		}, "Paused, Paused"},
		"back":                     {"nothing was shifted yet", heldB, func(o *Observation) { o.Deployment.Template = "A" }, "records Restoring (then Restore; Superseded)"},
		"third":                    {"the newest counts", heldB, func(o *Observation) { o.Deployment.Template = "C" }, "records Preparing"},
		"earlier canary":           {"it must not look like history", heldB, func(o *Observation) { o.ReplicaSets = append(o.ReplicaSets, running("xZ", "Z", OwnerHolder, 0, 0)) }, "DeleteReplicaSet web-xZ"},
		"earlier canary with pods": {"nothing is routed to it", heldB, func(o *Observation) { o.ReplicaSets = append(o.ReplicaSets, running("xZ", "Z", OwnerHolder, 2, 0)) }, "Scale web-xZ to 0"},
		"earlier canary routed to": {"I4", heldB, func(o *Observation) {
			o.ReplicaSets = append(o.ReplicaSets, running("xZ", "Z", OwnerHolder, 2, 0))
			record(o).Since = at(-10 * time.Second)
			o.Proxies.MayRoute = []string{"rA", "xZ"}
			o.Proxies.PendingSince = start.Add(-time.Hour)
		}, "Progressing, Progressing\nasks again at 50s"},
		"parked history stays": {"it is given back at the end", heldB, func(o *Observation) { o.ReplicaSets = append(o.ReplicaSets, running("rZ", "Z", OwnerHolder, 0, 7)) }, "CreateCanary web-xB"},
		"altered": {
			"3c: every pod would restart", heldB, func(o *Observation) { o.ReplicaSets = append(o.ReplicaSets, running("xB", "B'", OwnerHolder, 0, 0)) },
			"records Retreating of xB (then RolledBack; CanaryAltered)",
		},
		"moved on": {"a plain rolling update was faster", heldB, func(o *Observation) {
			o.ReplicaSets = []ReplicaSet{running("rA", "A", OwnerDeployment, 0, 1), running("rB", "B", OwnerDeployment, 4, 2)}
		}, "records Restoring, stable rB"},
		"stable gone":            {"nothing to go back to", heldB, func(o *Observation) { o.ReplicaSets = nil }, "LetGo web"},
		"stable with the holder": {"it is never swept", heldB, func(o *Observation) { o.ReplicaSets[0].Owner = OwnerHolder }, "CreateCanary web-xB"},
		"orphan":                 {"it is not altered", heldB, func(o *Observation) { o.ReplicaSets = append(o.ReplicaSets, running("xB", "B", OwnerNone, 0, 0)) }, "CreateCanary web-xB"},
		"altered, but history": {"an equal ReplicaSet is there", heldB, func(o *Observation) {
			o.ReplicaSets = append(o.ReplicaSets, running("xB", "B'", OwnerHolder, 0, 0), running("r1", "B", OwnerHolder, 0, 2))
		}, "records Stepping of r1 step 1"},
		"history, same age": {"by name", heldB, func(o *Observation) {
			o.ReplicaSets = append(o.ReplicaSets, running("r2", "B", OwnerHolder, 0, 2), running("r1", "B", OwnerHolder, 0, 1))
		}, "records Stepping of r1 step 1"},
		"deleted": {"nothing was shifted yet", heldB, deleted, "records Restoring (then Detach; Initializing)"},
	})
}

func TestSizes(t *testing.T) {
	canary := func(n, available int32) func(*Observation) {
		return func(o *Observation) {
			o.ReplicaSets[1] = running("xB", "B", OwnerHolder, n, 0)
			o.ReplicaSets[1].Available, o.ReplicaSets[1].Ready = available, available
		}
	}
	fresh := func(o *Observation) { // step 2, weight not moved yet
		r := record(o)
		r.Step, r.StepSince, r.WeightSince, r.AckedAt = 2, at(0), metav1.MicroTime{}, nil
	}
	first := func(o *Observation) {
		r := record(o)
		r.Step, r.Weight, r.Capacity, r.Replicas, r.WeightSince, r.AckedAt, r.ScaledAt = 2, 0, 0, 0, metav1.MicroTime{}, nil, nil
		r.StepSince = at(0)
		o.Proxies.Effective, o.Proxies.Agreed, o.Proxies.MayRoute = 0, 0, []string{"rA"}
	}
	runRules(t, map[string]ruleCase{
		"first pod":         {"6b: one, whatever the step needs", steppingAt20, func(o *Observation) { first(o); canary(0, 0)(o) }, "records Stepping step 2, size 1"},
		"first pod pending": {"no second one before it is available", steppingAt20, func(o *Observation) { first(o); record(o).Replicas = 1; canary(1, 0)(o) }, "Progressing, Progressing\nasks again at 10m0s"},
		"then the rest":     {"D8", steppingAt20, func(o *Observation) { first(o); record(o).Replicas = 1; canary(1, 1)(o) }, "records Stepping step 2, size 2"},
		"scale":             {"the record comes first", steppingAt20, func(o *Observation) { fresh(o); record(o).Replicas = 2 }, "Scale web-xB to 2\nasks again at 10m0s"},
		"not yet":           {"D8: capacity leads the traffic", steppingAt20, func(o *Observation) { fresh(o); record(o).Replicas = 2; canary(2, 1)(o) }, "Progressing, Progressing\nasks again at 10m0s"},
		"rise":              {"everything is there", steppingAt20, func(o *Observation) { fresh(o); record(o).Replicas = 2; canary(2, 2)(o) }, "records Stepping step 2, weight 50/100, capacity 2"},
		"own size": {"the step says so", steppingAt20, func(o *Observation) {
			fresh(o)
			n := intstr.FromString("75%")
			o.Rollout.Spec.Strategy.Canary.Steps[1].Replicas = &n
		}, "records Stepping step 2, size 3"},
		"own size, at most all": {"never more than the Deployment asks for", steppingAt20, func(o *Observation) {
			fresh(o)
			n := intstr.FromInt32(100)
			o.Rollout.Spec.Strategy.Canary.Steps[1].Replicas = &n
		}, "records Stepping step 2, size 4"},
		"own size, a number": {"the step says so", steppingAt20, func(o *Observation) {
			fresh(o)
			n := intstr.FromInt32(3)
			o.Rollout.Spec.Strategy.Canary.Steps[1].Replicas = &n
		}, "records Stepping step 2, size 3"},
		"own size, nothing": {"weight needs a pod", steppingAt20, func(o *Observation) {
			fresh(o)
			n := intstr.FromInt32(0)
			o.Rollout.Spec.Strategy.Canary.Steps[1].Replicas = &n
		}, "records Stepping step 2, weight 50/100"},
		"own size, unreadable": {"all, to be safe", steppingAt20, func(o *Observation) {
			fresh(o)
			n := intstr.FromString("some")
			o.Rollout.Spec.Strategy.Canary.Steps[1].Replicas = &n
		}, "records Stepping step 2, size 4"},
		"HPA up":       {"its share grows", steppingAt20, func(o *Observation) { o.Deployment.Replicas = 8 }, "records Stepping step 1, size 2"},
		"HPA up, come": {"added pods count once available", steppingAt20, func(o *Observation) { o.Deployment.Replicas = 8; record(o).Replicas = 2; canary(2, 2)(o) }, "records Stepping step 1, capacity 2"},
		"HPA up, late": {"a deadline of its own", steppingAt20, func(o *Observation) {
			o.Deployment.Replicas = 8
			record(o).Replicas, record(o).ScaledAt = 2, atp(-10*time.Minute)
			record(o).StepSince, record(o).WeightSince = at(-time.Hour), at(-time.Hour)
			canary(2, 1)(o)
		}, "records Retreating, weight 0/100 (then RolledBack; CanaryNotAvailable)"},
		"HPA down":     {"the record comes first, with less capacity", atWhole, func(o *Observation) { o.Deployment.Replicas = 3 }, "records Stepping step 3, size 3, capacity 3"},
		"HPA down, do": {"then the pods", atWhole, func(o *Observation) { o.Deployment.Replicas = 3; record(o).Replicas, record(o).Capacity = 3, 3 }, "Scale web-xB to 3"},
		"to zero":      {"there is nothing to serve", steppingAt20, func(o *Observation) { o.Deployment.Replicas = 0 }, "records Retreating, weight 0/100 (then Prepare; ScaledToZero)"},
		"smaller while routed": {"I4: not before the proxies know", steppingAt20, func(o *Observation) {
			r := record(o)
			r.Weight, r.Step, r.AckedAt, r.WeightSince, r.Replicas, r.StepSince = 0, 1, nil, metav1.MicroTime{}, 3, at(-10*time.Second)
			o.Proxies.MayRoute, o.Proxies.PendingSince = []string{"rA", "xB"}, start.Add(-time.Hour)
			o.Proxies.Effective = 0
			canary(3, 3)(o)
		}, "Progressing, Progressing\nasks again at 50s"},
		"smaller, not told yet": {"I1: they bear what the step before gave", steppingAt20, func(o *Observation) {
			r := record(o)
			r.Step, r.AckedAt, r.WeightSince, r.Replicas, r.Capacity = 2, nil, metav1.MicroTime{}, 3, 3
			canary(3, 3)(o)
		}, "records Stepping step 2, weight 50/100, capacity 2"},
		"smaller while it serves all": {"I9: nobody knows when stable is back", steppingAt20, func(o *Observation) {
			r := record(o)
			r.Weight, r.AckedAt, r.WeightSince, r.Replicas, r.StepSince = 0, nil, metav1.MicroTime{}, 3, at(-10*time.Second)
			o.Proxies.MayRoute, o.Proxies.Effective = []string{"xB"}, 100
			o.Service.Pin, o.Service.Key, o.ReplicaSets[0].Ready = "xB", "xB", 0
			canary(3, 3)(o)
		}, "records Stepping step 1, weight 20/100"},
		"minReadySeconds": {"2e: a difference costs availability at the join", steppingAt20, func(o *Observation) { o.Deployment.MinReadySeconds = 5 }, "SetMinReady web-xB to 5s"},
		"canary deleted":  {"it is made again", steppingAt20, func(o *Observation) { o.ReplicaSets = o.ReplicaSets[:1] }, "CreateCanary web-xB"},
		"history deleted": {"it cannot be made again", steppingAt20, func(o *Observation) { o.ReplicaSets = o.ReplicaSets[:1]; record(o).Canary = "r7" }, "records Retreating, weight 0/100 (then Prepare; CanaryNotAvailable)"},
	})
}
