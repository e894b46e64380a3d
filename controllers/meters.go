package controllers

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/metrics"
)

// meters are the controller's own metrics, besides what controller-runtime
// gives. Their labels are names of Rollouts and closed sets of words.
type meters struct {
	phase     *prometheus.GaugeVec
	weight    *prometheus.GaugeVec
	ackTime   prometheus.Histogram
	verdicts  *prometheus.CounterVec
	queries   *prometheus.CounterVec
	queryTime prometheus.Histogram
	due       *prometheus.GaugeVec
	stalled   *prometheus.GaugeVec
	beside    *besideMeters

	mu     sync.Mutex
	phases map[types.NamespacedName]v1alpha1.Phase
	stalls map[types.NamespacedName]string
}

// newMeters registers the metrics of Rollouts.
func newMeters(registry prometheus.Registerer) (*meters, error) {
	m := &meters{
		phase: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crossfade_rollouts", Help: "Rollouts by phase.",
		}, []string{"phase"}),
		weight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crossfade_rollout_weight_ratio", Help: "The canary's share of the requests, from 0 to 1: desired, effective (rendered), acked by every proxy.",
		}, []string{"namespace", "rollout", "kind"}),
		ackTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "crossfade_weight_ack_seconds", Help: "Time from a weight written to its last ack.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crossfade_check_verdicts_total", Help: "Measurements of checks by verdict.",
		}, []string{"verdict"}),
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crossfade_queries_total", Help: "Queries to Prometheus by outcome.",
		}, []string{"outcome"}),
		queryTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "crossfade_query_seconds", Help: "Time that queries to Prometheus take.", Buckets: prometheus.DefBuckets,
		}),
		due: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crossfade_rollout_due_timestamp_seconds", Help: "When time alone has the Rollout looked at again, in seconds since 1970; no series while it waits for no clock.",
		}, []string{"namespace", "rollout"}),
		stalled: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crossfade_rollout_stalled", Help: "1 while the Rollout's condition Stalled is True, by its reason.",
		}, []string{"namespace", "rollout", "reason"}),
		phases: map[types.NamespacedName]v1alpha1.Phase{}, stalls: map[types.NamespacedName]string{},
	}
	if err := registerAll(registry, m.phase, m.weight, m.ackTime, m.verdicts, m.queries, m.queryTime, m.due, m.stalled); err != nil {
		return nil, err
	}
	var err error
	if m.beside, err = newBesideMeters(registry); err != nil {
		return nil, err
	}
	for _, o := range metrics.Outcomes() {
		m.queries.WithLabelValues(string(o))
	}
	return m, nil
}

// registerAll registers collectors until one is refused.
func registerAll(registry prometheus.Registerer, collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		if err := registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// query counts one answer of Prometheus.
func (m *meters) query(outcome metrics.Outcome, seconds float64) {
	m.queries.WithLabelValues(string(outcome)).Inc()
	m.queryTime.Observe(seconds)
}

// observe takes over what a pass has seen and decided.
func (m *meters) observe(ro *v1alpha1.Rollout, plan delivery.Plan, o delivery.Observation) {
	key := keyOf(ro)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.move(key, plan.Status.Phase)
	m.stall(key, stalledFor(plan.Status.Conditions))
	m.clock(key, nextClock(ro, plan, o))
	if w, r := plan.Status.Weight, plan.Status.Record; w != nil && r != nil && r.Total > 0 {
		for kind, value := range map[string]int32{"desired": w.Desired, "effective": w.Effective, "acked": w.Acked} {
			m.weight.WithLabelValues(key.Namespace, key.Name, kind).Set(float64(value) / float64(r.Total))
		}
	}
	before, after := ro.Status.Record, plan.Status.Record
	if before != nil && after != nil && before.AckedAt == nil && after.AckedAt != nil && !after.WeightSince.IsZero() {
		m.ackTime.Observe(o.Now.Sub(after.WeightSince.Time).Seconds())
	}
	for _, c := range plan.Status.Checks {
		if c.MeasuredAt != nil && !c.MeasuredAt.Equal(measuredAt(ro.Status.Checks, c.Name)) {
			m.verdicts.WithLabelValues(string(c.Verdict)).Inc()
		}
	}
}

func measuredAt(checks []v1alpha1.CheckStatus, name string) *metav1.MicroTime {
	for _, c := range checks {
		if c.Name == name {
			return c.MeasuredAt
		}
	}
	return nil
}

// move counts a Rollout under its phase.
func (m *meters) move(key types.NamespacedName, phase v1alpha1.Phase) {
	before, known := m.phases[key]
	if known && before == phase {
		return
	}
	if known {
		m.phase.WithLabelValues(string(before)).Dec()
	}
	m.phases[key] = phase
	m.phase.WithLabelValues(string(phase)).Inc()
}

// nextClock is when time alone has the Rollout looked at again; zero when it waits
// for no clock. After a changed record that is at once: what it leads to has no
// plan yet.
func nextClock(ro *v1alpha1.Rollout, plan delivery.Plan, o delivery.Observation) time.Time {
	if !equality.Semantic.DeepEqual(ro.Status.Record, plan.Status.Record) {
		return o.Now
	}
	return plan.RequeueAt
}

// clock notes what nextClock says. Where passes fail it stays what it was, and is in
// the past before long: that is how a Rollout that waits beyond its clock is seen.
func (m *meters) clock(key types.NamespacedName, at time.Time) {
	if at.IsZero() {
		m.due.DeleteLabelValues(key.Namespace, key.Name)
		return
	}
	m.due.WithLabelValues(key.Namespace, key.Name).Set(float64(at.UnixMilli()) / 1000)
}

// stalledFor is why a Rollout is stalled; empty when it is not.
func stalledFor(conditions []metav1.Condition) string {
	for i := range conditions {
		if c := &conditions[i]; c.Type == v1alpha1.ConditionStalled && c.Status == metav1.ConditionTrue {
			return c.Reason
		}
	}
	return ""
}

// stall counts a Rollout under the reason for which it is stalled.
func (m *meters) stall(key types.NamespacedName, reason string) {
	if before := m.stalls[key]; before != "" && before != reason {
		m.stalled.DeleteLabelValues(key.Namespace, key.Name, before)
	}
	if reason == "" {
		delete(m.stalls, key)
		return
	}
	m.stalls[key] = reason
	m.stalled.WithLabelValues(key.Namespace, key.Name, reason).Set(1)
}

// forget drops a Rollout that is gone.
func (m *meters) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if before, known := m.phases[key]; known {
		m.phase.WithLabelValues(string(before)).Dec()
		delete(m.phases, key)
	}
	m.stall(key, "")
	m.clock(key, time.Time{})
	m.weight.DeletePartialMatch(prometheus.Labels{"namespace": key.Namespace, "rollout": key.Name})
}
