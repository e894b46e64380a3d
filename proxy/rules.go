package proxy

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// mistakes says of every field of a route that is not supported, or that cannot
// work, what to do about it. A route with any is refused whole.
func mistakes(route *gatewayv1.HTTPRoute) []string {
	var sentences []string
	unsupported := func(is bool, format string, args ...any) {
		if is {
			sentences = append(sentences, unsupportedField(fmt.Sprintf(format, args...)))
		}
	}
	unsupported(route.Spec.UseDefaultGateways != "" && route.Spec.UseDefaultGateways != gatewayv1.GatewayDefaultScopeNone,
		"spec.useDefaultGateways")
	for i, host := range route.Spec.Hostnames {
		if !isHostname(string(host)) {
			sentences = append(sentences, fmt.Sprintf("spec.hostnames[%d] %q is no host name", i, host))
		}
	}
	for i, rule := range route.Spec.Rules {
		at := fmt.Sprintf("spec.rules[%d]", i)
		for f, filter := range rule.Filters {
			unsupported(true, "%s.filters[%d] (%s)", at, f, filter.Type)
		}
		unsupported(rule.Timeouts != nil, "%s.timeouts", at)
		unsupported(rule.Retry != nil, "%s.retry", at)
		unsupported(rule.SessionPersistence != nil, "%s.sessionPersistence", at)
		for b, ref := range rule.BackendRefs {
			for f, filter := range ref.Filters {
				unsupported(true, "%s.backendRefs[%d].filters[%d] (%s)", at, b, f, filter.Type)
			}
		}
		for m, match := range rule.Matches {
			sentences = append(sentences, matchMistakes(fmt.Sprintf("%s.matches[%d]", at, m), match)...)
		}
	}
	return sentences
}

// unsupportedField says that a field is not supported.
func unsupportedField(field string) string { return field + " is not supported yet: remove it" }

func matchMistakes(at string, match gatewayv1.HTTPRouteMatch) []string {
	var sentences []string
	if p := match.Path; p != nil {
		if p.Type != nil && *p.Type != gatewayv1.PathMatchExact && *p.Type != gatewayv1.PathMatchPathPrefix {
			sentences = append(sentences,
				fmt.Sprintf("%s.path.type %s is not supported yet: use Exact or PathPrefix", at, *p.Type))
		} else if p.Value != nil && !isPath(*p.Value) {
			sentences = append(sentences,
				fmt.Sprintf("%s.path.value %q is no path that a request can have: begin it with / and leave out //, /./, /../, %%2F, ? and #", at, *p.Value))
		}
	}
	for i, h := range match.Headers {
		if sentence := headerMistake(h); sentence != "" {
			sentences = append(sentences, fmt.Sprintf("%s.headers[%d].%s", at, i, sentence))
		}
	}
	if match.Method != nil && !isToken(string(*match.Method)) {
		sentences = append(sentences, fmt.Sprintf("%s.method %q is no method", at, *match.Method))
	}
	if len(match.QueryParams) > 0 {
		sentences = append(sentences, unsupportedField(at+".queryParams"))
	}
	return sentences
}

func headerMistake(h gatewayv1.HTTPHeaderMatch) string {
	switch {
	case !isToken(string(h.Name)) || strings.ContainsAny(h.Value, "\r\n\x00"):
		return fmt.Sprintf("name %q or its value is nothing that a header can be", h.Name)
	case isReserved(string(h.Name)):
		return fmt.Sprintf("name %s cannot be matched as a header: use spec.hostnames, path or method", h.Name)
	case h.Type == nil || *h.Type == gatewayv1.HeaderMatchExact:
		return ""
	case *h.Type != gatewayv1.HeaderMatchRegularExpression:
		return fmt.Sprintf("type %s is not supported yet: use Exact or RegularExpression", *h.Type)
	default:
		if err := checkRegex(h.Value); err != nil {
			return fmt.Sprintf("value: %s", err)
		}
		return ""
	}
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

// isHostname says whether a name can be one of a host, or of all hosts below one.
func isHostname(name string) bool {
	name = strings.ToLower(name)
	if strings.HasPrefix(name, "*") {
		return len(validation.IsWildcardDNS1123Subdomain(name)) == 0
	}
	return len(validation.IsDNS1123Subdomain(name)) == 0
}

// isToken says whether a word can be a header's name or a method (RFC 9110, 5.6.2).
func isToken(word string) bool {
	for _, c := range word {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", c) {
			return false
		}
	}
	return word != ""
}

// isReserved says whether a header is one that proxies keep elsewhere.
func isReserved(header string) bool {
	return strings.EqualFold(header, "host")
}

// maxProgram bounds a compiled expression, in Go's instructions. RE2 makes a few of
// one of them and gives up at about 87,000, and a table with one expression that does
// not compile would be rejected whole.
const maxProgram = 2000

// beyondLatin1 finds what Envoy's RE2, which reads bytes, does not take or does not
// know by the same names as Go: Unicode classes, and characters above 255.
var beyondLatin1 = regexp.MustCompile(
	`(^|[^\\])(\\\\)*\\([pP]|x\{0*[1-9A-Fa-f][0-9A-Fa-f]{2,}|[4-7][0-7]{2})|[^\x00-\x7F]`)

// checkRegex says whether the proxies, which use RE2, will compile an expression.
// Go's syntax is RE2's but for \C, which Go has not, and both bound repetitions by
// 1000.
func checkRegex(expression string) error {
	if expression == "" {
		return errors.New("the expression is empty")
	}
	if beyondLatin1.MatchString(expression) {
		return errors.New(`characters beyond ASCII and Unicode classes (\p) are not supported`)
	}
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return err
	}
	if len(program.Inst) > maxProgram {
		return fmt.Errorf("the expression is too large: it compiles to %d instructions, and %d are allowed", len(program.Inst), maxProgram)
	}
	return nil
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
