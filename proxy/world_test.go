package proxy_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/ir"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// TestRandomWorlds checks, over random clusters that change at random, what must
// hold whatever is in them: I1 and I2, constant sums and a fixed order within a
// delivery, no problem for proxies, and that neither the order of the lists nor what
// was translated before makes a difference.
func TestRandomWorlds(t *testing.T) {
	worlds := 150
	if testing.Short() {
		worlds = 50
	}
	for seed := range uint64(worlds) {
		w := newWorld(seed)
		var last *xds.World
		var before ir.Config
		for step := range 12 {
			in := w.input()
			out := proxy.Build(in)
			if problem := checkWorld(in, out); problem != "" {
				t.Fatalf("seed %d, step %d: %s", seed, step, problem)
			}
			if problem := checkOrder(before, out.Config); problem != "" {
				t.Fatalf("seed %d, step %d: %s", seed, step, problem)
			}
			w.shuffle()
			if again := proxy.Build(w.input()); !reflect.DeepEqual(out, again) {
				t.Fatalf("seed %d, step %d: the order of the objects makes a difference:\n%s", seed, step, cmp.Diff(out, again))
			}
			last = xds.Translate(last, out.Config)
			if problem := checkTranslated(out.Config, last); problem != "" {
				t.Fatalf("seed %d, step %d: %s", seed, step, problem)
			}
			before = out.Config
			w.change()
		}
	}
}

// checkWorld says what is wrong with a configuration, or nothing.
func checkWorld(in proxy.Input, out proxy.Output) string {
	for _, s := range out.Config.Services {
		if !slices.IsSortedFunc(s.Ports, func(a, b ir.Port) int { return int(a.Number) - int(b.Number) }) {
			return fmt.Sprintf("the ports of %s are not in order", s)
		}
		for _, p := range s.Ports {
			if problem := checkPort(s, p); problem != "" {
				return problem
			}
		}
	}
	for _, r := range in.Rollouts {
		record, e := r.Status.Record, out.Effective[name(r.Namespace, r.Name)]
		if record == nil {
			continue
		}
		if e.Weight > uint32(record.Weight) && e.Weight != e.Total {
			return fmt.Sprintf("Rollout %s has %d of %d, more than its record's %d", r.Name, e.Weight, e.Total, record.Weight)
		}
	}
	return ""
}

func checkPort(s ir.Service, p ir.Port) string {
	at := fmt.Sprintf("%s:%d", s, p.Number)
	var sum uint32
	served := 0
	for _, r := range p.Revisions {
		sum += r.Weight
		if len(r.Endpoints) > 0 {
			served++
		}
		if !slices.IsSortedFunc(r.Endpoints, func(a, b ir.Endpoint) int { return cmpString(a.IP, b.IP) }) {
			return at + ": endpoints are not in order"
		}
	}
	if sum != s.Total || sum == 0 {
		return fmt.Sprintf("%s (I1): the weights add up to %d of %d", at, sum, s.Total)
	}
	if t := p.Traffic; t != nil && (len(t.Match) > 0 || t.Restricted || !t.Mirror.IsZero()) {
		for _, r := range p.Revisions {
			if (r.Name == t.Canary || r.Name == t.Stable) && len(r.Endpoints) == 0 {
				return fmt.Sprintf("%s (I2): requests are told apart, and %s has no endpoint", at, r.Name)
			}
		}
	}
	if !slices.IsSortedFunc(p.Revisions, func(a, b ir.Revision) int { return cmpString(a.Name, b.Name) }) {
		return at + ": revisions are not in order"
	}
	old := func(r ir.Revision) bool { return r.Name == "old" } // It never has weight, so it never helps.
	others := slices.DeleteFunc(slices.Clone(p.Revisions), old)
	anyServes := slices.ContainsFunc(others, func(r ir.Revision) bool { return len(r.Endpoints) > 0 })
	for _, r := range p.Revisions {
		if r.Weight > 0 && (old(r) || anyServes && len(r.Endpoints) == 0) {
			return fmt.Sprintf("%s (I2): %s has weight %d and %d endpoints", at, r.Name, r.Weight, len(r.Endpoints))
		}
	}
	return ""
}

// checkOrder says whether the sum of weights changed although the revisions did not.
func checkOrder(before, after ir.Config) string {
	revisions := map[string]string{}
	for _, s := range before.Services {
		for _, p := range s.Ports {
			revisions[fmt.Sprint(s.ServiceKey, p.Number, names(p))] = fmt.Sprint(s.Total)
		}
	}
	for _, s := range after.Services {
		for _, p := range s.Ports {
			if total, same := revisions[fmt.Sprint(s.ServiceKey, p.Number, names(p))]; same && total != fmt.Sprint(s.Total) {
				return fmt.Sprintf("%s:%d: the sum went from %s to %d", s, p.Number, total, s.Total)
			}
		}
	}
	return ""
}

// checkTranslated says whether a world that grew from others differs from one that
// was made at once, or has anything that a proxy would refuse.
func checkTranslated(config ir.Config, grown *xds.World) string {
	fresh := xds.Translate(nil, config)
	if len(grown.Problems) > 0 {
		return fmt.Sprint(grown.Problems)
	}
	if was, is := versions(fresh), versions(grown); !maps.Equal(was, is) {
		return "what was translated before makes a difference:\n" + cmp.Diff(was, is)
	}
	for view, snapshot := range grown.Snapshots {
		if problems := xds.Check(snapshot); len(problems) > 0 {
			return fmt.Sprint(view, problems)
		}
		for _, r := range snapshot.Routes {
			if problem := checkStickySums(r); problem != "" {
				return problem
			}
			for _, split := range r.Splits {
				var sum uint64
				for _, weight := range split.Weights {
					sum += uint64(weight)
				}
				if sum != uint64(split.Total) || sum == 0 || sum > math.MaxUint32 {
					return fmt.Sprintf("%s: the split of %s adds up to %d of %d", r.Name, split.Service, sum, split.Total)
				}
			}
		}
	}
	return ""
}

// checkStickySums says whether a route that picks by hash has weights that add up to
// anything but the total: users would move with the sum.
func checkStickySums(r *xds.Resource) string {
	config := &routev3.RouteConfiguration{}
	if err := r.Body.UnmarshalTo(config); err != nil {
		return err.Error()
	}
	for _, host := range config.GetVirtualHosts() {
		for _, route := range host.GetRoutes() {
			var sum uint32
			for _, c := range route.GetRoute().GetWeightedClusters().GetClusters() {
				sum += c.GetWeight().GetValue()
			}
			if len(route.GetRoute().GetHashPolicy()) > 0 && sum != 100 {
				return fmt.Sprintf("%s, route %s: the weights add up to %d", r.Name, route.GetName(), sum)
			}
		}
	}
	return ""
}

func versions(w *xds.World) map[string]string {
	all := map[string]string{}
	for view, s := range w.Snapshots {
		for kind, resources := range map[string]map[string]*xds.Resource{
			"cluster": s.Clusters, "endpoints": s.Endpoints, "listener": s.Listeners, "routes": s.Routes,
		} {
			for name, r := range resources {
				all[fmt.Sprint(view, kind, name)] = fmt.Sprint(r.Version, r.References, r.Splits, r.Empty)
			}
		}
	}
	return all
}

// world is a random cluster.
type world struct {
	random *rand.Rand
	in     proxy.Input
}

func newWorld(seed uint64) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 1)), in: proxy.Input{Options: proxy.DefaultOptions()}}
	for i := range 1 + w.random.IntN(3) {
		app := fmt.Sprintf("app%d", i)
		w.in.Services = append(w.in.Services, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: app},
			Spec: corev1.ServiceSpec{
				Selector: map[string]string{"app": app},
				Ports:    []corev1.ServicePort{{Port: 9000, TargetPort: intstr.FromString("admin")}, {Port: 80}},
			},
		})
		if w.random.IntN(4) > 0 {
			w.in.Rollouts = append(w.in.Rollouts, &v1alpha1.Rollout{
				ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: app},
				Status:     v1alpha1.RolloutStatus{Record: w.record(app)},
			})
		}
		for n := range w.random.IntN(8) {
			w.in.Pods = append(w.in.Pods, w.pod(app, fmt.Sprintf("10.0.%d.%d", i, n)))
		}
	}
	w.in.GatewayClasses = []*gatewayv1.GatewayClass{{
		ObjectMeta: metav1.ObjectMeta{Name: "crossfade"},
		Spec:       gatewayv1.GatewayClassSpec{ControllerName: proxy.DefaultControllerName},
	}}
	all := gatewayv1.NamespacesFromAll
	w.in.Gateways = []*gatewayv1.Gateway{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "crossfade-system", Name: "crossfade"},
		Spec: gatewayv1.GatewaySpec{GatewayClassName: "crossfade", Listeners: []gatewayv1.Listener{{
			Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType,
			AllowedRoutes: &gatewayv1.AllowedRoutes{Namespaces: &gatewayv1.RouteNamespaces{From: &all}},
		}}},
	}}
	w.in.HTTPRoutes = []*gatewayv1.HTTPRoute{w.route("a"), w.route("b")}
	return w
}

func (w *world) record(service string) *v1alpha1.Record {
	record := &v1alpha1.Record{Service: service, Stable: "stable", Total: 100}
	if w.random.IntN(3) > 0 {
		record.Canary = "canary"
		record.Weight = int32(w.random.IntN(101))
		record.Capacity = int32(w.random.IntN(4))
	}
	if w.random.IntN(3) == 0 {
		record.Old = "old"
	}
	if w.random.IntN(2) == 0 {
		record.Traffic = w.traffic()
	}
	return record
}

// traffic is anything that a record may say of requests, and some that it must not.
func (w *world) traffic() *v1alpha1.Traffic {
	one, bad := "1", "(["
	all := []v1alpha1.RequestMatch{
		{Headers: []v1alpha1.ValueMatch{{Name: "x-team", Value: &one}}},
		{Cookies: []v1alpha1.ValueMatch{{Name: "beta", Type: v1alpha1.MatchPresent}}},
		{QueryParams: []v1alpha1.ValueMatch{{Name: "q", Type: v1alpha1.MatchRegex, Value: &bad}}},
	}
	traffic := &v1alpha1.Traffic{Match: all[w.random.IntN(4):], Audience: all[w.random.IntN(4):]}
	switch w.random.IntN(3) {
	case 0:
		traffic.Sticky = &v1alpha1.Sticky{Cookie: &v1alpha1.StickyCookie{Name: "user"}}
	case 1:
		traffic.Sticky = &v1alpha1.Sticky{Header: &v1alpha1.StickyHeader{Name: "X-User"}}
	}
	if w.random.IntN(2) == 0 {
		traffic.Mirror = &v1alpha1.Mirror{Percent: int32(1 + w.random.IntN(100))}
	}
	return traffic
}

func (w *world) pod(app, ip string) *corev1.Pod {
	status := corev1.ConditionTrue
	if w.random.IntN(3) == 0 {
		status = corev1.ConditionFalse
	}
	revisions := []string{"stable", "canary", "old", "unknown"}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: ip, Labels: map[string]string{
			"app": app, "pod-template-hash": revisions[w.random.IntN(len(revisions))],
		}},
		Status: corev1.PodStatus{PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}},
	}
	if w.random.IntN(2) == 0 {
		pod.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "admin", ContainerPort: 9001}}}}
	}
	return pod
}

func (w *world) route(name string) *gatewayv1.HTTPRoute {
	route := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
	namespace := gatewayv1.Namespace("crossfade-system")
	route.Spec.ParentRefs = []gatewayv1.ParentReference{{Namespace: &namespace, Name: "crossfade"}}
	hosts := []gatewayv1.Hostname{"a.example.com", "*.example.com", "A.example.com"}
	route.Spec.Hostnames = hosts[:w.random.IntN(len(hosts)+1)]
	var rule gatewayv1.HTTPRouteRule
	for range w.random.IntN(5) {
		port := []gatewayv1.PortNumber{80, 9000, 81}[w.random.IntN(3)]
		weight := []int32{0, 1, 3, 70, 999_983, 1_000_000}[w.random.IntN(6)]
		rule.BackendRefs = append(rule.BackendRefs, gatewayv1.HTTPBackendRef{BackendRef: gatewayv1.BackendRef{
			BackendObjectReference: gatewayv1.BackendObjectReference{
				Name: gatewayv1.ObjectName(fmt.Sprintf("app%d", w.random.IntN(4))), Port: &port,
			},
			Weight: &weight,
		}})
	}
	route.Spec.Rules = []gatewayv1.HTTPRouteRule{rule}
	return route
}

// change changes one thing: a pod, a record, or a route.
func (w *world) change() {
	switch n := w.random.IntN(4); {
	case n == 0 && len(w.in.Pods) > 0:
		i := w.random.IntN(len(w.in.Pods))
		was := w.in.Pods[i]
		w.in.Pods[i] = w.pod(was.Labels["app"], was.Name)
	case n == 1 && len(w.in.Rollouts) > 0:
		i := w.random.IntN(len(w.in.Rollouts))
		next := w.in.Rollouts[i].DeepCopy()
		next.Status.Record = w.record(next.Name)
		w.in.Rollouts[i] = next
	case n == 2 && len(w.in.Pods) > 0:
		w.in.Pods = slices.Delete(slices.Clone(w.in.Pods), 0, 1)
	default:
		i := w.random.IntN(len(w.in.HTTPRoutes))
		w.in.HTTPRoutes = slices.Clone(w.in.HTTPRoutes)
		w.in.HTTPRoutes[i] = w.route(w.in.HTTPRoutes[i].Name)
	}
}

func (w *world) input() proxy.Input {
	in := w.in
	in.Pods, in.Services = slices.Clone(in.Pods), slices.Clone(in.Services)
	in.Rollouts, in.HTTPRoutes = slices.Clone(in.Rollouts), slices.Clone(in.HTTPRoutes)
	return in
}

func (w *world) shuffle() {
	shuffle(w.random, w.in.Pods)
	shuffle(w.random, w.in.Services)
	shuffle(w.random, w.in.Rollouts)
	shuffle(w.random, w.in.HTTPRoutes)
}

func shuffle[T any](random *rand.Rand, list []T) {
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}
