package xds

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// Problem is something that a proxy would reject, or that would leave it without
// an answer.
type Problem struct {
	// Resource is the name of the resource, Host the virtual host in it, if it is one.
	Resource, Host string
	Message        string
}

// String is the problem as one line.
func (p Problem) String() string {
	if p.Host == "" {
		return fmt.Sprintf("%s: %s", p.Resource, p.Message)
	}
	return fmt.Sprintf("%s, host %s: %s", p.Resource, p.Host, p.Message)
}

// Check finds what a proxy would reject in a snapshot, and references that lead
// nowhere. The checks are our own because a proxy rejects a whole table for one bad
// host, and the validators that come with Envoy's API find none of these. It reads
// every resource: Translate checks only what it makes.
func Check(s *Snapshot) []Problem {
	problems := checkReferences(s)
	for _, name := range slices.Sorted(maps.Keys(s.Routes)) {
		config := &routev3.RouteConfiguration{}
		if err := s.Routes[name].Body.UnmarshalTo(config); err != nil {
			problems = append(problems, Problem{Resource: name, Message: err.Error()})
			continue
		}
		hosts := hostChecker{table: name, domains: map[string]string{}}
		for _, host := range config.GetVirtualHosts() {
			problems = append(problems, hosts.check(host)...)
		}
	}
	return problems
}

// checkReferences finds routes to clusters and listeners to routes that are not
// there, and clusters whose endpoints are not.
func checkReferences(s *Snapshot) []Problem {
	var problems []Problem
	resolve := func(name string, references []string, targets map[string]*Resource, kind string) {
		for _, target := range references {
			if targets[target] == nil {
				problems = append(problems, Problem{Resource: name, Message: fmt.Sprintf("there is no %s %s", kind, target)})
			}
		}
	}
	for name, r := range s.Routes {
		resolve(name, r.References, s.Clusters, "cluster")
	}
	for name, r := range s.Listeners {
		resolve(name, r.References, s.Routes, "route configuration")
		resolve(name, r.Clusters, s.Clusters, "cluster")
	}
	for name, r := range s.Clusters {
		if s.Endpoints[name] == nil && !r.Direct {
			problems = append(problems, Problem{Resource: name, Message: "the cluster has no endpoints, not even none"})
		}
	}
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Message, b.Message))
	})
	return problems
}

// hostChecker checks the virtual hosts of one table, one after the other.
type hostChecker struct {
	table string
	// domains are those that were seen, in lower case, with their virtual host.
	domains map[string]string
}

// check finds what is wrong with one virtual host. The domains of one without a
// problem are taken; those of another are not.
func (c hostChecker) check(host *routev3.VirtualHost) []Problem {
	var problems []Problem
	report := func(format string, args ...any) {
		problems = append(problems, Problem{Resource: c.table, Host: host.GetName(), Message: fmt.Sprintf(format, args...)})
	}
	own := map[string]bool{}
	for _, domain := range host.GetDomains() {
		folded := strings.ToLower(domain)
		if other, taken := c.domains[folded]; taken {
			report("domain %s is the one of host %s, too", domain, other)
		} else if own[folded] {
			report("domain %s is there twice", domain)
		}
		if message := checkDomain(folded); message != "" {
			report("%s", message)
		}
		own[folded] = true
	}
	if len(own) == 0 {
		report("there is no domain")
	}
	for _, route := range host.GetRoutes() {
		for _, message := range checkRoute(route) {
			report("route %s: %s", route.GetName(), message)
		}
	}
	if len(problems) == 0 {
		for domain := range own {
			c.domains[domain] = host.GetName()
		}
	}
	return problems
}

func checkDomain(domain string) string {
	switch {
	case domain == "":
		return "a domain is empty"
	case strings.ContainsAny(domain, " \t\r\n\x00"):
		return fmt.Sprintf("domain %q has white space", domain)
	case strings.Count(domain, "*") > 1, strings.Contains(strings.Trim(domain, "*"), "*"):
		return fmt.Sprintf("domain %s has a wildcard that is not at its end", domain)
	default:
		return ""
	}
}

func checkRoute(route *routev3.Route) []string {
	var messages []string
	if weighted := route.GetRoute().GetWeightedClusters(); weighted != nil {
		messages = append(messages, checkWeights(weighted)...)
	}
	messages = append(messages, checkValues(route.GetMatch())...)
	for _, m := range route.GetRoute().GetRequestMirrorPolicies() {
		if m.GetCluster() == "" {
			messages = append(messages, "copies go to a cluster without a name")
		}
	}
	if path := route.GetMatch().GetPathSeparatedPrefix(); path != "" {
		if len(path) < 2 || strings.HasSuffix(path, "/") || strings.ContainsAny(path, "?#") {
			messages = append(messages, fmt.Sprintf("%q is no prefix of segments", path))
		}
	}
	return messages
}

// checkValues finds what cannot be compared with the values of a request.
func checkValues(match *routev3.RouteMatch) []string {
	var messages []string
	check := func(kind, name string, m *matcherv3.StringMatcher) {
		if name == "" || strings.ContainsAny(name+m.GetExact()+m.GetPrefix(), "\r\n\x00") {
			messages = append(messages, fmt.Sprintf("%s %q has no name or a line break", kind, name))
		}
		if regex := m.GetSafeRegex(); regex != nil {
			if _, err := regexp.Compile(regex.GetRegex()); err != nil {
				messages = append(messages, err.Error())
			} else if regex.GetRegex() == "" {
				messages = append(messages, "an expression is empty")
			}
		}
	}
	for _, h := range match.GetHeaders() {
		check("header", h.GetName(), h.GetStringMatch())
	}
	for _, c := range match.GetCookies() {
		check("cookie", c.GetName(), c.GetStringMatch())
	}
	for _, q := range match.GetQueryParameters() {
		check("query parameter", q.GetName(), q.GetStringMatch())
	}
	return messages
}

func checkWeights(weighted *routev3.WeightedCluster) []string {
	var messages []string
	var sum uint64
	for _, c := range weighted.GetClusters() {
		sum += uint64(c.GetWeight().GetValue())
		if c.GetName() == "" {
			messages = append(messages, "a cluster has no name")
		}
	}
	if sum == 0 {
		messages = append(messages, "the weights add up to 0")
	}
	if sum > math.MaxUint32 {
		messages = append(messages, fmt.Sprintf("the weights add up to %d, which is more than %d", sum, uint32(math.MaxUint32)))
	}
	return messages
}
