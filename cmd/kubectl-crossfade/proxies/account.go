// Package proxies shows which proxy has confirmed what of a Rollout's weights: by the
// controller's account, and, where that is asked for, by the Envoys' own.
package proxies

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// page is the controller's debug page, as far as it is read.
type page struct {
	Proxies []proxy `json:"proxies"`
	// Acks is missing in the page of an older controller.
	Acks []ack `json:"acks"`
}

// proxy is one that has a stream.
type proxy struct {
	Node           string    `json:"node"`
	View           string    `json:"view"`
	Version        string    `json:"version"`
	ConnectedSince time.Time `json:"connectedSince"`
	Types          map[string]struct {
		LastError string              `json:"lastError"`
		Resources map[string]resource `json:"resources"`
	} `json:"types"`
}

type resource struct {
	Acked    string `json:"acked"`
	Sent     string `json:"sent"`
	Rejected string `json:"rejected"`
}

// ack is what a proxy has confirmed of a Service's weights.
type ack struct {
	Node     string  `json:"node"`
	Current  bool    `json:"current"`
	Rejected string  `json:"rejected"`
	Unknown  bool    `json:"unknown"`
	Acked    []split `json:"acked"`
}

type split struct {
	Port    uint32            `json:"port"`
	Total   uint32            `json:"total"`
	Weights map[string]uint32 `json:"weights"`
	Matches bool              `json:"matches"`
}

const (
	routeType   = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	clusterType = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
)

// Row is one proxy of the table. Fields are only ever added to it.
type Row struct {
	Proxy string `json:"proxy"`
	// Kind is gateway or sidecar, or what a newer controller calls it.
	Kind    string     `json:"kind"`
	Version string     `json:"version,omitempty"`
	Since   *time.Time `json:"connectedSince,omitempty"`
	// Weight is the canary's share that the proxy has confirmed, such as 25/100.
	Weight string `json:"weight,omitempty"`
	// State is Acked, OnItsWay, Rejected, NoStream or Unknown; Message says more.
	State   string `json:"state"`
	Message string `json:"message,omitempty"`
	// Envoy is what the proxy itself says; empty when it was not asked.
	Envoy *Answer `json:"envoy,omitempty"`
}

// States of a row.
const (
	stateAcked    = "Acked"
	stateOnItsWay = "OnItsWay"
	stateRejected = "Rejected"
	stateNoStream = "NoStream"
	stateUnknown  = "Unknown"
)

// rows are the proxies that route to a Service, sorted by name. canary is the revision
// whose share is shown; empty when none is on its way.
func rows(p page, service, canary string) []Row {
	acks := map[string]ack{}
	for _, a := range p.Acks {
		acks[a.Node] = a
	}
	var list []Row
	for _, proxy := range p.Proxies {
		a, known := acks[proxy.Node]
		if p.Acks == nil {
			known = proxy.routesTo(service)
		}
		if !known {
			continue
		}
		since := proxy.ConnectedSince.UTC()
		row := Row{Proxy: proxy.Node, Kind: kindOf(proxy.View), Version: proxy.Version, Since: &since}
		if p.Acks == nil {
			row.State, row.Message = proxy.state()
		} else {
			row.State, row.Message = a.state()
			row.Weight = a.weight(canary)
		}
		list = append(list, row)
	}
	slices.SortFunc(list, func(a, b Row) int { return cmp.Compare(a.Proxy, b.Proxy) })
	return list
}

func kindOf(view string) string {
	kind, _, _ := strings.Cut(view, "/")
	return kind
}

func (a ack) state() (state, message string) {
	switch {
	case a.Rejected != "":
		return stateRejected, a.Rejected
	case a.Unknown:
		return stateUnknown, "it still uses a configuration from before this controller's start"
	case !a.Current:
		return stateOnItsWay, "not confirmed yet"
	}
	return stateAcked, ""
}

// weight is the smallest share over all ports and routes: what the status calls acked.
func (a ack) weight(canary string) string {
	var least *split
	for i := range a.Acked {
		s := &a.Acked[i]
		if least == nil || uint64(s.Weights[canary])*uint64(least.Total) < uint64(least.Weights[canary])*uint64(s.Total) {
			least = s
		}
	}
	if least == nil {
		return ""
	}
	text := fmt.Sprintf("%d/%d", least.Weights[canary], least.Total)
	if least.Matches {
		text += " and matches"
	}
	return text
}

// routesTo reads from the clusters that a proxy has whether it routes to a Service;
// that is all that an older controller's page says.
func (p proxy) routesTo(service string) bool {
	for name := range p.Types[clusterType].Resources {
		if strings.HasPrefix(name, clusterPrefix(service)) {
			return true
		}
	}
	return false
}

func clusterPrefix(service string) string { return "out|" + service + "|" }

// state is that of the routes of a proxy whose weights the page does not show.
func (p proxy) state() (state, message string) {
	routes := p.Types[routeType].Resources
	for _, name := range slices.Sorted(maps.Keys(routes)) {
		switch r := routes[name]; {
		case r.Rejected != "":
			return stateRejected, r.Rejected
		case r.Acked != r.Sent:
			return stateOnItsWay, name
		}
	}
	return stateAcked, ""
}
