package agent

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// labels says in Envoy's metrics who asks whom. One of the two is the proxy's own pod.
// Envoy itself could add labels of the pod's to all metrics or to none: they would be
// the source in one and the destination in the next.
type labels struct{ workload, namespace, revision string }

// Those of the other side.
const (
	labelNamespace = "namespace"
	labelService   = "service"
	// outboundMetrics begins those of clusters. The ones with a namespace and a service
	// are about requests of the pod.
	outboundMetrics = "envoy_cluster_"
	// unknown stands for who has no identity: a client outside the mesh.
	unknown = "unknown"
	// longestLine bounds what a line may take: names of Kubernetes' are short.
	longestLine = 1 << 20
)

// rewrite copies a page of metrics, line by line: it can have many megabytes.
func (l labels) rewrite(to io.Writer, page io.Reader) error {
	out := bufio.NewWriter(to)
	lines := bufio.NewScanner(page)
	lines.Buffer(make([]byte, 0, 64<<10), longestLine)
	for lines.Scan() {
		l.line(out, lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read Envoy's metrics: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("send metrics: %w", err)
	}
	return nil
}

// line writes one line. A sample is NAME{LABELS} VALUE; everything else stays as it is.
// Errors of out are told by its Flush.
func (l labels) line(out *bufio.Writer, line []byte) {
	name, rest, found := bytes.Cut(line, []byte("{"))
	end := bytes.LastIndexByte(rest, '}')
	var more string
	if found && end >= 0 && line[0] != '#' {
		more = l.more(string(name), string(rest[:end]))
	}
	if more == "" {
		_, _ = out.Write(line)
	} else {
		_, _ = out.Write(name)
		_, _ = fmt.Fprintf(out, "{%s%s", more, rest)
	}
	_ = out.WriteByte('\n')
}

// more are the labels that a sample gets in front of those that it has, each with a
// comma.
func (l labels) more(name, has string) string {
	switch {
	case strings.HasPrefix(name, xds.MeterPrefix):
		namespace, account := callerOf(value(has, xds.PeerTag))
		return text("source_namespace", namespace) + text("source_service_account", account) +
			text("destination_workload", l.workload) + text("destination_namespace", l.namespace) + text("revision", l.revision)
	case strings.HasPrefix(name, outboundMetrics):
		service := value(has, labelService)
		if service == "" {
			return ""
		}
		return text("source_workload", l.workload) + text("source_namespace", l.namespace) +
			text("destination_namespace", value(has, labelNamespace)) + text("destination_service", service)
	default:
		return ""
	}
}

// text is a label, or nothing for one without a value, which says nothing. The values
// are names of Kubernetes', in which nothing has to be escaped.
func text(name, value string) string {
	if value == "" {
		return ""
	}
	return name + `="` + value + `",`
}

// value finds a label's value among others, "" where it is not there.
func value(labels, name string) string {
	rest, found := strings.CutPrefix(labels, name+`="`)
	if !found {
		_, rest, found = strings.Cut(labels, ","+name+`="`)
	}
	if !found {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// callerOf takes spiffe://<trust domain>/ns/<namespace>/sa/<account> apart.
func callerOf(peer string) (namespace, account string) {
	parts := strings.Split(peer, "/")
	if len(parts) != 7 || parts[3] != "ns" || parts[5] != "sa" {
		return unknown, unknown
	}
	return parts[4], parts[6]
}
