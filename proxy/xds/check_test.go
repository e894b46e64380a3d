package xds_test

import (
	"math"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

func TestCheck(t *testing.T) {
	host := func(name string, domains ...string) *routev3.VirtualHost {
		return &routev3.VirtualHost{Name: name, Domains: domains}
	}
	forward := func(weights ...uint32) *routev3.Route {
		weighted := &routev3.WeightedCluster{}
		for _, w := range weights {
			weighted.Clusters = append(weighted.Clusters, &routev3.WeightedCluster_ClusterWeight{Name: "c", Weight: wrapperspb.UInt32(w)})
		}
		return &routev3.Route{Name: "r", Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_WeightedClusters{WeightedClusters: weighted},
		}}}
	}
	header := func(h *routev3.HeaderMatcher) *routev3.Route {
		return &routev3.Route{Name: "r", Match: &routev3.RouteMatch{Headers: []*routev3.HeaderMatcher{h}}}
	}
	regex := func(expression string) *routev3.Route {
		return header(&routev3.HeaderMatcher{Name: "x", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{
			StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{
				SafeRegex: &matcherv3.RegexMatcher{Regex: expression},
			}},
		}})
	}
	prefix := func(path string) *routev3.Route {
		return &routev3.Route{Name: "r", Match: &routev3.RouteMatch{
			PathSpecifier: &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: path},
		}}
	}
	with := func(routes ...*routev3.Route) []*routev3.VirtualHost {
		h := host("h", "a")
		h.Routes = routes
		return []*routev3.VirtualHost{h}
	}
	cases := map[string]struct {
		reason string
		hosts  []*routev3.VirtualHost
		want   []string
	}{
		"Good":          {"nothing is wrong", append(with(forward(0, 1), regex("a|b"), prefix("/foo")), host("i", "*.b", "*")), nil},
		"TwoWildcards":  {"only one host may take the rest", []*routev3.VirtualHost{host("a", "*"), host("b", "*")}, []string{"t, host b: domain * is the one of host a, too"}},
		"Case":          {"domains have no case", []*routev3.VirtualHost{host("a", "A.example"), host("b", "a.example")}, []string{"t, host b: domain a.example is the one of host a, too"}},
		"Twice":         {"not twice in one host either", []*routev3.VirtualHost{host("a", "x", "X")}, []string{"t, host a: domain X is there twice"}},
		"NoDomain":      {"a host needs a domain", []*routev3.VirtualHost{host("a")}, []string{"t, host a: there is no domain"}},
		"EmptyDomain":   {"and not an empty one", []*routev3.VirtualHost{host("a", "")}, []string{"t, host a: a domain is empty"}},
		"InnerWildcard": {"wildcards stand at an end", []*routev3.VirtualHost{host("a", "a.*.b")}, []string{"t, host a: domain a.*.b has a wildcard that is not at its end"}},
		"WhiteSpace":    {"no request has such a host", []*routev3.VirtualHost{host("a", "a b")}, []string{`t, host a: domain "a b" has white space`}},
		"ZeroSum":       {"somebody must get the requests", with(forward(0, 0)), []string{"t, host h: route r: the weights add up to 0"}},
		"Overflow": {
			"sums have 32 bits", with(forward(math.MaxUint32, 1)),
			[]string{"t, host h: route r: the weights add up to 4294967296, which is more than 4294967295"},
		},
		"Largest":     {"the largest sum is right", with(forward(math.MaxUint32, 0)), nil},
		"NoName":      {"a cluster needs a name", with(nameless()), []string{"t, host h: route r: a cluster has no name"}},
		"Regex":       {"expressions must compile", with(regex("([")), []string{"t, host h: route r: error parsing regexp: missing closing ]: `[`"}},
		"NoRegex":     {"and there must be one", with(regex("")), []string{"t, host h: route r: an expression is empty"}},
		"HeaderName":  {"a header needs a name", with(header(&routev3.HeaderMatcher{})), []string{`t, host h: route r: header "" has no name or a line break`}},
		"Prefix":      {"segments end without a slash", with(prefix("/foo/")), []string{`t, host h: route r: "/foo/" is no prefix of segments`}},
		"ShortPrefix": {"the root is another kind of match", with(prefix("/")), []string{`t, host h: route r: "/" is no prefix of segments`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			table, err := xds.NewResource("t", &routev3.RouteConfiguration{Name: "t", VirtualHosts: tc.hosts})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range xds.Check(&xds.Snapshot{Routes: map[string]*xds.Resource{"t": table}}) {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func nameless() *routev3.Route {
	return &routev3.Route{Name: "r", Action: &routev3.Route_Route{Route: &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_WeightedClusters{WeightedClusters: &routev3.WeightedCluster{
			Clusters: []*routev3.WeightedCluster_ClusterWeight{{Weight: wrapperspb.UInt32(1)}},
		}},
	}}}
}

func TestCheckFollowsReferences(t *testing.T) {
	resource := func(name string, references ...string) map[string]*xds.Resource {
		r, err := xds.NewResource(name, &corev3.Node{})
		if err != nil {
			t.Fatal(err)
		}
		r.References = references
		return map[string]*xds.Resource{name: r}
	}
	table, err := xds.NewResource("routes", &routev3.RouteConfiguration{})
	if err != nil {
		t.Fatal(err)
	}
	table.References = []string{"cluster", "gone"}
	got := xds.Check(&xds.Snapshot{
		Listeners: resource("listener", "routes", "nowhere"),
		Routes:    map[string]*xds.Resource{"routes": table},
		Clusters:  resource("cluster"),
	})
	want := []xds.Problem{
		{Resource: "cluster", Message: "the cluster has no endpoints, not even none"},
		{Resource: "listener", Message: "there is no route configuration nowhere"},
		{Resource: "routes", Message: "there is no cluster gone"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}
