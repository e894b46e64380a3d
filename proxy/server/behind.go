package server

// Behind returns the nodes of connected proxies that have not acked all that is
// published for them, and of those that have; both sorted, and only of proxies that
// concern the caller, by node and view. Proxies that are not connected are in neither: whoever must
// not miss one has to know from elsewhere that it exists.
func (s *Server) Behind(concerns func(node, view string) bool) (behind, settled []string) {
	for _, c := range s.newest() {
		if !concerns(c.node, c.viewName) {
			continue
		}
		c.mu.Lock()
		c.stream.advance(c.view.world.Load())
		done := c.stream.settled()
		c.mu.Unlock()
		if done {
			settled = append(settled, c.node)
		} else {
			behind = append(behind, c.node)
		}
	}
	return behind, settled
}

// settled says whether the proxy has acked all that is published for it. One that has
// not asked for clusters and listeners yet has not begun.
func (s *stream) settled() bool {
	for k := range kinds {
		t := &s.types[k]
		if !t.seen && (k == clusters || k == listeners) {
			return false
		}
		if t.flight != nil || s.owes(k) {
			return false
		}
		for name := range t.rejected {
			if published := s.world.all[k][name]; published != nil {
				if _, refused := t.refusal(name, published.Version); refused {
					return false
				}
			}
		}
	}
	return true
}

// owes says whether something is still to be told that changes what the proxy does. What only waits to be taken away,
// because a listener that is gone drains for a while and may use it so long, does not: in a mesh where Services come
// and go every few seconds there would be no proxy that is not behind.
func (s *stream) owes(k kind) bool {
	for name := range s.types[k].todo {
		if k == listeners || s.world.all[k][name] != nil {
			return true
		}
	}
	return false
}
