package xds

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// The members of a line of the access log, with Envoy's words for their values. The
// query of a request is left out: people put secrets there.
func requestLine(line map[string]string) map[string]string {
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
		"flags":          "%RESPONSE_FLAGS%",
		"details":        "%CONNECTION_TERMINATION_DETAILS%",
		"duration_ms":    "%DURATION%",
		"bytes_received": "%BYTES_RECEIVED%",
		"bytes_sent":     "%BYTES_SENT%",
		"source":         "%DOWNSTREAM_REMOTE_ADDRESS%",
		"destination":    "%DOWNSTREAM_LOCAL_ADDRESS%",
	}
}

// inboundLine is about a connection to the pod: the peer is who connects.
func inboundLine() map[string]string {
	line := connectionLine()
	line["direction"] = "inbound"
	line["peer"] = "%DOWNSTREAM_PEER_URI_SAN%"
	line["tls"] = "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%"
	return line
}

// outboundLine is about a connection of the pod: the peer is who answers. The address
// that the application wanted is the destination, the one that it got the upstream.
func outboundLine() map[string]string {
	line := connectionLine()
	line["direction"] = "outbound"
	line["peer"] = "%UPSTREAM_PEER_URI_SAN%"
	line["tls"] = "%UPSTREAM_TRANSPORT_FAILURE_REASON%"
	line["cluster"] = "%UPSTREAM_CLUSTER%"
	line["upstream"] = "%UPSTREAM_HOST%"
	return line
}

func outboundRequestLine() map[string]string {
	line := requestLine(outboundLine())
	line["attempts"] = "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"
	return line
}

// What the lines are about that are written although no log was asked for: what was
// refused, which nobody should have to guess.
const (
	deniedRequests = `has(response.code_details) && response.code_details.startsWith('rbac_access_denied')`
	// Who connects has no identity, or another one.
	deniedConnections = `has(connection.transport_failure_reason) && connection.transport_failure_reason.contains('CERTIFICATE')`
)

// requestLogs counts requests, and writes what a policy asks for to the standard output
// of the proxy. It does not depend on who is allowed: that comes and goes without a
// change of the listener.
func requestLogs(telemetry ir.Telemetry) ([]*accesslogv3.AccessLog, error) {
	expression := deniedRequests
	if telemetry.AccessLog {
		expression = ""
	}
	logs, err := makeLog(requestLine(inboundLine()), expression)
	if err != nil {
		return nil, err
	}
	meter, err := makeRequestMeter()
	return append(logs, meter), err
}

// connectionLogs is requestLogs for connections of which nothing more is known.
func connectionLogs(telemetry ir.Telemetry) ([]*accesslogv3.AccessLog, error) {
	var logs []*accesslogv3.AccessLog
	if telemetry.AccessLog {
		var err error
		if logs, err = makeLog(inboundLine(), ""); err != nil {
			return nil, err
		}
	}
	meter, err := makeConnectionMeter()
	return append(logs, meter), err
}

// outboundConnectionLogs is about connections of the pod in which no requests can be
// told apart.
func outboundConnectionLogs(telemetry ir.Telemetry) ([]*accesslogv3.AccessLog, error) {
	if !telemetry.AccessLog {
		return nil, nil
	}
	return makeLog(outboundLine(), "")
}

// deniedConnectionLog is for those that end before there is anything to do with them.
func deniedConnectionLog() ([]*accesslogv3.AccessLog, error) {
	logs, err := makeLog(inboundLine(), deniedConnections)
	if err != nil {
		return nil, err
	}
	homeless := &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
		ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{"NR"}},
	}}
	logs[0].Filter = &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_OrFilter{
		OrFilter: &accesslogv3.OrFilter{Filters: []*accesslogv3.AccessLogFilter{homeless, logs[0].GetFilter()}},
	}}
	return logs, nil
}

// makeLog writes the lines for which an expression is true.
func makeLog(line map[string]string, expression string) ([]*accesslogv3.AccessLog, error) {
	fields := map[string]*structpb.Value{}
	for key, format := range line {
		fields[key] = structpb.NewStringValue(format)
	}
	config, err := pack(&streamv3.StdoutAccessLog{AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{
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
	if expression == "" {
		return []*accesslogv3.AccessLog{log}, nil
	}
	filter, err := pack(&celv3.ExpressionFilter{Expression: expression})
	if err != nil {
		return nil, err
	}
	log.Filter = &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{
		ExtensionFilter: &accesslogv3.ExtensionFilter{
			Name:       "envoy.access_loggers.extension_filters.cel",
			ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: filter},
		},
	}}
	return []*accesslogv3.AccessLog{log}, nil
}
