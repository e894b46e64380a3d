package advice

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// policyRules judge MeshPolicies together with what they are about.
var policyRules = []Rule{
	{
		Code: "XF0501", Name: "NothingCarriesItOut", Severity: Error,
		What: "A policy sets mtls, access or egress for pods that have no sidecar: nobody carries it out. Whoever relies on it is open.",
		Mend: "Label the namespace crossfade.dev/injection=enabled and restart the pods.",
		find: nothingCarriesOut,
	},
	{
		Code: "XF0502", Name: "StrictBeforeAllAreIn", Severity: Warning,
		What: "A policy accepts mutual TLS only, while other pods of the namespace have no sidecar: their requests are refused.",
		Mend: "Use Permissive until the access log shows callers of the mesh only, or give those pods a sidecar.",
		find: strictOutsiders,
	},
	{
		Code: "XF0503", Name: "RetriesHideFailures", Severity: Warning,
		What: "A policy retries requests on an answer of the server's, and a check counts answers after retries (envoy_cluster_upstream_rq_xx): failures that a retry makes good are not seen until it cannot any more.",
		Mend: "Add envoy_cluster_retry_upstream_rq_xx to what the check counts, as e2e/shop/manifests/2-rollout.yaml does.",
		find: retriesHide,
	},
	{
		Code: "XF0504", Name: "TightBreaker", Severity: Warning,
		What: "A circuit breaker of fewer than ten requests or connections on a Service under a Rollout. Proxies count towards each revision: the canary of one or two pods meets the limit of all of stable, and at each step what is over it fails with a 503 that the checks hold against the canary.",
		Mend: "Choose limits that a single proxy's share of the whole load keeps well below.",
		find: tightBreaker,
	},
	{
		Code: "XF0505", Name: "AllMayBeEjected", Severity: Warning,
		What: "outlierDetection may take out every pod of a Service of one or two pods: a few errors in a row leave nobody to answer.",
		Mend: "Set maxEjectionPercent to 50 or less, or run three pods at least.",
		find: allEjected,
	},
	{
		Code: "XF0506", Name: "StreamsCut", Severity: Warning,
		What: "timeouts.request on a Service with a gRPC port: it ends streams, too, however well they are doing.",
		Mend: "Leave out timeouts.request for Services with streams; use timeouts.idle, and deadlines in the clients.",
		find: streamsCut,
	},
	{
		Code: "XF0507", Name: "StreamsStay", Severity: Info,
		What: "A Service with a gRPC or WebSocket port under a Rollout, and nothing bounds its streams: each stays on the revision that it began on, so the canary gets a share of new streams only, and pods that go cut those that are left.",
		Mend: "Let clients or servers renew streams now and then (a maximum connection age), and hold steps as long as streams last.",
		find: streamsStay,
	},
	{
		Code: "XF0508", Name: "TargetNotFound", Severity: Error,
		What: "A policy names a Service that does not exist: it does nothing there.",
		Mend: "Correct spec.targetRefs; they are Services of the policy's own namespace.",
		find: targetNotFound,
	},
	{
		Code: "XF0509", Name: "OlderWins", Severity: Warning,
		What: "Two policies with equal targets set the same field: the older one's holds, and the other one's does not.",
		Mend: "Delete the field in one of them.",
		find: olderWins,
	},
	{
		Code: "XF0510", Name: "GatewayDenied", Severity: Error,
		What: "A policy denies by default and no rule of it allows the gateway, though a route leads to the Service: every request from outside is answered with 403.",
		Mend: "Allow from: [{namespace: crossfade-system, serviceAccounts: [crossfade-gateway]}].",
		find: gatewayDenied,
	},
	{
		Code: "XF0511", Name: "EverybodyKnowsAll", Severity: Info,
		What: "The cluster has more than 1000 ports of Services, and the sidecars of a meshed namespace know all of them: each takes memory for them and hears of each of their pods. A gRPC client without Envoy refuses an answer over 4 MiB, which is some thousand ports.",
		Mend: "Name in a MeshPolicy of the namespace whom its pods call: egress.namespaces.",
		find: everybodyKnowsAll,
	},
}

// The gateway's identity, as it is installed.
const (
	gatewayNamespace = "crossfade-system"
	gatewayAccount   = "crossfade-gateway"
)

// targets are the Services that a policy is about, as far as they are known.
func (s *scene) targets(p *v1alpha1.MeshPolicy) []*corev1.Service {
	var out []*corev1.Service
	for _, o := range s.Services {
		named := len(p.Spec.TargetRefs) == 0 || slices.ContainsFunc(p.Spec.TargetRefs, func(r v1alpha1.PolicyTargetRef) bool { return r.Name == o.Name })
		if o.Namespace == p.Namespace && named {
			out = append(out, o)
		}
	}
	return out
}

// ruled are the Deployments whose pods a policy is about.
func (s *scene) ruled(p *v1alpha1.MeshPolicy) []*appsv1.Deployment {
	var out []*appsv1.Deployment
	for _, d := range s.Deployments {
		behind := len(p.Spec.TargetRefs) == 0 || slices.ContainsFunc(s.targets(p), func(o *corev1.Service) bool { return selects(o, d.Spec.Template.Labels) })
		if d.Namespace == p.Namespace && behind {
			out = append(out, d)
		}
	}
	return out
}

func nothingCarriesOut(s *scene) {
	for _, p := range s.Policies {
		var set []string
		for field, is := range map[string]bool{"access": p.Spec.Access != nil, "egress": p.Spec.Egress != nil, "mtls": p.Spec.MTLS != nil} {
			if is {
				set = append(set, field)
			}
		}
		if slices.Sort(set); len(set) == 0 {
			continue
		}
		for _, d := range s.ruled(p) {
			if has, known := s.sidecar(d); known && !has {
				s.found(RefTo("MeshPolicy", p), "spec."+set[0], "the pods of Deployment %s have no sidecar that could carry out %s", d.Name, strings.Join(set, ", "))
			}
		}
	}
}

func strictOutsiders(s *scene) {
	for _, p := range s.Policies {
		if p.Spec.MTLS == nil || p.Spec.MTLS.Mode != v1alpha1.MTLSStrict {
			continue
		}
		ruled := s.ruled(p)
		var outside []string
		for _, d := range s.Deployments {
			if has, known := s.sidecar(d); d.Namespace == p.Namespace && known && !has && !slices.Contains(ruled, d) {
				outside = append(outside, d.Name)
			}
		}
		if slices.Sort(outside); len(outside) > 0 {
			s.found(RefTo("MeshPolicy", p), "spec.mtls.mode", "pods without a sidecar in the namespace: Deployment %s", strings.Join(outside, ", "))
		}
	}
}

// onAnswers says whether a policy retries what a server has answered.
func onAnswers(p *v1alpha1.MeshPolicy) bool {
	if p.Spec.Retries == nil || p.Spec.Retries.Attempts != nil && *p.Spec.Retries.Attempts == 0 {
		return false
	}
	return slices.ContainsFunc(slices.Concat(p.Spec.Retries.On, p.Spec.Retries.OnUnquoted), func(on string) bool {
		return on == "5xx" || len(on) == 3 && on[0] == '5'
	})
}

func retriesHide(s *scene) {
	for _, p := range s.Policies {
		if !onAnswers(p) {
			continue
		}
		for _, o := range s.targets(p) {
			d := s.deliveryOf(o)
			if d == nil || d.rollout.Spec.Analysis == nil {
				continue
			}
			for _, c := range d.rollout.Spec.Analysis.Checks {
				if c.Prometheus != nil && strings.Contains(c.Prometheus.Query, "upstream_rq_xx") && !strings.Contains(c.Prometheus.Query, "retry_upstream_rq") {
					s.found(RefTo("Rollout", d.rollout), "spec.analysis.checks["+c.Name+"]", "check %s counts answers after the retries of MeshPolicy %s", c.Name, p.Name)
				}
			}
		}
	}
}

// fewest is what a breaker should let through at least.
const fewest = 10

func tightBreaker(s *scene) {
	for _, p := range s.Policies {
		b := p.Spec.CircuitBreaker
		if b == nil {
			continue
		}
		for _, o := range s.targets(p) {
			if s.deliveryOf(o) == nil {
				continue
			}
			for _, limit := range []struct {
				name string
				n    *int32
			}{{"maxConnections", b.MaxConnections}, {"maxPendingRequests", b.MaxPendingRequests}, {"maxRequests", b.MaxRequests}} {
				if limit.n != nil && *limit.n < fewest {
					s.found(RefTo("MeshPolicy", p), "spec.circuitBreaker."+limit.name, "%s is %d for Service %s", limit.name, *limit.n, o.Name)
				}
			}
		}
	}
}

func allEjected(s *scene) {
	for _, p := range s.Policies {
		o := p.Spec.OutlierDetection
		if o == nil || o.MaxEjectionPercent < 100 {
			continue
		}
		for _, d := range s.ruled(p) {
			if n := replicas(d); n > 0 && n <= 2 {
				s.found(RefTo("MeshPolicy", p), "spec.outlierDetection.maxEjectionPercent", "all %d pods of Deployment %s may be out at once", n, d.Name)
			}
		}
	}
}

// streams says whether a Service has a port whose requests may last.
func streams(o *corev1.Service) bool {
	return slices.ContainsFunc(o.Spec.Ports, func(p corev1.ServicePort) bool {
		app := ""
		if p.AppProtocol != nil {
			app = strings.ToLower(*p.AppProtocol)
		}
		web := strings.HasSuffix(app, "/ws") || app == "ws" || strings.HasPrefix(p.Name, "ws-")
		return isTCP(p) && (proxy.Declared(p) == ir.HTTP2 && (app == "grpc" || strings.HasPrefix(p.Name, "grpc")) || web)
	})
}

func streamsCut(s *scene) {
	for _, p := range s.Policies {
		if p.Spec.Timeouts == nil || p.Spec.Timeouts.Request == nil {
			continue
		}
		for _, o := range s.targets(p) {
			if streams(o) {
				s.found(RefTo("MeshPolicy", p), "spec.timeouts.request", "streams to Service %s end after %s", o.Name, p.Spec.Timeouts.Request.Duration)
			}
		}
	}
}

func streamsStay(s *scene) {
	s.services(func(_ *delivered, o *corev1.Service, at Ref) {
		bounded := slices.ContainsFunc(s.Policies, func(p *v1alpha1.MeshPolicy) bool {
			t := p.Spec.Timeouts
			return t != nil && (t.Request != nil || t.Idle != nil) && slices.Contains(s.targets(p), o)
		})
		if streams(o) && !bounded {
			s.found(at, "spec.ports", "its streams stay where they began")
		}
	})
}

func targetNotFound(s *scene) {
	for _, p := range s.Policies {
		for _, r := range p.Spec.TargetRefs {
			if s.service(p.Namespace, r.Name) == nil && s.whole("Service", p.Namespace) {
				s.found(RefTo("MeshPolicy", p), "spec.targetRefs", "there is no Service %s in namespace %s", r.Name, p.Namespace)
			}
		}
	}
}

// settings are the fields of a policy that are set.
func settings(p *v1alpha1.MeshPolicy) []string {
	var out []string
	add := func(is bool, field string) {
		if is {
			out = append(out, field)
		}
	}
	add(p.Spec.Access != nil, "access")
	add(p.Spec.CircuitBreaker != nil, "circuitBreaker")
	add(p.Spec.Egress != nil, "egress")
	add(p.Spec.MTLS != nil, "mtls")
	add(p.Spec.OutlierDetection != nil, "outlierDetection")
	add(p.Spec.Retries != nil, "retries")
	add(p.Spec.Telemetry != nil, "telemetry")
	add(p.Spec.Timeouts != nil, "timeouts")
	return out
}

// meet says whether two policies are equally specific about something.
func meet(a, b *v1alpha1.MeshPolicy) bool {
	if len(a.Spec.TargetRefs) == 0 || len(b.Spec.TargetRefs) == 0 {
		return len(a.Spec.TargetRefs) == len(b.Spec.TargetRefs)
	}
	return slices.ContainsFunc(a.Spec.TargetRefs, func(x v1alpha1.PolicyTargetRef) bool {
		return slices.ContainsFunc(b.Spec.TargetRefs, func(y v1alpha1.PolicyTargetRef) bool { return x.Name == y.Name })
	})
}

func olderWins(s *scene) {
	for i, p := range s.Policies {
		for j, other := range s.Policies {
			age := p.CreationTimestamp.Compare(other.CreationTimestamp.Time)
			if i == j || p.Namespace != other.Namespace || !meet(p, other) || age < 0 || age == 0 && p.Name < other.Name {
				continue
			}
			both := slices.DeleteFunc(settings(p), func(f string) bool { return !slices.Contains(settings(other), f) })
			if len(both) > 0 {
				s.found(RefTo("MeshPolicy", p), "spec."+both[0], "MeshPolicy %s sets %s, too", other.Name, strings.Join(both, ", "))
			}
		}
	}
}

func gatewayDenied(s *scene) {
	for _, p := range s.Policies {
		a := p.Spec.Access
		if a == nil || a.Default != v1alpha1.AccessDeny || slices.ContainsFunc(a.Allow, allowsGateway) {
			continue
		}
		for _, o := range s.targets(p) {
			if routes := s.routesTo(o); len(routes) > 0 {
				s.found(RefTo("MeshPolicy", p), "spec.access.allow", "HTTPRoute %s leads to Service %s, and the gateway may not call its pods", routes[0].Name, o.Name)
			}
		}
	}
}

// many ports of Services are felt in each sidecar.
const many = 1000

func everybodyKnowsAll(s *scene) {
	known := 0
	for _, o := range s.Services {
		known += len(o.Spec.Ports)
	}
	if known <= many {
		return
	}
	for _, ns := range s.Namespaces {
		scoped := slices.ContainsFunc(s.Policies, func(p *v1alpha1.MeshPolicy) bool {
			return p.Namespace == ns.Name && len(p.Spec.TargetRefs) == 0 && p.Spec.Egress != nil && len(p.Spec.Egress.Namespaces) > 0
		})
		if meshed, _ := s.meshed(ns.Name); meshed && !scoped {
			s.found(Ref{Kind: "Namespace", Name: ns.Name}, "", "its sidecars know %d ports of Services", known)
		}
	}
}

func allowsGateway(r v1alpha1.AccessRule) bool {
	return len(r.From) == 0 || slices.ContainsFunc(r.From, func(f v1alpha1.AccessSource) bool {
		return f.Namespace == gatewayNamespace && (len(f.ServiceAccounts) == 0 || slices.Contains(f.ServiceAccounts, gatewayAccount))
	})
}
