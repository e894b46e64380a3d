// Package probe is what the injector and the agent say to each other about an
// application's probes. Where all inbound traffic has to be mTLS the kubelet
// cannot reach the application any more, so the injector points its probes at
// the agent, and hands the agent the originals in a Table.
package probe

import (
	"encoding/json"
	"fmt"
	"strings"
)

const (
	// Path is what the paths of rewritten probes begin with; the key in the Table
	// follows.
	Path = "/probe/"
	// Variable is the environment variable of the agent that holds the Table.
	Variable = "CROSSFADE_PROBES"
)

// Kind says which of a container's probes or hooks it is.
type Kind string

// The probes and hooks that the kubelet asks a container for.
const (
	Liveness  Kind = "liveness"
	Readiness Kind = "readiness"
	Startup   Kind = "startup"
	PostStart Kind = "postStart"
	PreStop   Kind = "preStop"
)

// Hook says whether it is a hook of the container's life: the kubelet does not
// look at the answer's status then, and waits as long as the pod's grace period
// allows.
func (k Kind) Hook() bool { return k == PostStart || k == PreStop }

// Probe is one original. Exactly one of HTTP, TCP and GRPC is set.
type Probe struct {
	HTTP *HTTP `json:"http,omitempty"`
	TCP  *TCP  `json:"tcp,omitempty"`
	GRPC *GRPC `json:"grpc,omitempty"`
	// TimeoutSeconds is after how long the kubelet takes no answer for a failure;
	// 0 for hooks.
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
}

// HTTP is a GET. The path may have a query.
type HTTP struct {
	Scheme  string   `json:"scheme,omitempty"` // HTTP if empty, or HTTPS
	Port    int32    `json:"port"`
	Path    string   `json:"path,omitempty"`
	Headers []Header `json:"headers,omitempty"`
}

// Header is one header of a GET; a name may occur more than once.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// TCP succeeds when a connection can be opened.
type TCP struct {
	Port int32 `json:"port"`
}

// GRPC asks gRPC's health service.
type GRPC struct {
	Port    int32  `json:"port"`
	Service string `json:"service,omitempty"`
}

// Key is the name of a probe in a Table, and the end of its path.
func Key(container string, kind Kind) string { return container + "/" + string(kind) }

// KindOf returns the kind that a key names.
func KindOf(key string) Kind { return Kind(key[strings.LastIndexByte(key, '/')+1:]) }

// Table holds the originals by Key.
type Table map[string]Probe

// Encode returns the value of Variable. A dollar sign is doubled, because the
// kubelet replaces $(NAME) in the values of variables, but never in probes.
func (t Table) Encode() (string, error) {
	if len(t) == 0 {
		return "", nil
	}
	raw, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("encode probes: %w", err)
	}
	return strings.ReplaceAll(string(raw), "$", "$$"), nil
}

// Decode reads what Encode wrote, as it stands in a pod.
func Decode(text string) (Table, error) {
	return Parse(strings.ReplaceAll(text, "$$", "$"))
}

// Parse reads what Encode wrote, as the kubelet hands it to a process.
func Parse(text string) (Table, error) {
	t := Table{}
	if text == "" {
		return t, nil
	}
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return nil, fmt.Errorf("read probes: %w", err)
	}
	for key, p := range t {
		if err := p.validate(); err != nil {
			return nil, fmt.Errorf("read probe %s: %w", key, err)
		}
	}
	return t, nil
}

func (p Probe) validate() error {
	var ports []int32
	if p.HTTP != nil {
		ports = append(ports, p.HTTP.Port)
	}
	if p.TCP != nil {
		ports = append(ports, p.TCP.Port)
	}
	if p.GRPC != nil {
		ports = append(ports, p.GRPC.Port)
	}
	if len(ports) != 1 {
		return fmt.Errorf("%d of http, tcp and grpc are set: want one", len(ports))
	}
	if ports[0] < 1 || ports[0] > 65535 {
		return fmt.Errorf("%d is no port", ports[0])
	}
	return nil
}
