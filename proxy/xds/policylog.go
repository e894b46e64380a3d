package xds

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// The members of a line of the access log, with Envoy's words for their values. The
// query of a request is left out: people put secrets there.
func requestLine() map[string]string {
	line := connectionLine()
	line["method"] = "%REQ(:METHOD)%"
	line["path"] = "%PATH(NQ:ORIG_OR_PATH)%"
	line["authority"] = "%REQ(:AUTHORITY)%"
	line["protocol"] = "%PROTOCOL%"
	line["status"] = "%RESPONSE_CODE%"
	line["details"] = "%RESPONSE_CODE_DETAILS%"
	line["user_agent"] = "%REQ(USER-AGENT)%"
	line["request_id"] = "%REQ(X-REQUEST-ID)%"
	line["traceparent"] = "%REQ(TRACEPARENT)%"
	return line
}

func connectionLine() map[string]string {
	return map[string]string{
		"time":           "%START_TIME%",
		"direction":      "inbound",
		"flags":          "%RESPONSE_FLAGS%",
		"details":        "%CONNECTION_TERMINATION_DETAILS%",
		"duration_ms":    "%DURATION%",
		"bytes_received": "%BYTES_RECEIVED%",
		"bytes_sent":     "%BYTES_SENT%",
		"peer":           "%DOWNSTREAM_PEER_URI_SAN%",
		"source":         "%DOWNSTREAM_REMOTE_ADDRESS%",
		"destination":    "%DOWNSTREAM_LOCAL_ADDRESS%",
	}
}

// deniedFlag is what Envoy marks requests and connections with that its access rules
// refuse.
const deniedFlag = "UAEX"

// inboundLogs writes what a policy asks for to the standard output of the proxy: all, or
// else what is refused, which nobody should have to guess.
func inboundLogs(in ir.Inbound, line map[string]string) ([]*accesslogv3.AccessLog, error) {
	if !in.AccessLog && !restricts(in.Access) {
		return nil, nil
	}
	fields := map[string]*structpb.Value{}
	for key, format := range line {
		fields[key] = structpb.NewStringValue(format)
	}
	config, err := anypb.New(&streamv3.StdoutAccessLog{AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{
		LogFormat: &corev3.SubstitutionFormatString{
			Format:          &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{Fields: fields}},
			OmitEmptyValues: true,
		},
	}})
	if err != nil {
		return nil, err
	}
	log := &accesslogv3.AccessLog{
		Name:       "envoy.access_loggers.stdout",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: config},
	}
	if !in.AccessLog {
		log.Filter = &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
			ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{deniedFlag}},
		}}
	}
	return []*accesslogv3.AccessLog{log}, nil
}
