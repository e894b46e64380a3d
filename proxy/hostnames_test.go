package proxy

import "testing"

func TestIntersect(t *testing.T) {
	cases := map[string]struct {
		reason          string
		listener, route string
		want            string
		none            bool
	}{
		"Everything":         {reason: "neither names a host", want: "*"},
		"ListenerOnly":       {reason: "a route without hosts has the listener's", listener: "a.example.com", want: "a.example.com"},
		"RouteOnly":          {reason: "a listener without a host takes all", route: "a.example.com", want: "a.example.com"},
		"Same":               {reason: "the same host", listener: "a.example.com", route: "a.example.com", want: "a.example.com"},
		"Case":               {reason: "host names have no case", listener: "A.Example.com", route: "a.example.COM", want: "a.example.com"},
		"Other":              {reason: "another host", listener: "a.example.com", route: "b.example.com", none: true},
		"WildcardListener":   {reason: "a host below the listener's wildcard", listener: "*.example.com", route: "a.example.com", want: "a.example.com"},
		"Deeper":             {reason: "a wildcard stands for several labels", listener: "*.example.com", route: "a.b.example.com", want: "a.b.example.com"},
		"Apex":               {reason: "a wildcard does not stand for nothing", listener: "*.example.com", route: "example.com", none: true},
		"SuffixOnly":         {reason: "a wildcard ends at a dot", listener: "*.example.com", route: "badexample.com", none: true},
		"WildcardRoute":      {reason: "the listener's host below the route's wildcard", listener: "a.example.com", route: "*.example.com", want: "a.example.com"},
		"BothSame":           {reason: "the same wildcard", listener: "*.example.com", route: "*.example.com", want: "*.example.com"},
		"RouteNarrower":      {reason: "the narrower of two wildcards", listener: "*.com", route: "*.example.com", want: "*.example.com"},
		"ListenerNarrower":   {reason: "the narrower of two wildcards", listener: "*.example.com", route: "*.com", want: "*.example.com"},
		"WildcardsElsewhere": {reason: "two wildcards with nothing in common", listener: "*.example.com", route: "*.example.org", none: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := intersect(tc.listener, tc.route)
			if got != tc.want || ok == tc.none {
				t.Errorf("%s: intersect(%q, %q) = %q, %t; want %q, %t", tc.reason, tc.listener, tc.route, got, ok, tc.want, !tc.none)
			}
		})
	}
}
