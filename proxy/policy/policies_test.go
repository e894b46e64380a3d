package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/ir"
	"github.com/crossfade-dev/crossfade/proxy/policy"
)

// made is a policy of namespace shop that was created at a second, for some Services.
func made(name string, second int64, spec v1alpha1.MeshPolicySpec, services ...string) *v1alpha1.MeshPolicy {
	p := &v1alpha1.MeshPolicy{Spec: spec}
	p.Name, p.Namespace, p.Generation = name, "shop", 7
	p.CreationTimestamp = metav1.NewTime(time.Unix(second, 0))
	for _, s := range services {
		p.Spec.TargetRefs = append(p.Spec.TargetRefs, v1alpha1.PolicyTargetRef{Kind: "Service", Name: s})
	}
	return p
}

func seconds(n int) *metav1.Duration {
	return &metav1.Duration{Duration: time.Duration(n) * time.Second}
}

func timeout(n int) v1alpha1.MeshPolicySpec {
	return v1alpha1.MeshPolicySpec{Timeouts: &v1alpha1.TimeoutPolicy{Request: seconds(n)}}
}

func number(n int32) *int32 { return &n }

func TestService(t *testing.T) {
	web := ir.ServiceKey{Namespace: "shop", Name: "web"}
	cases := map[string]struct {
		reason   string
		policies []*v1alpha1.MeshPolicy
		want     ir.ServicePolicy
	}{
		"none": {reason: "the mesh's defaults are not in the IR"},
		"namespace": {
			reason: "no policy names the Service", policies: []*v1alpha1.MeshPolicy{made("a", 1, timeout(3))},
			want: ir.ServicePolicy{Timeouts: &ir.Timeouts{Request: 3 * time.Second}},
		},
		"other namespace": {
			reason: "a policy ends at its namespace", policies: []*v1alpha1.MeshPolicy{func() *v1alpha1.MeshPolicy {
				p := made("a", 1, timeout(3))
				p.Namespace = "shop2"
				return p
			}()},
		},
		"other service": {
			reason: "a policy with targets is for these only", policies: []*v1alpha1.MeshPolicy{made("a", 1, timeout(3), "api")},
		},
		"name as a prefix": {
			reason: "names are compared whole", policies: []*v1alpha1.MeshPolicy{made("a", 1, timeout(3), "web-2", "we")},
		},
		"the more specific wins": {
			reason:   "although the namespace's policy is older",
			policies: []*v1alpha1.MeshPolicy{made("a", 1, timeout(3)), made("b", 2, timeout(5), "api", "web")},
			want:     ir.ServicePolicy{Timeouts: &ir.Timeouts{Request: 5 * time.Second}},
		},
		"field by field": {
			reason: "a Service's retries leave the namespace's timeouts alone; a field is not put together from two policies",
			policies: []*v1alpha1.MeshPolicy{
				made("a", 1, v1alpha1.MeshPolicySpec{
					Timeouts:       &v1alpha1.TimeoutPolicy{Request: seconds(3), Idle: seconds(9)},
					CircuitBreaker: &v1alpha1.CircuitBreakerPolicy{MaxRequests: number(4)},
				}),
				made("b", 2, v1alpha1.MeshPolicySpec{
					Retries:        &v1alpha1.RetryPolicy{Attempts: number(0), On: []string{"connect-failure"}},
					CircuitBreaker: &v1alpha1.CircuitBreakerPolicy{MaxConnections: number(5)},
				}, "web"),
			},
			want: ir.ServicePolicy{
				Timeouts:       &ir.Timeouts{Request: 3 * time.Second, Idle: 9 * time.Second},
				Retries:        &ir.Retries{Attempts: 0, On: []string{"connect-failure"}},
				CircuitBreaker: &ir.CircuitBreaker{MaxConnections: 5},
			},
		},
		"older wins": {
			reason:   "of two that name the Service, whatever their order in the list",
			policies: []*v1alpha1.MeshPolicy{made("a", 2, timeout(3), "web"), made("b", 1, timeout(5), "web")},
			want:     ir.ServicePolicy{Timeouts: &ir.Timeouts{Request: 5 * time.Second}},
		},
		"equally old": {
			reason:   "the name decides, so that all replicas agree",
			policies: []*v1alpha1.MeshPolicy{made("b", 1, timeout(5)), made("a", 1, timeout(3))},
			want:     ir.ServicePolicy{Timeouts: &ir.Timeouts{Request: 3 * time.Second}},
		},
		"everything": {
			policies: []*v1alpha1.MeshPolicy{made("a", 1, v1alpha1.MeshPolicySpec{
				Timeouts: &v1alpha1.TimeoutPolicy{Idle: seconds(300)},
				Retries:  &v1alpha1.RetryPolicy{PerTryTimeout: seconds(1), On: []string{"connect-failure", "503", "reset"}, BudgetPercent: number(20)},
				CircuitBreaker: &v1alpha1.CircuitBreakerPolicy{
					MaxConnections: number(1), MaxPendingRequests: number(2), MaxRequests: number(3),
				},
				OutlierDetection: &v1alpha1.OutlierDetectionPolicy{
					Consecutive5xx: 5, Interval: *seconds(10), BaseEjection: *seconds(30), MaxEjectionPercent: 50,
				},
			})},
			want: ir.ServicePolicy{
				Timeouts:       &ir.Timeouts{Idle: 5 * time.Minute},
				Retries:        &ir.Retries{Attempts: 2, PerTry: time.Second, On: []string{"503", "connect-failure", "reset"}, BudgetPercent: 20},
				CircuitBreaker: &ir.CircuitBreaker{MaxConnections: 1, MaxPendingRequests: 2, MaxRequests: 3},
				Outlier:        &ir.Outlier{Consecutive5xx: 5, Interval: 10 * time.Second, BaseEjection: 30 * time.Second, MaxEjectionPercent: 50},
			},
		},
		"on without quotes": {
			reason:   "YAML turns the key into the word true",
			policies: []*v1alpha1.MeshPolicy{made("a", 1, v1alpha1.MeshPolicySpec{Retries: &v1alpha1.RetryPolicy{OnUnquoted: []string{"reset", "503"}}})},
			want:     ir.ServicePolicy{Retries: &ir.Retries{Attempts: 2, On: []string{"503", "reset"}}},
		},
		"unchecked": {
			reason: "an object from before the checks must not turn a limit into none",
			policies: []*v1alpha1.MeshPolicy{made("a", 1, v1alpha1.MeshPolicySpec{
				Timeouts:         &v1alpha1.TimeoutPolicy{Request: seconds(-3)},
				Retries:          &v1alpha1.RetryPolicy{Attempts: number(-1), BudgetPercent: number(1000)},
				CircuitBreaker:   &v1alpha1.CircuitBreakerPolicy{MaxRequests: number(-4)},
				OutlierDetection: &v1alpha1.OutlierDetectionPolicy{MaxEjectionPercent: 200},
			})},
			want: ir.ServicePolicy{
				Timeouts:       &ir.Timeouts{},
				Retries:        &ir.Retries{BudgetPercent: 100, On: []string{"connect-failure", "refused-stream", "reset-before-request"}},
				CircuitBreaker: &ir.CircuitBreaker{MaxRequests: 1},
				Outlier:        &ir.Outlier{Consecutive5xx: 1, MaxEjectionPercent: 100},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, policy.New(tc.policies).Service(web)); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func strict(mode v1alpha1.MTLSMode) v1alpha1.MeshPolicySpec {
	return v1alpha1.MeshPolicySpec{MTLS: &v1alpha1.MTLSPolicy{Mode: mode}}
}

func egress(mode v1alpha1.EgressMode, namespaces ...string) v1alpha1.MeshPolicySpec {
	return v1alpha1.MeshPolicySpec{Egress: &v1alpha1.EgressPolicy{Mode: mode, Namespaces: namespaces}}
}

func TestPod(t *testing.T) {
	yes := true
	deny := v1alpha1.MeshPolicySpec{Access: &v1alpha1.AccessPolicy{Default: v1alpha1.AccessDeny}}
	permissive := ir.Inbound{MTLS: ir.Permissive}
	cases := map[string]struct {
		reason   string
		policies []*v1alpha1.MeshPolicy
		services []string
		want     policy.Pod
	}{
		"none": {services: []string{"web"}, want: policy.Pod{Inbound: permissive}},
		"behind no Service": {
			reason:   "the namespace's policy holds for Jobs, too",
			policies: []*v1alpha1.MeshPolicy{made("a", 1, strict(v1alpha1.MTLSStrict)), made("b", 1, deny, "web")},
			want:     policy.Pod{Inbound: ir.Inbound{MTLS: ir.Strict}},
		},
		"the more specific wins": {
			reason:   "a Service may go back to permissive in a strict namespace",
			policies: []*v1alpha1.MeshPolicy{made("a", 1, strict(v1alpha1.MTLSStrict)), made("b", 2, strict(v1alpha1.MTLSPermissive), "web")},
			services: []string{"web"},
			want:     policy.Pod{Shape: "b", Inbound: permissive},
		},
		"a timeout is no shape": {
			reason: "nothing of the pod's own proxy changes", policies: []*v1alpha1.MeshPolicy{made("a", 1, timeout(3), "web")},
			services: []string{"web"}, want: policy.Pod{Inbound: permissive},
		},
		"two Services": {
			reason:   "the older policy wins, and the other is told; its log is another field and holds",
			services: []string{"api", "web"},
			policies: []*v1alpha1.MeshPolicy{
				made("a", 2, v1alpha1.MeshPolicySpec{
					MTLS:      &v1alpha1.MTLSPolicy{Mode: v1alpha1.MTLSPermissive},
					Telemetry: &v1alpha1.TelemetryPolicy{AccessLog: &yes, Tracing: &v1alpha1.TracingPolicy{SamplingPercent: 3}},
				}, "api"),
				made("b", 1, strict(v1alpha1.MTLSStrict), "web"),
			},
			want: policy.Pod{
				Shape: "a+b", Inbound: ir.Inbound{MTLS: ir.Strict}, Telemetry: ir.Telemetry{AccessLog: true, TracingPercent: 3},
				Overlaps: []policy.Conflict{{
					Namespace: "shop", Policy: "a", Winner: "b", Field: "mtls", Target: "pods that are behind Services api and web",
				}},
			},
		},
		"two policies of one Service": {
			reason:   "that is a conflict by name, and is told once",
			policies: []*v1alpha1.MeshPolicy{made("a", 1, strict(v1alpha1.MTLSStrict), "web"), made("b", 2, strict(v1alpha1.MTLSStrict), "web")},
			services: []string{"web"},
			want:     policy.Pod{Shape: "a+b", Inbound: ir.Inbound{MTLS: ir.Strict}},
		},
		"access": {
			services: []string{"web"},
			policies: []*v1alpha1.MeshPolicy{made("a", 1, v1alpha1.MeshPolicySpec{Access: &v1alpha1.AccessPolicy{
				Default: v1alpha1.AccessDeny,
				Allow: []v1alpha1.AccessRule{{
					From:    []v1alpha1.AccessSource{{Namespace: "z", ServiceAccounts: []string{"y", "x"}}, {Namespace: "b"}},
					Methods: []string{"POST", "GET"}, Paths: []string{"/b", "/a/*"}, Ports: []int32{9000, 80},
				}},
			}}, "web")},
			want: policy.Pod{Shape: "a", Inbound: ir.Inbound{MTLS: ir.Permissive, Access: &ir.Access{
				Default: ir.Deny,
				Allow: []ir.AccessRule{{
					From:    []ir.AccessSource{{Namespace: "z", ServiceAccounts: []string{"x", "y"}}, {Namespace: "b"}},
					Methods: []string{"GET", "POST"}, Paths: []string{"/a/*", "/b"}, Ports: []uint32{80, 9000},
				}},
			}}},
		},
		"an unknown default denies": {
			policies: []*v1alpha1.MeshPolicy{made("a", 1, v1alpha1.MeshPolicySpec{Access: &v1alpha1.AccessPolicy{Default: "allow"}})},
			want:     policy.Pod{Inbound: ir.Inbound{MTLS: ir.Permissive, Access: &ir.Access{Default: ir.Deny}}},
		},
		"a Service that is open": {
			reason: "Allow lifts the namespace's Deny", services: []string{"web"},
			policies: []*v1alpha1.MeshPolicy{made("a", 1, deny), made("b", 1, v1alpha1.MeshPolicySpec{Access: &v1alpha1.AccessPolicy{Default: v1alpha1.AccessAllow}}, "web")},
			want:     policy.Pod{Shape: "b", Inbound: ir.Inbound{MTLS: ir.Permissive, Access: &ir.Access{Default: ir.Allow}}},
		},
		"egress": {
			reason: "the own namespace is always known", policies: []*v1alpha1.MeshPolicy{made("a", 1, egress(v1alpha1.EgressBlock, "warehouse", "billing"))},
			want: policy.Pod{Inbound: permissive, Egress: ir.Egress{Block: true, Namespaces: []string{"billing", "shop", "warehouse"}}},
		},
		"egress with the own": {
			policies: []*v1alpha1.MeshPolicy{made("a", 1, egress(v1alpha1.EgressAllow, "shop"))},
			want:     policy.Pod{Inbound: permissive, Egress: ir.Egress{Namespaces: []string{"shop"}}},
		},
		"egress to all": {
			policies: []*v1alpha1.MeshPolicy{made("a", 1, egress(v1alpha1.EgressBlock))},
			want:     policy.Pod{Inbound: permissive, Egress: ir.Egress{Block: true}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, policy.New(tc.policies).Pod("shop", tc.services)); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestNothingIsChanged(t *testing.T) {
	spec := v1alpha1.MeshPolicySpec{
		Retries: &v1alpha1.RetryPolicy{On: []string{"reset", "503"}},
		Egress:  &v1alpha1.EgressPolicy{Namespaces: []string{"z", "a"}},
		Access:  &v1alpha1.AccessPolicy{Default: v1alpha1.AccessDeny, Allow: []v1alpha1.AccessRule{{Paths: []string{"/b", "/a"}}}},
	}
	list := []*v1alpha1.MeshPolicy{made("b", 2, spec, "web"), made("a", 1, spec, "web")}
	before := []*v1alpha1.MeshPolicy{list[0].DeepCopy(), list[1].DeepCopy()}
	policies := policy.New(list)
	policies.Service(ir.ServiceKey{Namespace: "shop", Name: "web"})
	policies.Pod("shop", []string{"web"})
	if diff := cmp.Diff(before, list); diff != "" {
		t.Errorf("the list belongs to a cache (-before +after)\n%s", diff)
	}
}

func TestTargets(t *testing.T) {
	policies := policy.New([]*v1alpha1.MeshPolicy{
		made("a", 1, timeout(1), "web", "api"), made("b", 1, timeout(1), "web"), made("c", 1, timeout(1)),
	})
	if diff := cmp.Diff([]string{"api", "web"}, policies.Targets("shop")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := policies.Targets("other"); len(got) > 0 {
		t.Errorf("another namespace has targets: %v", got)
	}
}
