package proxies

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// dump is Envoy's own account of its routes, as far as it is read.
type dump struct {
	Configs []struct {
		VersionInfo string `json:"version_info"`
		RouteConfig struct {
			Name         string `json:"name"`
			VirtualHosts []struct {
				Routes []route `json:"routes"`
			} `json:"virtual_hosts"`
		} `json:"route_config"`
		ErrorState *struct {
			Details string `json:"details"`
		} `json:"error_state"`
	} `json:"configs"`
}

type route struct {
	Name  string `json:"name"`
	Route struct {
		Cluster          string `json:"cluster"`
		WeightedClusters struct {
			Clusters []struct {
				Name   string `json:"name"`
				Weight uint32 `json:"weight"`
			} `json:"clusters"`
		} `json:"weighted_clusters"`
	} `json:"route"`
}

// Answer is what an Envoy says of itself, compared with the controller's account.
type Answer struct {
	// Agrees says that each of its routes to the Service has the version that the
	// controller counts as confirmed by it.
	Agrees bool `json:"agrees"`
	// Routes are how the requests are divided there, each way once: revisions and
	// weights.
	Routes []string `json:"routes"`
	// Message says what differs, or why it could not be asked.
	Message string `json:"message,omitempty"`
}

// compare reads an Envoy's account. A route counts when it leads to the Service, and
// its version is the controller's own name for its bytes: with delta xDS Envoy keeps
// that for each resource.
func compare(raw []byte, p proxy, service string) Answer {
	var d dump
	if err := json.Unmarshal(raw, &d); err != nil {
		return Answer{Routes: []string{}, Message: fmt.Sprintf("its answer cannot be read: %v", err)}
	}
	acked := p.Types[routeType].Resources
	divided := map[string]bool{}
	var differs []string
	found := false
	for _, c := range d.Configs {
		before := len(divided)
		for _, host := range c.RouteConfig.VirtualHosts {
			for _, r := range host.Routes {
				if text := r.divides(service); text != "" {
					divided[text], found = true, true
				}
			}
		}
		if len(divided) == before && !leads(acked, c.RouteConfig.Name, service) {
			continue
		}
		switch want := acked[c.RouteConfig.Name].Acked; {
		case want != c.VersionInfo:
			differs = append(differs, fmt.Sprintf("%s has version %s, confirmed is %s", c.RouteConfig.Name, orNone(c.VersionInfo), orNone(want)))
		case c.ErrorState != nil && c.ErrorState.Details != "":
			differs = append(differs, fmt.Sprintf("%s refused a newer version: %s", c.RouteConfig.Name, c.ErrorState.Details))
		}
	}
	a := Answer{Agrees: found && len(differs) == 0, Routes: slices.Sorted(maps.Keys(divided)), Message: strings.Join(differs, "; ")}
	if a.Routes == nil {
		a.Routes = []string{}
	}
	if !found && a.Message == "" {
		a.Message = "it has no route to the Service"
	}
	return a
}

// leads says whether a route table is the Service's own, whose routes may be divided
// in a way that another table has, too.
func leads(acked map[string]resource, name, service string) bool {
	_, known := acked[name]
	return known && strings.HasPrefix(name, service+":")
}

func orNone(version string) string {
	if version == "" {
		return "none"
	}
	return version
}

// divides says how a route divides the requests for a Service; empty when it leads
// somewhere else.
func (r route) divides(service string) string {
	weights := map[string]uint32{}
	if revision, ok := revisionOf(r.Route.Cluster, service); ok {
		weights[revision] = 1
	}
	for _, c := range r.Route.WeightedClusters.Clusters {
		if revision, ok := revisionOf(c.Name, service); ok {
			weights[revision] += c.Weight
		}
	}
	if len(weights) == 0 {
		return ""
	}
	var words []string
	for _, revision := range slices.Sorted(maps.Keys(weights)) {
		words = append(words, revision+" "+strconv.FormatUint(uint64(weights[revision]), 10))
	}
	text := strings.Join(words, ", ")
	if r.Name != "" && (strings.Contains(r.Name, "match-") || strings.Contains(r.Name, "audience-")) {
		text += " where a match holds"
	}
	return text
}

// revisionOf takes a cluster's name apart: out|NAMESPACE/SERVICE|PORT|REVISION.
func revisionOf(cluster, service string) (revision string, ok bool) {
	rest, ok := strings.CutPrefix(cluster, clusterPrefix(service))
	if !ok {
		return "", false
	}
	_, revision, ok = strings.Cut(rest, "|")
	return revision, ok
}
