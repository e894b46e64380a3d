package xds

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	statsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The statistics of what a pod is asked, by who asks. Envoy's own know only the other
// direction: where requests go is in the names of clusters, and who asks in nobody's.
const (
	// MeterPrefix begins the names of what meters count, as Prometheus sees them.
	MeterPrefix = "envoy_inbound_"
	// PeerTag is the identity in the certificate of who asks, empty for cleartext.
	PeerTag = "peer"
	// classTag is the same label that Envoy's own statistics have.
	classTag = "envoy.response_code_class"
)

// What one meter may count at most. Every ServiceAccount that ever asked is one more:
// nobody outside the mesh can make any, but whoever may create ServiceAccounts can make
// many.
const (
	mostMeterCounters   = 5000
	mostMeterHistograms = 500
)

// A label that a client could write (a path, a host, a header) must not be among
// these: each of its values would be kept for as long as the proxy lives.
func peerTag() *statsv3.Config_Tag {
	return &statsv3.Config_Tag{Name: PeerTag, ValueFormat: "%DOWNSTREAM_PEER_URI_SAN%"}
}

// makeRequestMeter counts the requests to the pod, their bytes and their time.
func makeRequestMeter() (*accesslogv3.AccessLog, error) {
	// The first digit of the status.
	class := &statsv3.Config_Tag{Name: classTag, ValueFormat: "%RESP(:STATUS):1%"}
	requests := meterCounter("requests_total", peerTag(), class)
	requests.ValueFixed = wrapperspb.UInt64(1)
	return makeMeter(&statsv3.Config{
		Counters: []*statsv3.Config_Counter{
			requests,
			bytesCounter("received_bytes_total", "%BYTES_RECEIVED%"),
			bytesCounter("sent_bytes_total", "%BYTES_SENT%"),
		},
		Histograms: []*statsv3.Config_Histogram{{
			Stat:        &statsv3.Config_Stat{Name: "request_milliseconds", Tags: []*statsv3.Config_Tag{peerTag()}},
			Unit:        statsv3.Config_Histogram_Milliseconds,
			ValueFormat: "%DURATION%",
		}},
	})
}

// makeConnectionMeter counts the connections to the pod in which no requests are told
// apart, and their bytes, when they end.
func makeConnectionMeter() (*accesslogv3.AccessLog, error) {
	connections := meterCounter("connections_total", peerTag())
	connections.ValueFixed = wrapperspb.UInt64(1)
	return makeMeter(&statsv3.Config{Counters: []*statsv3.Config_Counter{
		connections,
		bytesCounter("connection_received_bytes_total", "%BYTES_RECEIVED%"),
		bytesCounter("connection_sent_bytes_total", "%BYTES_SENT%"),
	}})
}

func meterCounter(name string, tags ...*statsv3.Config_Tag) *statsv3.Config_Counter {
	return &statsv3.Config_Counter{Stat: &statsv3.Config_Stat{Name: name, Tags: tags}}
}

func bytesCounter(name, format string) *statsv3.Config_Counter {
	counter := meterCounter(name, peerTag())
	counter.ValueFormat = format
	return counter
}

// makeMeter adds to the same statistics wherever it is: they are one by their name.
// They could share a scope by a name, too, and with that their bounds; but Envoy 1.40
// then crashes when it ends (a segmentation fault in its destructors).
func makeMeter(config *statsv3.Config) (*accesslogv3.AccessLog, error) {
	config.StatsScope = &typev3.Scope{
		Prefix:      "inbound",
		MaxCounters: wrapperspb.UInt32(mostMeterCounters), MaxHistograms: wrapperspb.UInt32(mostMeterHistograms),
	}
	packed, err := pack(config)
	if err != nil {
		return nil, err
	}
	return &accesslogv3.AccessLog{
		Name:       "envoy.access_loggers.stats",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed},
	}, nil
}
