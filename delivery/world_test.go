package delivery

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// world is a small cluster with proxies, as far as a delivery can see it. Its
// parts act one at a time, in whatever order a test chooses; each has the habits
// of the real one that handover.md found.
type world struct {
	now     time.Time
	counter int // of UIDs and resource versions

	ro     *v1alpha1.Rollout // nil once it is gone
	roRV   int
	recRV  int // version of the record in ro
	d      *deployment
	rss    []*replicaSet
	holder *holder
	svcs   []*service

	// user is what the user's manifest says.
	userPaused bool

	proxies    []*proxy
	published  *route
	renderedRV int // version of the record that was rendered
	shiftAll   bool

	asked []v1alpha1.RolloutAction
	names Names

	policies    Policies
	autoscaled  bool
	terminating bool
	refused     *Refusal
	templates   templates
	freezes     []*v1alpha1.Freeze

	// broken templates never get ready; startup is how long others need, stop how
	// long a pod takes to go.
	broken        map[string]bool
	startup, stop time.Duration

	// measure answers a check; nil is a source that does not answer.
	measure func(check, revision string) Sample
	samples []Sample
	// hook answers a question; hookAnswers wait to be seen.
	hook        func(q Question) HookAnswer
	hookAnswers []HookAnswer
	post        *post
	cache       cache
	trace       func(who, what string)
	violated    func(invariant, what string)
	facts       oracle
}

type deployment struct {
	Deployment
	rv int
}

type podState int

const (
	podPending podState = iota
	podReady
	podTerminating
)

type pod struct {
	state podState
	at    time.Time // when it becomes ready, or is gone
}

type replicaSet struct {
	ReplicaSet
	rv                   int
	generation, observed int
	pods                 []pod
	startedIn            time.Time // the delivery for which it got its first pod
}

type holder struct {
	Holder
	rv int
}

type service struct {
	Service
	rv   int
	made time.Time // when a user made it anew
}

const (
	testNamespace = "shop"
	testName      = "web"
)

func newWorld() *world {
	w := &world{
		now:     time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC),
		startup: 2 * time.Second, stop: time.Second,
		broken:   map[string]bool{},
		policies: Policies{Hold: true, Pin: true, Known: true},
		names:    Names{Known: true, Kept: true},
		trace:    func(string, string) {},
		violated: func(invariant, what string) { panic(invariant + ": " + what) },
	}
	w.createDeployment("A", 4)
	w.svcs = []*service{{Service: Service{Name: testName, UID: w.uid(), Selects: true}, rv: w.next()}}
	for range 3 {
		w.proxies = append(w.proxies, &proxy{name: fmt.Sprintf("gw-%d", len(w.proxies)), present: true, connected: true, delay: 100 * time.Millisecond})
	}
	w.ro = &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Name: testName, Namespace: testNamespace, Generation: 1},
		Spec: v1alpha1.RolloutSpec{
			WorkloadRef: v1alpha1.WorkloadRef{Name: testName},
			ServiceRef:  v1alpha1.ServiceRef{Name: testName},
			Strategy: v1alpha1.Strategy{Canary: &v1alpha1.Canary{TotalWeight: 100, Steps: []v1alpha1.Step{
				{Weight: new(int32(5)), Pause: &v1alpha1.Pause{Duration: &metav1.Duration{Duration: time.Minute}}},
				{Weight: new(int32(25))},
				{Weight: new(int32(50)), Pause: &v1alpha1.Pause{Duration: &metav1.Duration{Duration: time.Minute}}},
			}}},
			Acks:                    v1alpha1.Acks{Timeout: metav1.Duration{Duration: time.Minute}, OnTimeout: v1alpha1.AckTimeoutRollback},
			ProgressDeadlineSeconds: 600,
		},
	}
	w.roRV = w.next()
	for range 3 { // until the pods are ready and the status says so
		for w.clusterActs() {
		}
		w.now = w.now.Add(w.startup)
	}
	return w
}

func (w *world) next() int { w.counter++; return w.counter }

func (w *world) uid() string { return "u" + strconv.Itoa(w.next()) }

// withCheck adds a check that the source answers with v.
func (w *world) withCheck(v *float64) {
	limit := "0.01"
	w.ro.Spec.Analysis = &v1alpha1.Analysis{
		Interval: metav1.Duration{Duration: 10 * time.Second},
		Checks: []v1alpha1.Check{{
			Name: "errors", Prometheus: &v1alpha1.PrometheusSource{Query: "q"}, Max: &limit,
		}},
	}
	w.measure = func(string, string) Sample { return Sample{Outcome: Number, Value: *v} }
}

func (w *world) createDeployment(template string, replicas int32) {
	w.userPaused = false
	w.d = &deployment{
		Deployment: Deployment{
			Name: testName, UID: w.uid(), Template: template, CanaryHash: "x" + template,
			Replicas: replicas, HistoryLimit: 10, Generation: 1,
		},
		rv: w.next(),
	}
}

// --- what users do

func (w *world) changeDeployment(change func(*deployment)) {
	template := w.d.Template
	paused := w.d.Paused
	change(w.d)
	w.d.CanaryHash = "x" + w.d.Template
	if w.d.Template != template && w.policies.Hold && w.d.Rollout != "" && !w.d.BreakGlass {
		if w.d.Hold == "" {
			w.d.Hold = "running"
			if paused {
				w.d.Hold = "paused"
			}
		}
		w.d.Paused = true
	}
	if w.d.Hold != "" && w.policies.Hold && w.d.Rollout != "" && !w.d.BreakGlass {
		w.d.Paused = true
	}
	w.d.Generation++
	w.d.rv = w.next()
}

func (w *world) apply(template string) {
	w.trace("user", "applies template "+template)
	w.changeDeployment(func(d *deployment) { d.Template = template })
}

func (w *world) scale(n int32) {
	w.trace("user", fmt.Sprintf("scales the Deployment to %d", n))
	w.changeDeployment(func(d *deployment) { d.Replicas = n })
}

func (w *world) edit(what string, change func(*v1alpha1.Rollout)) {
	w.trace("user", what)
	change(w.ro)
	w.ro.Generation++
	w.roRV = w.next()
}

func (w *world) annotate(key, value string) {
	w.edit(fmt.Sprintf("annotates the Rollout: %s=%s", key, value), func(ro *v1alpha1.Rollout) {
		if ro.Annotations == nil {
			ro.Annotations = map[string]string{}
		}
		ro.Annotations[key] = value
	})
}

func (w *world) deleteRollout() {
	if len(w.ro.Finalizers) == 0 {
		w.ro = nil
		return
	}
	w.edit("deletes the Rollout", func(ro *v1alpha1.Rollout) {
		t := metav1.NewTime(w.now)
		ro.DeletionTimestamp = &t
	})
}

// deleteDeployment takes everything that it owns along, as the garbage collector
// does: the holder and what that controls, too.
func (w *world) deleteDeployment() {
	w.trace("user", "deletes the Deployment")
	w.d, w.holder = nil, nil
	w.rss = nil
}

// killPods takes all pods of a revision at once; they do not come back.
func (w *world) killPods(revision string) {
	w.trace("fault", "all pods of "+revision+" are lost")
	if r := w.rs(revision); r != nil {
		w.broken[r.Template] = true
		r.pods = nil
		r.rv = w.next()
	}
}

// heal lets pods of a revision come again.
func (w *world) heal(revision string) {
	w.trace("fault", "pods of "+revision+" come again")
	if r := w.rs(revision); r != nil {
		delete(w.broken, r.Template)
		for i := range r.pods {
			r.pods[i].at = w.now.Add(w.startup)
		}
	}
}

func (w *world) rs(revision string) *replicaSet {
	i := slices.IndexFunc(w.rss, func(r *replicaSet) bool { return r.Revision == revision })
	if i < 0 {
		return nil
	}
	return w.rss[i]
}

func (r *replicaSet) living() (all, ready int32) {
	for _, p := range r.pods {
		if p.state != podTerminating {
			all++
		}
		if p.state == podReady {
			ready++
		}
	}
	return all, ready
}

func (w *world) ready(revision string) int32 {
	r := w.rs(revision)
	if r == nil {
		return 0
	}
	_, n := r.living()
	return n
}
