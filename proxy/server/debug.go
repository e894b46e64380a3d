package server

import (
	"encoding/json"
	"net/http"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// Debug returns a read-only handler that lists the connected proxies as JSON, with what was sent to each, what it acked
// and what it rejected. With ?service=NAMESPACE/NAME it adds what each proxy that routes to that Service has confirmed
// of its weights. It shows names, versions and weights only, and is meant for a loopback listener.
func (s *Server) Debug() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "read only", http.StatusMethodNotAllowed)
			return
		}
		page := map[string]any{"proxies": s.Proxies()}
		if service := r.URL.Query().Get("service"); service != "" {
			page["service"], page["acks"] = service, shownAcks(s.ServiceAcks(service))
		}
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(page); err != nil {
			s.options.Logger.V(1).Info("Debug page not written", "reason", err.Error())
		}
	})
}

// shownAck is a ServiceAck as the debug page has it.
type shownAck struct {
	Node     string       `json:"node"`
	Version  string       `json:"version,omitempty"`
	Current  bool         `json:"current"`
	Rejected string       `json:"rejected,omitempty"`
	Unknown  bool         `json:"unknown,omitempty"`
	Acked    []shownSplit `json:"acked"`
}

// shownSplit is how the requests of one port are divided; Matches says that some are told apart by more than weights.
type shownSplit struct {
	Port    uint32            `json:"port"`
	Total   uint32            `json:"total"`
	Weights map[string]uint32 `json:"weights"`
	Matches bool              `json:"matches,omitempty"`
}

func shownAcks(acks []ServiceAck) []shownAck {
	shown := make([]shownAck, 0, len(acks))
	for _, a := range acks {
		shown = append(shown, shownAck{
			Node: a.Node, Version: a.Version, Current: a.Current, Rejected: a.Rejected, Unknown: a.Unknown, Acked: shownSplits(a.Acked),
		})
	}
	return shown
}

func shownSplits(splits []xds.Split) []shownSplit {
	shown := make([]shownSplit, 0, len(splits))
	for _, s := range splits {
		shown = append(shown, shownSplit{Port: s.Port, Total: s.Total, Weights: s.Weights, Matches: s.Traffic != ""})
	}
	return shown
}
