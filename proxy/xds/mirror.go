package xds

import (
	"slices"
	"time"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

const (
	// fineSum is what the weights of a route with copies add up to. All totals of the
	// API divide it.
	fineSum = 10_000
	// mirrorHeader is in copies, so that an application can tell them from requests.
	mirrorHeader = "x-crossfade-mirror"
	// mirrorTimeout bounds a copy, and mirrorRequests how many one proxy has under way at
	// a time. Envoy gives a copy the timeout of the request, which is none by default: a
	// canary that never answers would cost the proxy's memory, of stable's users.
	mirrorTimeout  = 30 * time.Second
	mirrorRequests = 4096
)

// makeMirror makes the cluster for copies to a revision. It is another one than that of
// requests because of its bounds. Its statistics are counted as the revision's.
func (k portMaker) makeMirror(canary ir.Revision) (revision, error) {
	name := MirrorName(k.service.ServiceKey, k.next.Number, canary.Name)
	service := k.service
	service.Policy = withoutEjection(service.Policy, canary.NoEjection)
	cluster, err := k.mesh.makeCluster(name, service, k.next.Protocol)
	if err != nil {
		return revision{}, err
	}
	cluster.AltStatName = ClusterName(k.service.ServiceKey, k.next.Number, canary.Name)
	for _, t := range cluster.GetCircuitBreakers().GetThresholds() {
		for _, value := range []*wrapperspb.UInt32Value{t.GetMaxConnections(), t.GetMaxPendingRequests(), t.GetMaxRequests()} {
			value.Value = min(value.GetValue(), mirrorRequests)
		}
	}
	options := makeUpstreamOptions(k.next.Protocol)
	if options.CommonHttpProtocolOptions == nil {
		options.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{}
	}
	options.CommonHttpProtocolOptions.MaxStreamDuration = durationpb.New(mirrorTimeout)
	if cluster.TypedExtensionProtocolOptions[httpOptionsName], err = anypb.New(options); err != nil {
		return revision{}, err
	}
	var made revision
	if made.cluster, err = NewResource(name, cluster); err != nil {
		return revision{}, err
	}
	if made.endpoints, err = NewEndpoints(makeEndpoints(name, canary.Endpoints), made.cluster); err != nil {
		return revision{}, err
	}
	if k.was != nil {
		made.cluster, made.endpoints = made.cluster.or(k.was.mirror.cluster), made.endpoints.or(k.was.mirror.endpoints)
	}
	return made, nil
}

// or is the one that was there before where it is the same.
func (r *Resource) or(was *Resource) *Resource {
	if was != nil && was.Name == r.Name && was.Version == r.Version {
		return was
	}
	return r
}

// mirror makes two routes of one: for the methods that are copied, in a share of their
// requests, and for the others. The copies go to the canary.
func (d division) mirror(route *routev3.Route, numerator, denominator uint32) []*routev3.Route {
	m := d.group.traffic.Mirror
	if d.dialect == grpcClient || m.IsZero() || numerator == 0 {
		return []*routev3.Route{route}
	}
	copied, _ := proto.Clone(route).(*routev3.Route)
	copied.Name = join(copied.GetName(), "mirrored")
	copied.GetMatch().Headers = append(copied.GetMatch().GetHeaders(), matchMethods(m.Methods), notUpgrading())
	fraction := &typev3.FractionalPercent{Numerator: numerator, Denominator: typev3.FractionalPercent_HUNDRED}
	if denominator == fineSum {
		fraction.Denominator = typev3.FractionalPercent_TEN_THOUSAND
	}
	copied.GetRoute().RequestMirrorPolicies = []*routev3.RouteAction_RequestMirrorPolicy{{
		Cluster:         d.cluster(d.group.traffic.Canary, MirrorName),
		RuntimeFraction: &corev3.RuntimeFractionalPercent{DefaultValue: fraction},
		// The canary should not see another host than stable.
		DisableShadowHostSuffixAppend: true,
		RequestHeadersMutations: []*mutationv3.HeaderMutation{{Action: &mutationv3.HeaderMutation_Append{Append: &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: mirrorHeader, Value: "true"},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}}}},
	}}
	return []*routev3.Route{copied, route}
}

// notUpgrading fits requests that stay requests. Envoy copies a WebSocket, too, which
// then nobody ends.
func notUpgrading() *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{
		Name: "upgrade", InvertMatch: true,
		HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
	}
}

// stableFirst lists the shares so that copies can be made of stable's requests only.
// Envoy draws one number for a request. Modulo the sum of the weights it says which
// cluster the request goes to, those listed first having the lowest; modulo the
// denominator whether it is copied, which the lowest are. With one sum for both, and
// stable listed first, a share of stable's requests is the lowest of stable's numbers.
// stable is stable's share.
func (d division) stableFirst(list []share) (ordered []share, stable uint32) {
	first := d.cluster(d.group.traffic.Stable, ClusterName)
	var sum uint32
	for _, s := range list {
		sum += s.weight
	}
	ordered = slices.Clone(list)
	for i := range ordered {
		ordered[i].weight = uint32(uint64(ordered[i].weight) * fineSum / uint64(sum))
		if ordered[i].cluster == first {
			stable = ordered[i].weight
		}
	}
	slices.SortStableFunc(ordered, func(a, b share) int {
		switch first {
		case a.cluster:
			return -1
		case b.cluster:
			return 1
		}
		return 0
	})
	return ordered, stable
}
