package proxy

import (
	"fmt"
	"regexp"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// unsupported names every field of a route that is not supported, as one would
// write it in kubectl explain. A route with any is refused whole.
func unsupported(route *gatewayv1.HTTPRoute) []string {
	var fields []string
	add := func(is bool, format string, args ...any) {
		if is {
			fields = append(fields, fmt.Sprintf(format, args...))
		}
	}
	add(route.Spec.UseDefaultGateways != "" && route.Spec.UseDefaultGateways != gatewayv1.GatewayDefaultScopeNone,
		"spec.useDefaultGateways")
	for i, rule := range route.Spec.Rules {
		at := fmt.Sprintf("spec.rules[%d]", i)
		for f, filter := range rule.Filters {
			add(true, "%s.filters[%d] (%s)", at, f, filter.Type)
		}
		add(rule.Timeouts != nil, "%s.timeouts", at)
		add(rule.Retry != nil, "%s.retry", at)
		add(rule.SessionPersistence != nil, "%s.sessionPersistence", at)
		for b, ref := range rule.BackendRefs {
			for f, filter := range ref.Filters {
				add(true, "%s.backendRefs[%d].filters[%d] (%s)", at, b, f, filter.Type)
			}
		}
		for m, match := range rule.Matches {
			fields = append(fields, unsupportedMatch(fmt.Sprintf("%s.matches[%d]", at, m), match)...)
		}
	}
	return fields
}

func unsupportedMatch(at string, match gatewayv1.HTTPRouteMatch) []string {
	var fields []string
	if p := match.Path; p != nil {
		if p.Type != nil && *p.Type != gatewayv1.PathMatchExact && *p.Type != gatewayv1.PathMatchPathPrefix {
			fields = append(fields, fmt.Sprintf("%s.path.type (%s)", at, *p.Type))
		} else if p.Value != nil && !isPath(*p.Value) {
			fields = append(fields, fmt.Sprintf("%s.path.value (%q is no path)", at, *p.Value))
		}
	}
	for i, h := range match.Headers {
		field := fmt.Sprintf("%s.headers[%d]", at, i)
		switch {
		case isReserved(string(h.Name)):
			fields = append(fields, fmt.Sprintf("%s.name (%s: match it by spec.hostnames, path or method)", field, h.Name))
		case h.Type == nil || *h.Type == gatewayv1.HeaderMatchExact:
		case *h.Type != gatewayv1.HeaderMatchRegularExpression:
			fields = append(fields, fmt.Sprintf("%s.type (%s)", field, *h.Type))
		default:
			if err := checkRegex(h.Value); err != nil {
				fields = append(fields, fmt.Sprintf("%s.value (%s)", field, err))
			}
		}
	}
	if len(match.QueryParams) > 0 {
		fields = append(fields, at+".queryParams")
	}
	return fields
}

// isPath says whether a path can be matched at all: proxies normalize the paths of
// requests, so that these parts never reach the match.
func isPath(path string) bool {
	for _, never := range []string{"//", "/./", "/../", "%2f", "%2F", "#", "?"} {
		if strings.Contains(path, never) {
			return false
		}
	}
	return strings.HasPrefix(path, "/") && !strings.HasSuffix(path, "/.") && !strings.HasSuffix(path, "/..")
}

// isReserved says whether a header is one that proxies keep elsewhere.
func isReserved(header string) bool {
	return strings.HasPrefix(header, ":") || strings.EqualFold(header, "host")
}

// maxRegex is the longest expression that is accepted, in bytes. The proxies
// compile each for every worker, and a long one is a mistake.
const maxRegex = 1024

// checkRegex says whether the proxies, which use RE2, will compile an expression.
// Go's syntax is RE2's but for \C, which Go has not, and for repetitions, which
// both bound by 1000.
func checkRegex(expression string) error {
	if len(expression) > maxRegex {
		return fmt.Errorf("an expression may have %d bytes at most", maxRegex)
	}
	_, err := regexp.Compile(expression)
	return err
}

// matchesOf are the matches of a rule; one without any matches every request.
func matchesOf(rule gatewayv1.HTTPRouteRule) []gatewayv1.HTTPRouteMatch {
	if len(rule.Matches) == 0 {
		return make([]gatewayv1.HTTPRouteMatch, 1)
	}
	return rule.Matches
}

func matchOf(match gatewayv1.HTTPRouteMatch) ir.Match {
	out := ir.Match{Path: ir.PathMatch{Value: "/"}}
	if p := match.Path; p != nil {
		out.Path.Exact = p.Type != nil && *p.Type == gatewayv1.PathMatchExact
		if p.Value != nil && *p.Value != "" {
			out.Path.Value = *p.Value
		}
		if trimmed := strings.TrimRight(out.Path.Value, "/"); !out.Path.Exact && trimmed != "" {
			out.Path.Value = trimmed
		}
	}
	if match.Method != nil {
		out.Method = string(*match.Method)
	}
	seen := map[string]bool{}
	for _, h := range match.Headers {
		name := strings.ToLower(string(h.Name))
		if seen[name] {
			continue // The Gateway API says that only the first of a name counts.
		}
		seen[name] = true
		out.Headers = append(out.Headers, ir.HeaderMatch{
			Name:  name,
			Regex: h.Type != nil && *h.Type == gatewayv1.HeaderMatchRegularExpression,
			Value: h.Value,
		})
	}
	return out
}
