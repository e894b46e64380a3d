package controllers

import (
	"context"
	"slices"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/ir"
	"github.com/crossfade-dev/crossfade/proxy/server"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

func split(canary uint32) xds.Split {
	return xds.Split{Service: "shop/web", Port: 80, Total: 100, Weights: map[string]uint32{"s": 100 - canary, "c": canary}}
}

func reached(canary uint32) xds.Split {
	s := split(canary)
	s.Reached, s.Traffic = "c", "some"
	return s
}

// TestRenderedTraffic shows that what was rendered of another record is not taken for
// this one's.
func TestRenderedTraffic(t *testing.T) {
	with := func(traffic *v1alpha1.Traffic) *v1alpha1.Record {
		return &v1alpha1.Record{Service: "web", Stable: "s", Canary: "c", Weight: 5, Total: 100, Traffic: traffic}
	}
	match := func(name string) *v1alpha1.Traffic {
		return &v1alpha1.Traffic{Match: []v1alpha1.RequestMatch{{Headers: []v1alpha1.ValueMatch{{Name: name, Type: v1alpha1.MatchPresent}}}}}
	}
	r := rendering{record: with(match("x-team"))}
	for name, tc := range map[string]struct {
		record *v1alpha1.Record
		want   bool
	}{
		"the same":     {with(match("x-team")), true},
		"another":      {with(match("x-user")), false},
		"none":         {with(nil), false},
		"without list": {with(&v1alpha1.Traffic{Match: match("x-team").Match, Audience: []v1alpha1.RequestMatch{}}), true},
	} {
		if r.is(tc.record) != tc.want {
			t.Errorf("%s: it is the record's: %v", name, !tc.want)
		}
	}
}

func TestSummarise(t *testing.T) {
	rendered := rendering{
		Effective: proxy.Effective{Weight: 25, Total: 100, Revisions: []string{"c", "s"}},
		record:    &v1alpha1.Record{Canary: "c"}, ever: []string{"c", "s"},
	}
	acked := server.ServiceAck{Node: "a", Current: true, Acked: []xds.Split{split(25)}, Possible: []xds.Split{split(25)}}
	cases := map[string]struct {
		reason string
		nodes  []string
		acks   []server.ServiceAck
		want   delivery.Proxies
	}{
		"all acked": {
			nodes: []string{"a"}, acks: []server.ServiceAck{acked},
			want: delivery.Proxies{Expected: 1, Connected: 1, Acked: 1, Agreed: 25, MayRoute: []string{"c", "s"}},
		},
		"one runs without a stream": {
			reason: "just after a restart of the controller nobody knows what it routes", nodes: []string{"a", "b"}, acks: []server.ServiceAck{acked},
			want: delivery.Proxies{Expected: 2, Connected: 1, Acked: 1, Agreed: 25, Silent: []string{"b"}, MayRoute: []string{"c", "s"}},
		},
		"one is behind": {
			reason: "it acked 0 and 25 is on its way: it may use either", nodes: []string{"a"},
			acks: []server.ServiceAck{{Node: "a", Acked: []xds.Split{split(0)}, Possible: []xds.Split{split(0), split(25)}}},
			want: delivery.Proxies{Expected: 1, Connected: 1, Silent: []string{"a"}, MayRoute: []string{"c", "s"}},
		},
		"nobody may route to the canary": {
			nodes: []string{"a"}, acks: []server.ServiceAck{{Node: "a", Current: true, Acked: []xds.Split{split(0)}, Possible: []xds.Split{split(0)}}},
			want: delivery.Proxies{Expected: 1, Connected: 1, Acked: 1, MayRoute: []string{"s"}},
		},
		"a match or copies": {
			reason: "at weight 0 the canary gets requests all the same", nodes: []string{"a"},
			acks: []server.ServiceAck{{Node: "a", Current: true, Acked: []xds.Split{reached(0)}, Possible: []xds.Split{reached(0)}}},
			want: delivery.Proxies{Expected: 1, Connected: 1, Acked: 1, MayRoute: []string{"c", "s"}},
		},
		"a version from before": {
			reason: "unknown bytes may have any weight", nodes: []string{"a"}, acks: []server.ServiceAck{{Node: "a", Current: true, Unknown: true}},
			want: delivery.Proxies{Expected: 1, Connected: 1, Silent: []string{"a"}, MayRoute: []string{"c", "s"}},
		},
		"one starts": {
			reason: "its application does not run yet, so the step goes on; but it may have been told of the canary", nodes: []string{"a"},
			acks: []server.ServiceAck{
				{Node: "a", Current: true, Acked: []xds.Split{split(0)}, Possible: []xds.Split{split(0)}},
				{Node: "b", Possible: []xds.Split{split(25)}},
			},
			want: delivery.Proxies{Expected: 1, Connected: 1, Acked: 1, MayRoute: []string{"c", "s"}},
		},
		"one refuses": {
			nodes: []string{"a"}, acks: []server.ServiceAck{{Node: "a", Rejected: "missing ]", Acked: []xds.Split{split(5)}, Possible: []xds.Split{split(5)}}},
			want: delivery.Proxies{Expected: 1, Connected: 1, Rejected: 1, RejectedBy: "a", Error: "missing ]", Agreed: 5, Silent: []string{"a"}, MayRoute: []string{"c", "s"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			seen := sightings{nodes: tc.nodes, connected: map[string]server.ServiceAck{}, starting: map[string]server.ServiceAck{}}
			for _, a := range tc.acks {
				if slices.Contains(tc.nodes, a.Node) {
					seen.connected[a.Node] = a
				} else {
					seen.starting[a.Node] = a
				}
			}
			tc.want.Effective, tc.want.Published = 25, []string{"c", "s"}
			if diff := cmp.Diff(tc.want, summarise(rendered, seen)); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestWaitingKeepsTheLongestWait(t *testing.T) {
	w := newProxyWatch(nil, nil, newWorld(types.NamespacedName{}, NewViews(types.NamespacedName{})), "v1")
	key := types.NamespacedName{Namespace: "shop", Name: "web"}
	start := time.Unix(1000, 0)
	both := map[string]bool{"a": true, "b": true}
	if got := w.waiting(key, both, map[string]server.ServiceAck{"b": {Current: true}}, start); !got.Equal(start) {
		t.Errorf("first sight: since %v, want %v", got, start)
	}
	later := start.Add(time.Minute)
	if got := w.waiting(key, both, nil, later); !got.Equal(start) {
		t.Errorf("a second one joins the wait: since %v, want %v", got, start)
	}
	if got := w.waiting(key, both, map[string]server.ServiceAck{"a": {Current: true}}, later); !got.Equal(later) {
		t.Errorf("the first has acked: since %v, want %v", got, later)
	}
	if got := w.waiting(key, both, map[string]server.ServiceAck{"a": {Current: true}, "b": {Current: true}}, later); !got.IsZero() {
		t.Errorf("all have acked: since %v, want zero", got)
	}
}

func TestSidecarRuns(t *testing.T) {
	yes, no := true, false
	pod := func(phase corev1.PodPhase, name string, started *bool) *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{
			Phase:                 phase,
			InitContainerStatuses: []corev1.ContainerStatus{{Name: name, Started: started}},
			ContainerStatuses:     []corev1.ContainerStatus{{Name: "app", Started: &no}},
		}}
	}
	cases := map[string]struct {
		reason string
		pod    *corev1.Pod
		want   bool
	}{
		"app crashes":  {"its sidecar goes on", pod(corev1.PodRunning, "crossfade-proxy", &yes), true},
		"initializing": {"the application's own init containers ask through it", pod(corev1.PodPending, "crossfade-proxy", &yes), true},
		"starting":     {"it has no configuration yet", pod(corev1.PodPending, "crossfade-proxy", &no), false},
		"unknown":      {"nothing is said of it", pod(corev1.PodPending, "crossfade-proxy", nil), false},
		"done":         {"the pod of a Job ends with its application", pod(corev1.PodSucceeded, "crossfade-proxy", &yes), false},
		"another":      {"another init container", pod(corev1.PodRunning, "setup", &yes), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := sidecarRuns(tc.pod); got != tc.want {
				t.Errorf("%s: got %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}

func TestViews(t *testing.T) {
	views := NewViews(types.NamespacedName{Namespace: "crossfade-system", Name: "crossfade"})
	pod := types.NamespacedName{Namespace: "shop", Name: "web-0"}
	sidecars := []ir.Sidecar{{Namespace: "shop", Egress: ir.Egress{Namespaces: []string{"shop"}}}}
	if views.set(map[types.NamespacedName]string{pod: "policy"}, sidecars) {
		t.Error("a pod that comes has not moved")
	}
	if !views.set(map[types.NamespacedName]string{pod: ""}, sidecars) {
		t.Error("a pod whose policy goes has another view")
	}
	cases := map[string]struct{ reason, id, cluster, want string }{
		"gateway":         {"the one that is served", "crossfade-system/g", "gateway/crossfade-system/crossfade", "gateway/crossfade-system/crossfade"},
		"another gateway": {"it would get the wrong routes", "shop/g", "gateway/shop/own", ""},
		"sidecar":         {"a pod that the mesh loop has seen", "shop/web-0", "sidecar/shop", "sidecar/shop/"},
		"new sidecar":     {"the pod is too new: it comes back", "shop/web-1", "sidecar/shop", ""},
		"liar":            {"a pod of another namespace", "shop/web-0", "sidecar/other", ""},
		"grpc":            {"anybody else is a gRPC client", "x", "", "mesh"},
		"another grpc":    {"nobody is told of a second one", "y", "", "mesh"},
		"nobody":          {"no id", "", "sidecar/shop", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := views.Of(&corev3.Node{Id: tc.id, Cluster: tc.cluster})
			if got != tc.want || (err != nil) != (tc.want == "") {
				t.Errorf("%s: got %q, %v; want %q", tc.reason, got, err, tc.want)
			}
		})
	}
	if !views.hasGRPC.Load() || len(views.grpc) != 1 {
		t.Error("the mesh loop has to hear of the first gRPC client, and of no other")
	}
	if !views.sees(pod, "shop") || views.sees(pod, "other") || views.sees(types.NamespacedName{Namespace: "shop", Name: "bare"}, "shop") {
		t.Error("a sidecar sees the Services of the namespaces of its policy, and a pod without one sees none")
	}
}

func TestProxyRuns(t *testing.T) {
	yes, no := true, false
	pod := func(phase corev1.PodPhase, started *bool) *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{Phase: phase, ContainerStatuses: []corev1.ContainerStatus{{Name: "proxy", Started: started}}}}
	}
	gone := pod(corev1.PodRunning, &yes)
	gone.DeletionTimestamp = &metav1.Time{}
	frozen := pod(corev1.PodRunning, &yes)
	frozen.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
	cases := map[string]struct {
		reason string
		pod    *corev1.Pod
		want   bool
	}{
		"serving":     {pod: pod(corev1.PodRunning, &yes), want: true},
		"frozen":      {reason: "not ready any more, but its connections may come back", pod: frozen, want: true},
		"starting":    {reason: "it has no configuration yet and so no requests", pod: pod(corev1.PodRunning, &no)},
		"unknown":     {pod: pod(corev1.PodRunning, nil)},
		"pending":     {pod: pod(corev1.PodPending, nil)},
		"terminating": {reason: "it counts by its stream, for as long as it has one", pod: gone},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := proxyRuns(tc.pod); got != tc.want {
				t.Errorf("%s: got %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}

// TestObserveWaitsForTheFirstWorld: before it no Service has a proxy, whatever runs.
func TestObserveWaitsForTheFirstWorld(t *testing.T) {
	w := newProxyWatch(nil, noAcks{}, newWorld(types.NamespacedName{}, NewViews(types.NamespacedName{})), "v1")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := w.observe(over, &v1alpha1.Rollout{}, time.Unix(1000, 0)); err == nil {
		t.Errorf("nothing is published, but the proxies are told to be %+v", got)
	}
	w.world.published(nil, proxy.Output{})
	w.world.published(nil, proxy.Output{})
	soon, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := w.observe(soon, &v1alpha1.Rollout{}, time.Unix(1000, 0)); err != nil {
		t.Errorf("something is published: %v", err)
	}
}

type noAcks struct{}

func (noAcks) ServiceAcks(string) []server.ServiceAck { return nil }

func TestOtherVersion(t *testing.T) {
	connected := map[string]server.ServiceAck{"a": {Version: "v1"}, "b": {Version: "v2"}, "c": {Version: "v3"}, "grpc": {}}
	if got := otherVersion("v2", connected); got != 2 {
		t.Errorf("%d of v1, v2, v3 and one without a version are said to have another one than v2, want 2", got)
	}
}
