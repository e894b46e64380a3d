package server

import (
	"encoding/json"
	"net/http"
)

// Debug returns a read-only handler that lists the connected proxies as JSON, with what was sent to each, what it acked
// and what it rejected. It shows names and versions only, and is meant for a loopback listener.
func (s *Server) Debug() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "read only", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(map[string]any{"proxies": s.Proxies()}); err != nil {
			s.options.Logger.V(1).Info("Debug page not written", "reason", err.Error())
		}
	})
}
