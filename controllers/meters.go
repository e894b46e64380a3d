package controllers

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/metrics"
	"github.com/crossfade-dev/crossfade/proxy/server"
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

	mu     sync.Mutex
	phases map[types.NamespacedName]v1alpha1.Phase
}

// newMeters registers the controller's metrics.
func newMeters(registry prometheus.Registerer, proxies *server.Server) (*meters, error) {
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
		phases: map[types.NamespacedName]v1alpha1.Phase{},
	}
	connected := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "crossfade_proxies_connected", Help: "Proxies with a stream to this controller.",
	}, func() float64 { return float64(len(proxies.Proxies())) })
	rejected := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "crossfade_proxy_rejections_total", Help: "Configurations that a proxy refused (NACK).",
	}, func() float64 { return float64(proxies.Rejections()) })
	for _, c := range []prometheus.Collector{m.phase, m.weight, m.ackTime, m.verdicts, m.queries, m.queryTime, rejected, connected} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	for _, o := range metrics.Outcomes() {
		m.queries.WithLabelValues(string(o))
	}
	return m, nil
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

// forget drops a Rollout that is gone.
func (m *meters) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if before, known := m.phases[key]; known {
		m.phase.WithLabelValues(string(before)).Dec()
		delete(m.phases, key)
	}
	m.weight.DeletePartialMatch(prometheus.Labels{"namespace": key.Namespace, "rollout": key.Name})
}
