package proxy_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// trafficGateway lets the real Envoy serve a gateway whose Service b has a canary with
// some weight and traffic. Its pods answer a and b.
func trafficGateway(t *testing.T, weight int32, traffic string, pods ...int) string {
	t.Helper()
	return startGateway(t, trafficSnapshot(t, weight, traffic, pods...))
}

func trafficSnapshot(t *testing.T, weight int32, traffic string, pods ...int) *xds.Snapshot {
	t.Helper()
	objects := strings.NewReplacer("PORT-A", fmt.Sprint(pods[0]), "PORT-B", fmt.Sprint(pods[1])).Replace(served)
	in := parseObjects(t, "served", []byte(objects))
	record := in.Rollouts[0].Status.Record
	record.Weight, record.Traffic = weight, parseTraffic(t, traffic)
	world := xds.Translate(nil, proxy.Build(in).Config)
	if len(world.Problems) > 0 {
		t.Fatal(world.Problems)
	}
	return world.Snapshots[xds.GatewayView("crossfade-system", "crossfade")]
}

func parseTraffic(t *testing.T, text string) *v1alpha1.Traffic {
	t.Helper()
	traffic := &v1alpha1.Traffic{}
	if err := yaml.UnmarshalStrict([]byte(text), traffic); err != nil {
		t.Fatal(err)
	}
	return traffic
}

// asks sends a request to the Service b with headers, written "name: value", and
// returns the answer.
func asks(t *testing.T, base, method, path string, headers ...string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "split.example.com"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Add(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

const matches = `
match:
- headers: [{name: X-Team, value: checkout}]
- headers: [{name: x-both, value: "1"}, {name: x-any, type: Present}]
  queryParams: [{name: q, type: Prefix, value: ab}]
- cookies: [{name: beta, value: "1"}]
- cookies: [{name: kind, type: Regex, value: "gold|silver"}]
- cookies: [{name: there, type: Present}]
- cookies: [{name: a.b, type: Prefix, value: "x+"}]
- queryParams: [{name: preview, type: Present}]
- headers: [{name: x-plain, value: "a.c|d"}]
- headers: [{name: x-version, type: Regex, value: "v[0-9]+"}]
`

// TestEnvoyMatches asks the real Envoy which requests go to a canary of weight 0.
func TestEnvoyMatches(t *testing.T) {
	base := trafficGateway(t, 0, matches, startPod(t, "a"), startPod(t, "b"))
	cases := map[string]struct {
		reason  string
		query   string
		headers []string
		canary  bool
	}{
		"Nothing":         {reason: "the weight is 0"},
		"Header":          {"names have no case", "", []string{"x-team: checkout"}, true},
		"HeaderCase":      {"values have", "", []string{"x-team: Checkout"}, false},
		"HeaderLonger":    {"the whole value counts", "", []string{"x-team: checkouts"}, false},
		"All":             {"all of an entry hold", "?q=abc", []string{"x-both: 1", "x-any: z"}, true},
		"NotAll":          {"one of an entry does not hold", "?q=abc", []string{"x-both: 1"}, false},
		"NotQuery":        {"nor does the prefix", "?q=bc", []string{"x-both: 1", "x-any: z"}, false},
		"Cookie":          {"the only one", "", []string{"Cookie: beta=1"}, true},
		"CookieAmong":     {"others around it", "", []string{"Cookie: x=beta=1; a=2; beta=1; z=3"}, true},
		"CookieSecond":    {"in a header of its own", "", []string{"Cookie: a=2", "Cookie: beta=1"}, true},
		"CookieSuffix":    {"another name that ends alike", "", []string{"Cookie: xbeta=1"}, false},
		"CookieValue":     {"a value that begins alike", "", []string{"Cookie: beta=12"}, false},
		"CookieInValue":   {"it is in another one's value", "", []string{"Cookie: x=beta=1"}, false},
		"CookieCase":      {"names of cookies have case", "", []string{"Cookie: BETA=1"}, false},
		"CookieRegex":     {"the expression fits", "", []string{"Cookie: kind=silver"}, true},
		"CookieRegexPart": {"the expression fits a part", "", []string{"Cookie: kind=golden"}, false},
		"CookiePresent":   {"whatever the value is", "", []string{"Cookie: there=x"}, true},
		"CookieEmpty":     {"an empty value is one", "", []string{"Cookie: there="}, true},
		"CookieLiteral":   {"no expression is made of names and values", "", []string{"Cookie: a.b=x+1"}, true},
		"CookieNoRegex":   {"no expression is made of values", "", []string{"Cookie: a.b=xx1"}, false},
		"CookieNoDot":     {"no expression is made of names", "", []string{"Cookie: acb=x+1"}, false},
		"Query":           {"with a value", "?a=1&preview=1", nil, true},
		"QueryEmpty":      {"without a value", "?preview", nil, true},
		"QueryOther":      {"another one's value", "?a=preview", nil, false},
		"Literal":         {"a literal", "", []string{"x-plain: a.c|d"}, true},
		"NoRegex":         {"not an expression", "", []string{"x-plain: abc"}, false},
		"NoRegexEither":   {"nor an alternative", "", []string{"x-plain: d"}, false},
		"Regex":           {"the whole value fits", "", []string{"x-version: v12"}, true},
		"RegexPart":       {"a part of the value fits", "", []string{"x-version: v12b"}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want := map[bool]string{true: "b", false: "a"}[tc.canary]
			if got := asks(t, base, "GET", "/b"+tc.query, tc.headers...); got != want {
				t.Errorf("%s: %v %q goes to %s, want %s", tc.reason, tc.headers, tc.query, got, want)
			}
		})
	}
}

// TestEnvoyAudience counts whom the real Envoy divides: by a weight only those who take
// part, and, where a rule has two backends, within the Service's half.
func TestEnvoyAudience(t *testing.T) {
	const n = 1000
	base := trafficGateway(t, 40, `
match: [{headers: [{name: x-team, value: checkout}]}]
audience: [{headers: [{name: x-country, value: de}]}, {cookies: [{name: tester, type: Present}]}]`, startPod(t, "a"), startPod(t, "b"))
	cases := map[string]struct {
		path    string
		headers []string
		share   float64
	}{
		"Others":        {"/b", nil, 0},
		"Audience":      {"/b", []string{"x-country: de"}, 0.4},
		"AudienceToo":   {"/b", []string{"Cookie: tester=1"}, 0.4},
		"Match":         {"/b", []string{"x-team: checkout"}, 1},
		"MatchFirst":    {"/b", []string{"x-team: checkout", "x-country: de"}, 1},
		"HalfOthers":    {"/two", nil, 0},
		"HalfAudience":  {"/two", []string{"x-country: de"}, 0.2},
		"HalfOfMatches": {"/two", []string{"x-team: checkout"}, 0.5},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			canary := 0
			for range n {
				if asks(t, base, "GET", tc.path, tc.headers...) == "b" {
					canary++
				}
			}
			// Five standard deviations: one run in a million is outside by chance.
			if off := math.Abs(float64(canary) - n*tc.share); off > 5*math.Sqrt(n*tc.share*(1-tc.share)) {
				t.Errorf("the canary got %d of %d requests, want about %g of them", canary, n, tc.share)
			}
		})
	}
}
