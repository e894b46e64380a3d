package ir

import "slices"

// Equal says whether two Services give the same configuration. It compares by
// value and stops at the first difference, so that ten thousand unchanged
// Services cost about as much as reading them.
func (s Service) Equal(o Service) bool {
	return s.ServiceKey == o.ServiceKey && s.PerRevision == o.PerRevision && s.Total == o.Total &&
		s.Headless == o.Headless && slices.Equal(s.ClusterIPs, o.ClusterIPs) &&
		s.Policy.Equal(o.Policy) && slices.EqualFunc(s.Ports, o.Ports, Port.Equal)
}

// Equal says whether two ports give the same configuration.
func (p Port) Equal(o Port) bool {
	return p.Number == o.Number && p.Name == o.Name && p.Protocol == o.Protocol &&
		slices.EqualFunc(p.Revisions, o.Revisions, Revision.Equal) && p.Traffic.Equal(o.Traffic) && slices.Equal(p.Pods, o.Pods)
}

// Equal says whether two revisions have the same weight, endpoints and exceptions.
func (r Revision) Equal(o Revision) bool {
	return r.Name == o.Name && r.Weight == o.Weight && r.NoEjection == o.NoEjection && slices.Equal(r.Endpoints, o.Endpoints)
}

// Equal says whether two listeners do the same with every request.
func (l Listener) Equal(o Listener) bool {
	return l.Name == o.Name && l.Port == o.Port && l.BindPort == o.BindPort &&
		slices.EqualFunc(l.VirtualHosts, o.VirtualHosts, VirtualHost.Equal)
}

// Equal says whether two virtual hosts do the same with every request.
func (v VirtualHost) Equal(o VirtualHost) bool {
	return v.Domain == o.Domain && slices.EqualFunc(v.Routes, o.Routes, Route.Equal)
}

// Equal says whether two routes do the same with every request, and are named
// alike.
func (r Route) Equal(o Route) bool {
	return r.Origin == o.Origin && r.Invalid == o.Invalid && r.Match.Equal(o.Match) &&
		slices.Equal(r.Backends, o.Backends)
}

// Equal says whether two conditions hold for the same requests.
func (m Match) Equal(o Match) bool {
	return m.Path == o.Path && m.Method == o.Method && slices.Equal(m.Headers, o.Headers)
}
