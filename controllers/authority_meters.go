package controllers

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crossfade-dev/crossfade/proxy/certificates"
	"github.com/crossfade-dev/crossfade/proxy/identity"
)

// authorityMeters count who got a certificate and who was refused, and show how
// long the roots live. Their labels are closed sets of words.
type authorityMeters struct {
	requests *prometheus.CounterVec
	refusals *prometheus.CounterVec
}

func newAuthorityMeters(registry prometheus.Registerer, a *Authority) (*authorityMeters, error) {
	m := &authorityMeters{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crossfade_certificate_requests_total", Help: "Requests for a certificate by result: issued, or why not.",
		}, []string{"result"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crossfade_xds_refused_total", Help: "Connections and streams of proxies that were refused, by reason.",
		}, []string{"reason"}),
	}
	expiry := func(of func(identity.State) identity.Issuer) func() float64 {
		return func() float64 {
			issuer := of(a.get())
			if issuer.IsZero() {
				return 0
			}
			return float64(issuer.NotAfter().Unix())
		}
	}
	signing := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "crossfade_root_expiry_timestamp_seconds", Help: "When the root that signs ends, in seconds since 1970; 0 before it is known.",
	}, expiry(func(s identity.State) identity.Issuer { return s.Signing }))
	roots := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "crossfade_trusted_roots", Help: "Roots in the trust bundle; more than one while a root is being replaced.",
	}, func() float64 { return float64(len(a.get().Bundle(a.now()))) })
	serving := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "crossfade_serving_certificate_expiry_timestamp_seconds", Help: "When the controller's own certificate ends, which it shows to proxies and as a webhook, in seconds since 1970; 0 before there is one.",
	}, func() float64 { return float64(a.servingUntil()) })
	if err := registerAll(registry, m.requests, m.refusals, signing, roots, serving); err != nil {
		return nil, err
	}
	m.requests.WithLabelValues(certificates.ResultIssued)
	for _, r := range identity.Reasons() {
		m.requests.WithLabelValues(string(r))
		m.refusals.WithLabelValues(string(r))
	}
	return m, nil
}

func (m *authorityMeters) request(result string) { m.requests.WithLabelValues(result).Inc() }
func (m *authorityMeters) refused(reason identity.Reason) {
	m.refusals.WithLabelValues(string(reason)).Inc()
}
