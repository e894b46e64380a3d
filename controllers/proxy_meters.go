package controllers

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crossfade-dev/crossfade/proxy/server"
)

// Values of the label version: how a proxy's version compares to the controller's.
// What a proxy says is no value: every pod could make as many series as it likes.
const (
	versionSame    = "same"
	versionOther   = "other"
	versionUnknown = "unknown"
)

// proxyMeters are what the xDS server knows of its proxies, read when Prometheus
// asks.
type proxyMeters struct {
	proxies *server.Server
	version string

	connected, rejections, unanswered, build *prometheus.Desc
}

// registerProxyMeters registers the metrics of proxies; version is this program's.
func registerProxyMeters(registry prometheus.Registerer, proxies *server.Server, version string) error {
	return registry.Register(&proxyMeters{
		proxies: proxies, version: version,
		connected: prometheus.NewDesc("crossfade_proxies_connected",
			"Proxies with a stream to this controller, by how their version of Crossfade compares to the controller's.", []string{"version"}, nil),
		rejections: prometheus.NewDesc("crossfade_proxy_rejections_total", "Configurations that a proxy refused (NACK).", nil, nil),
		unanswered: prometheus.NewDesc("crossfade_proxy_unanswered_seconds",
			"How long the configuration that has waited longest for a proxy's answer has been on its way; 0 when none is.", nil, nil),
		build: prometheus.NewDesc("crossfade_controller_info", "1, with the version of this controller.", []string{"version"}, nil),
	})
}

// Describe is prometheus.Collector's.
func (m *proxyMeters) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.connected, m.rejections, m.unanswered, m.build} {
		out <- d
	}
}

// Collect is prometheus.Collector's.
func (m *proxyMeters) Collect(out chan<- prometheus.Metric) {
	for kind, n := range m.compare(m.proxies.Versions()) {
		out <- prometheus.MustNewConstMetric(m.connected, prometheus.GaugeValue, float64(n), kind)
	}
	out <- prometheus.MustNewConstMetric(m.rejections, prometheus.CounterValue, float64(m.proxies.Rejections()))
	out <- prometheus.MustNewConstMetric(m.unanswered, prometheus.GaugeValue, m.proxies.Unanswered().Seconds())
	out <- prometheus.MustNewConstMetric(m.build, prometheus.GaugeValue, 1, m.version)
}

// compare sums versions up. All kinds are there, those of which there is no proxy too.
func (m *proxyMeters) compare(versions map[string]int) map[string]int {
	kinds := map[string]int{versionSame: 0, versionOther: 0, versionUnknown: 0}
	for version, n := range versions {
		switch version {
		case m.version:
			kinds[versionSame] += n
		case "":
			kinds[versionUnknown] += n
		default:
			kinds[versionOther] += n
		}
	}
	return kinds
}
