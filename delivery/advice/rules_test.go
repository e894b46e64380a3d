package advice

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// ruleCase is a change of the shop that a rule finds, and one close to it that it
// must not find.
type ruleCase struct {
	finds, spares func(*shop)
}

// nothing is a near miss that is the shop itself.
func nothing(*shop) {}

// TestRules gives every rule what it finds and what it must not.
func TestRules(t *testing.T) {
	cases := allCases()
	for _, rule := range Rules() {
		t.Run(rule.Code+" "+rule.Name, func(t *testing.T) {
			c, has := cases[rule.Code]
			if !has {
				t.Fatal("a rule without a case is not tested")
			}
			delete(cases, rule.Code)
			bad, good := newShop(), newShop()
			c.finds(bad)
			c.spares(good)
			if !codes(Judge(bad.World))[rule.Code] {
				t.Errorf("it does not find its case; found: %v", Judge(bad.World))
			}
			if codes(Judge(good.World))[rule.Code] {
				t.Errorf("it finds its near miss: %v", Judge(good.World))
			}
		})
	}
	for code := range cases {
		t.Errorf("case %s belongs to no rule", code)
	}
}

func codes(found []Finding) map[string]bool {
	out := map[string]bool{}
	for _, f := range found {
		out[f.Code] = true
	}
	return out
}

// TestShop keeps the rules from crying wolf: nothing is wrong there.
func TestShop(t *testing.T) {
	if found := Judge(newShop().World); len(found) > 0 {
		t.Errorf("found in a world without a mistake: %+v", found)
	}
	if found := Judge(World{}); len(found) > 0 {
		t.Errorf("found in an empty world: %+v", found)
	}
}

// TestUnknown: nothing is said about what is not known.
func TestUnknown(t *testing.T) {
	w := World{Rollouts: []*v1alpha1.Rollout{newRollout()}, Routes: []*gatewayv1.HTTPRoute{newRoute("payments")}}
	if found := Judge(w); len(found) > 0 {
		t.Errorf("found though only a Rollout and a route are known: %+v", found)
	}
}

// TestCodes: a code is never given twice, and every rule says all of it.
func TestCodes(t *testing.T) {
	before := ""
	for _, r := range Rules() {
		if len(r.Code) != 6 || !strings.HasPrefix(r.Code, "XF") || r.Code <= before {
			t.Errorf("code %s after %s: XF and four digits, rising", r.Code, before)
		}
		if before = r.Code; r.Name == "" || !strings.HasSuffix(r.What, ".") || r.Mend == "" || r.find == nil {
			t.Errorf("rule %s is not whole: name, what (a sentence), mend and find", r.Code)
		}
	}
	if n := len(Rules()); n < 25 {
		t.Errorf("%d rules, at least 25 were promised", n)
	}
}

func allCases() map[string]ruleCase {
	all := map[string]ruleCase{}
	for _, list := range []map[string]ruleCase{rolloutCases, checkCases, hookCases, workloadCases, podCases, serviceCases, routeCases, policyCases, capacityCases, stateCases} {
		for code, c := range list {
			all[code] = c
		}
	}
	return all
}

var rolloutCases = map[string]ruleCase{
	"XF0001": {func(w *shop) {
		w.Strange = []Strange{{At: RefTo("Rollout", w.rollout), Message: `unknown field "spec.stepz"`}}
	}, nothing},
	"XF0002": {func(w *shop) {
		w.Invalid = []Strange{{At: RefTo("Rollout", w.rollout), Field: "spec.strategy", Message: "say exactly one"}}
	}, nothing},
	"XF0101": {func(w *shop) { w.rollout.Spec.Analysis = nil }, nothing},
	"XF0102": {
		func(w *shop) { w.canary.Steps = []v1alpha1.Step{weighing(49, nil)} },
		func(w *shop) { w.canary.Steps = []v1alpha1.Step{weighing(50, nil)} },
	},
	"XF0103": {
		func(w *shop) { w.canary.Steps[2].Replicas = to(intstr.FromInt32(2)) },
		func(w *shop) { w.canary.Steps[2].Replicas = to(intstr.FromInt32(4)) },
	},
	"XF0104": {
		func(w *shop) { w.canary.Steps[0] = weighing(0, nil) },
		func(w *shop) {
			w.canary.Steps[0] = weighing(0, nil)
			w.canary.Steps[0].Replicas = to(intstr.FromInt32(1))
			w.canary.Steps[1] = weighing(0, nil)
			w.canary.Steps[1].Match = []v1alpha1.RequestMatch{{Headers: []v1alpha1.ValueMatch{{Name: "x-team"}}}}
		},
	},
	"XF0105": {
		func(w *shop) { w.rollout.Spec.ScaleDownDelaySeconds = to(int32(0)) },
		func(w *shop) { w.rollout.Spec.ScaleDownDelaySeconds = to(int32(1)) },
	},
	"XF0106": {
		func(w *shop) { w.rollout.Spec.Acks.OnTimeout = v1alpha1.AckTimeoutContinue },
		func(w *shop) { w.rollout.Spec.Acks.OnTimeout = v1alpha1.AckTimeoutRollback },
	},
	"XF0107": {func(w *shop) { w.rollout.Spec.Paused = true }, nothing},
	"XF0108": {
		func(w *shop) {
			w.canary.Steps[0].Mirror = &v1alpha1.Mirror{Percent: 5, Methods: []string{"GET", "POST"}}
		},
		func(w *shop) { w.canary.Steps[0].Mirror = &v1alpha1.Mirror{Percent: 5, Methods: []string{"GET"}} },
	},
	"XF0109": {func(w *shop) { stick(w, 169*time.Hour) }, func(w *shop) { stick(w, 168*time.Hour) }},
	"XF0110": {func(w *shop) { holdAll(w, time.Hour); stick(w, time.Hour) }, func(w *shop) { holdAll(w, time.Hour); stick(w, time.Duration(len(w.canary.Steps))*time.Hour) }},
}

func holdAll(w *shop, each time.Duration) {
	for i := range w.canary.Steps {
		w.canary.Steps[i].Pause = &v1alpha1.Pause{Duration: every(each)}
	}
}

func stick(w *shop, ttl time.Duration) {
	w.canary.Sticky = &v1alpha1.Sticky{Cookie: &v1alpha1.StickyCookie{Name: "crossfade", TTL: metav1.Duration{Duration: ttl}}}
}

func every(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

var checkCases = map[string]ruleCase{
	"XF0151": {
		func(w *shop) { w.check.Interval = every(29 * time.Second) },
		func(w *shop) {
			w.check.Interval, w.check.Window = every(10*time.Second), every(30*time.Second)
			w.check.Prometheus.Query = `rate(x{revision="{{ .Canary }}"}[{{ .Interval }}])`
		},
	},
	"XF0152": {
		func(w *shop) {
			w.canary.Steps = w.canary.Steps[:2]
			w.canary.Steps = append(w.canary.Steps, weighing(60, nil))
			w.check.FailureLimit = to(int32(5))
		},
		func(w *shop) {
			w.canary.Steps = w.canary.Steps[:2]
			w.canary.Steps = append(w.canary.Steps, weighing(60, nil))
			w.check.ConsecutiveFailures = to(int32(5))
		},
	},
	"XF0153": {
		func(w *shop) { w.check.InitialDelay = every(121 * time.Second) },
		func(w *shop) { w.check.InitialDelay = every(120 * time.Second) },
	},
	"XF0154": {func(w *shop) { w.check.DryRun = true }, func(w *shop) {
		dry := *w.check
		dry.Name, dry.DryRun = "dry", true
		w.rollout.Spec.Analysis.Checks = append(w.rollout.Spec.Analysis.Checks, dry)
	}},
	"XF0155": {func(w *shop) { w.check.OnNoData = v1alpha1.NoDataPass }, func(w *shop) {
		second := *w.check
		second.Name, second.OnNoData = "latency", v1alpha1.NoDataPass
		w.rollout.Spec.Analysis.Checks = append(w.rollout.Spec.Analysis.Checks, second)
	}},
	"XF0156": {
		func(w *shop) { w.check.Prometheus.Query = `sum(rate(errors{revision="{{.Stable}}"}[1m]))` },
		func(w *shop) { w.check.Prometheus.Query = `sum(rate(errors{revision="{{ .Canary }}"}[1m]))` },
	},
	"XF0157": {func(w *shop) {
		w.Refused = []Strange{{At: RefTo("Rollout", w.rollout), Message: "check errors: unknown field .Pod"}}
	}, nothing},
	"XF0158": {
		func(w *shop) { w.check.Interval = every(10 * time.Minute) },
		func(w *shop) { w.check.Interval = every(9 * time.Minute) },
	},
	"XF0171": {
		func(w *shop) {
			w.rollout.Spec.Schedule = &v1alpha1.Schedule{Allow: []v1alpha1.Window{{Cron: "0 0 30 2 *", Duration: metav1.Duration{Duration: time.Hour}}}}
		},
		func(w *shop) {
			w.rollout.Spec.Schedule = &v1alpha1.Schedule{Allow: []v1alpha1.Window{{Cron: "0 0 29 2 *", Duration: metav1.Duration{Duration: time.Hour}}}}
		},
	},
	"XF0172": {
		func(w *shop) {
			w.Freezes = []*v1alpha1.Freeze{{Spec: v1alpha1.FreezeSpec{Cron: "0 0 * * *", Duration: every(time.Hour), TimeZone: "Mars/Olympus"}}}
		},
		func(w *shop) {
			w.Freezes = []*v1alpha1.Freeze{{Spec: v1alpha1.FreezeSpec{Cron: "0 0 * * *", Duration: every(time.Hour), TimeZone: "Europe/Berlin"}}}
		},
	},
	"XF0173": {
		func(w *shop) { w.Freezes = []*v1alpha1.Freeze{{}} },
		func(w *shop) {
			w.Freezes = []*v1alpha1.Freeze{{Spec: v1alpha1.FreezeSpec{To: &metav1.Time{Time: time.Unix(2e9, 0)}}}}
		},
	},
	"XF0181": {
		func(w *shop) { w.canary.Steps[0].Match = matching(v1alpha1.MatchRegex, "(?=a)b") },
		func(w *shop) { w.canary.Steps[0].Match = matching(v1alpha1.MatchPrefix, "(?=a)b") },
	},
	"XF0159": {
		func(w *shop) { w.check.Prometheus, w.check.SuccessRate = nil, &v1alpha1.SuccessRate{} },
		func(w *shop) {
			w.check.Prometheus, w.check.SuccessRate, w.check.MinRequests = nil, &v1alpha1.SuccessRate{}, 10
		},
	},
}

var workloadCases = map[string]ruleCase{
	"XF0201": {func(w *shop) { w.Deployments = nil }, func(w *shop) { w.Deployments, w.Whole = nil, nil }},
	"XF0202": {
		func(w *shop) {
			w.Deployments, w.Workloads = nil, []Ref{{Kind: "StatefulSet", Namespace: "shop", Name: "payments"}}
		},
		func(w *shop) { w.Workloads = []Ref{{Kind: "StatefulSet", Namespace: "shop", Name: "payments"}} },
	},
	"XF0203": {
		func(w *shop) { w.deployment.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType },
		func(w *shop) {
			w.deployment.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
			w.rollout.Spec.AllowRecreateStrategy = true
		},
	},
	"XF0204": {
		func(w *shop) { w.deployment.Spec.RevisionHistoryLimit = to(int32(0)) },
		func(w *shop) { w.deployment.Spec.RevisionHistoryLimit = to(int32(1)) },
	},
	"XF0205": {
		func(w *shop) { w.container.ReadinessProbe = nil },
		func(w *shop) {
			w.pod.Containers = append(w.pod.Containers, corev1.Container{Name: "logs", Image: "logs:1"})
		},
	},
	"XF0206": {func(w *shop) { w.deployment.Spec.MinReadySeconds = 0 }, nothing},
	"XF0207": {
		func(w *shop) { w.container.ReadinessProbe.InitialDelaySeconds = 595 },
		func(w *shop) { w.container.ReadinessProbe.InitialDelaySeconds = 594 },
	},
	"XF0208": {
		func(w *shop) { w.container.EnvFrom = []corev1.EnvFromSource{fromConfigMap("payments-settings")} },
		func(w *shop) {
			w.container.EnvFrom = []corev1.EnvFromSource{fromConfigMap("payments-settings-5g2b9hcf8k"), fromConfigMap("flags-v12")}
		},
	},
	"XF0209": {
		func(w *shop) { w.pod.TerminationGracePeriodSeconds = to(int64(5)) },
		func(w *shop) { w.pod.TerminationGracePeriodSeconds = to(int64(10)) },
	},
	"XF0212": {
		func(w *shop) { w.Rollouts = append(w.Rollouts, second("payments", "other")) },
		func(w *shop) { w.Rollouts = append(w.Rollouts, second("other", "payments")) },
	},
	"XF0213": {
		func(w *shop) { w.deployment.Spec.Replicas = to(int32(0)) },
		func(w *shop) { w.deployment.Spec.Replicas = nil },
	},
	"XF0214": {
		func(w *shop) { w.service.Annotations = map[string]string{v1alpha1.AnnotationBreakGlass: "INC-7"} },
		func(w *shop) { w.service.Annotations = map[string]string{v1alpha1.AnnotationPin: "abc"} },
	},
}

// podCases are about the pods of the Deployment.
var podCases = map[string]ruleCase{
	"XF0210": {
		func(w *shop) { w.container.SecurityContext = &corev1.SecurityContext{RunAsUser: to(int64(1337))} },
		func(w *shop) {
			w.pod.SecurityContext = &corev1.PodSecurityContext{RunAsUser: to(int64(1337))}
			w.container.SecurityContext = &corev1.SecurityContext{RunAsUser: to(int64(1000))}
		},
	},
	"XF0211": {
		func(w *shop) { w.pod.HostNetwork = true },
		func(w *shop) { w.pod.HostNetwork, w.namespace.Labels = true, nil },
	},
	"XF0215": {
		func(w *shop) { w.container.Image = "registry.example:5000/payments" },
		func(w *shop) { w.container.Image = "registry.example:5000/payments@sha256:0123" },
	},
	"XF0216": {
		func(w *shop) { mountClaim(w, false) },
		func(w *shop) { mountClaim(w, true) },
	},
	"XF0217": {func(w *shop) { w.container.Ports[0].HostPort = 80 }, nothing},
	"XF0218": {
		func(w *shop) { w.container.Args = []string{"--listen=127.0.0.1:8080"} },
		func(w *shop) {
			w.container.Args = []string{"--listen=:8080", "--database=127.0.0.1:5432", "--self=http://localhost:8080"}
		},
	},
	"XF0219": {
		func(w *shop) { w.container.Ports[0].ContainerPort = 15006 },
		func(w *shop) { w.container.Ports[0].ContainerPort, w.namespace.Labels = 15006, nil },
	},
}

func fromConfigMap(name string) corev1.EnvFromSource {
	return corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}
}

func mountClaim(w *shop, readOnly bool) {
	w.pod.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
	w.container.VolumeMounts = []corev1.VolumeMount{{Name: "data", ReadOnly: readOnly}}
}

// second is another, later Rollout.
func second(deployment, service string) *v1alpha1.Rollout {
	ro := newRollout()
	ro.Name, ro.Spec.WorkloadRef.Name, ro.Spec.ServiceRef.Name = "other", deployment, service
	ro.CreationTimestamp = metav1.NewTime(time.Unix(1e9, 0))
	return ro
}

var serviceCases = map[string]ruleCase{
	"XF0301": {func(w *shop) { w.Services = nil }, func(w *shop) { w.Services, w.Whole = nil, nil }},
	"XF0302": {
		func(w *shop) { w.service.Spec.Selector = map[string]string{"app": "payment"} },
		func(w *shop) { w.service.Spec.Selector[appsv1.DefaultDeploymentUniqueLabelKey] = "78bd5d695" },
	},
	"XF0303": {
		func(w *shop) {
			w.service.Spec.Selector = map[string]string{"app": "payments", "version": "v1"}
			w.deployment.Spec.Template.Labels = map[string]string{"app": "payments", "version": "v1"}
		},
		func(w *shop) {
			w.deployment.Spec.Template.Labels = map[string]string{"app": "payments", "version": "v1"}
		},
	},
	"XF0304": {
		func(w *shop) { w.Rollouts = append(w.Rollouts, second("other", "payments")) },
		func(w *shop) {
			ro := second("other", "payments")
			ro.Namespace = "elsewhere"
			w.Rollouts = append(w.Rollouts, ro)
		},
	},
	"XF0305": {
		func(w *shop) { w.container.Ports[0].Name = "http" },
		func(w *shop) {
			w.container.Ports[0].Name = "http"
			w.service.Spec.Ports[0].TargetPort = intstr.FromInt32(8080)
		},
	},
	"XF0306": {
		func(w *shop) { w.service.Spec.Ports[0].AppProtocol = to("postgres") },
		func(w *shop) { w.service.Spec.Ports[0].AppProtocol = to("kubernetes.io/h2c") },
	},
	"XF0307": {
		func(w *shop) {
			w.service.Spec.Ports = append(w.service.Spec.Ports, corev1.ServicePort{Name: "dns", Protocol: "UDP", Port: 53})
		},
		func(w *shop) { w.service.Spec.Ports[0].Protocol = corev1.ProtocolTCP },
	},
	"XF0308": {
		func(w *shop) { w.service.Spec.SessionAffinity = corev1.ServiceAffinityClientIP },
		func(w *shop) { w.service.Spec.SessionAffinity = corev1.ServiceAffinityNone },
	},
	"XF0309": {
		func(w *shop) { w.service.Spec.ClusterIP = corev1.ClusterIPNone },
		func(w *shop) {
			peers := newService("payments-peers")
			peers.Spec.ClusterIP = corev1.ClusterIPNone
			w.Services = append(w.Services, peers)
		},
	},
	"XF0310": {
		func(w *shop) { w.service.Spec.Selector = nil },
		func(w *shop) { w.Services = append(w.Services, &corev1.Service{ObjectMeta: named("outside")}) },
	},
	"XF0311": {
		func(w *shop) { twoBehind(w, "payments") },
		func(w *shop) { twoBehind(w, "ledger") },
	},
	"XF0312": {func(w *shop) { w.service.Spec.PublishNotReadyAddresses = true }, nothing},
	"XF0313": {
		func(w *shop) { w.service.Spec.Ports[0].Name = "web" },
		func(w *shop) { w.service.Spec.Ports[0].Name, w.service.Spec.Ports[0].AppProtocol = "web", to("http") },
	},
	"XF0314": {
		func(w *shop) { w.service.Spec.Type = corev1.ServiceTypeLoadBalancer },
		func(w *shop) { w.service.Spec.Type = corev1.ServiceTypeClusterIP },
	},
}

// twoBehind adds a Deployment whose pods have the label app of that value.
func twoBehind(w *shop, app string) {
	other := newDeployment("ledger")
	other.Spec.Template.Labels = map[string]string{"app": app}
	w.Deployments = append(w.Deployments, other)
}

func weighted(service string, weight int32) gatewayv1.HTTPBackendRef {
	ref := leadsTo(service)
	ref.Weight = &weight
	return ref
}

var routeCases = map[string]ruleCase{
	"XF0401": {
		func(w *shop) { w.Routes, w.namespace.Labels = nil, nil },
		func(w *shop) { w.Routes = nil },
	},
	"XF0402": {func(w *shop) { w.namespace.Labels = nil }, func(w *shop) { w.namespace.Labels = map[string]string{v1alpha1.LabelIstioInjection: "enabled"} }},
	"XF0403": {
		func(w *shop) {
			w.route.Spec.Rules[0].BackendRefs = append(w.route.Spec.Rules[0].BackendRefs, leadsTo("ledger"))
		},
		func(w *shop) {
			w.Whole = nil
			w.route.Spec.Rules[0].BackendRefs = append(w.route.Spec.Rules[0].BackendRefs, leadsTo("ledger"))
		},
	},
	"XF0404": {
		func(w *shop) {
			w.Services = append(w.Services, newService("ledger"))
			w.Routes = append(w.Routes, newRoute("ledger"))
		},
		func(w *shop) { w.Services = append(w.Services, newService("ledger")) },
	},
	"XF0405": {
		func(w *shop) { w.route.Spec.Rules[0].BackendRefs = []gatewayv1.HTTPBackendRef{weighted("payments", 0)} },
		func(w *shop) { w.route.Spec.Rules[0].BackendRefs = nil },
	},
	"XF0406": {
		func(w *shop) {
			w.route.Spec.Rules[0].BackendRefs = []gatewayv1.HTTPBackendRef{weighted("payments", 90), weighted("ledger", 5)}
		},
		func(w *shop) {
			w.route.Spec.Rules[0].BackendRefs = []gatewayv1.HTTPBackendRef{weighted("payments", 95), weighted("ledger", 5)}
		},
	},
	"XF0407": {
		func(w *shop) {
			again := newRoute("payments")
			again.Name = "again"
			again.Spec.Rules[0].Matches = []gatewayv1.HTTPRouteMatch{{Path: &gatewayv1.HTTPPathMatch{Value: to("/")}}}
			w.Routes = append(w.Routes, again)
		},
		func(w *shop) {
			again := newRoute("payments")
			again.Name = "again"
			again.Spec.Rules[0].Matches = []gatewayv1.HTTPRouteMatch{{Path: &gatewayv1.HTTPPathMatch{Value: to("/v2")}}}
			w.Routes = append(w.Routes, again)
		},
	},
	"XF0408": {
		func(w *shop) { w.route.Namespace = "web"; leadHome(w) },
		func(w *shop) {
			w.route.Namespace = "web"
			leadHome(w)
			w.Grants = []*gatewayv1.ReferenceGrant{{ObjectMeta: named("web"), Spec: gatewayv1.ReferenceGrantSpec{
				From: []gatewayv1.ReferenceGrantFrom{{Kind: "HTTPRoute", Namespace: "web"}}, To: []gatewayv1.ReferenceGrantTo{{Kind: "Service"}},
			}}}
		},
	},
	"XF0409": {
		func(w *shop) { w.route.Spec.ParentRefs[0].Namespace = nil },
		func(w *shop) {
			w.route.Spec.ParentRefs[0].Namespace, w.route.Spec.ParentRefs[0].Kind = nil, to(gatewayv1.Kind("Service"))
		},
	},
	"XF0410": {
		func(w *shop) { w.route.Spec.Rules[0].BackendRefs[0].Port = to(gatewayv1.PortNumber(8080)) },
		nothing,
	},
	"XF0411": {
		func(w *shop) {
			w.route.Spec.Rules[0].BackendRefs = []gatewayv1.HTTPBackendRef{weighted("payments", 95), weighted("ledger", 5)}
		},
		func(w *shop) {
			w.route.Spec.Rules = append(w.route.Spec.Rules, gatewayv1.HTTPRouteRule{BackendRefs: []gatewayv1.HTTPBackendRef{weighted("ledger", 1)}})
		},
	},
}

func leadHome(w *shop) {
	w.route.Spec.Rules[0].BackendRefs[0].Namespace = to(gatewayv1.Namespace("shop"))
}

func withoutSidecar(name string) *appsv1.Deployment {
	d := newDeployment(name)
	d.Spec.Template.Labels = map[string]string{"app": name, v1alpha1.LabelInject: "false"}
	return d
}

var policyCases = map[string]ruleCase{
	"XF0501": {
		func(w *shop) {
			w.policy.Spec.MTLS, w.namespace.Labels = &v1alpha1.MTLSPolicy{Mode: v1alpha1.MTLSStrict}, nil
		},
		func(w *shop) { w.policy.Spec.Timeouts, w.namespace.Labels = &v1alpha1.TimeoutPolicy{}, nil },
	},
	"XF0502": {
		func(w *shop) {
			w.policy.Spec.MTLS = &v1alpha1.MTLSPolicy{Mode: v1alpha1.MTLSStrict}
			w.Deployments = append(w.Deployments, withoutSidecar("cron"))
		},
		func(w *shop) {
			w.policy.Spec.MTLS = &v1alpha1.MTLSPolicy{Mode: v1alpha1.MTLSPermissive}
			w.Deployments = append(w.Deployments, withoutSidecar("cron"))
		},
	},
	"XF0503": {
		func(w *shop) { w.policy.Spec.Retries = &v1alpha1.RetryPolicy{On: []string{"503"}} },
		func(w *shop) {
			w.policy.Spec.Retries = &v1alpha1.RetryPolicy{On: []string{v1alpha1.RetryConnectFailure}}
		},
	},
	"XF0504": {
		func(w *shop) {
			w.policy.Spec.CircuitBreaker = &v1alpha1.CircuitBreakerPolicy{MaxRequests: to(int32(9))}
		},
		func(w *shop) {
			w.policy.Spec.CircuitBreaker = &v1alpha1.CircuitBreakerPolicy{MaxRequests: to(int32(10))}
		},
	},
	"XF0505": {
		func(w *shop) {
			w.deployment.Spec.Replicas = to(int32(2))
			w.policy.Spec.OutlierDetection = &v1alpha1.OutlierDetectionPolicy{MaxEjectionPercent: 100}
		},
		func(w *shop) {
			w.deployment.Spec.Replicas = to(int32(3))
			w.policy.Spec.OutlierDetection = &v1alpha1.OutlierDetectionPolicy{MaxEjectionPercent: 100}
		},
	},
	"XF0506": {
		func(w *shop) {
			w.service.Spec.Ports[0].AppProtocol = to("grpc")
			w.policy.Spec.Timeouts = &v1alpha1.TimeoutPolicy{Request: every(time.Second)}
		},
		func(w *shop) { w.policy.Spec.Timeouts = &v1alpha1.TimeoutPolicy{Request: every(time.Second)} },
	},
	"XF0507": {
		func(w *shop) { w.service.Spec.Ports[0].AppProtocol = to("grpc") },
		func(w *shop) {
			w.service.Spec.Ports[0].AppProtocol = to("grpc")
			w.policy.Spec.Timeouts = &v1alpha1.TimeoutPolicy{Idle: every(time.Minute)}
		},
	},
	"XF0508": {
		func(w *shop) { w.policy.Spec.TargetRefs[0].Name = "payment" },
		func(w *shop) { w.policy.Spec.TargetRefs = nil },
	},
	"XF0509": {
		func(w *shop) { secondPolicy(w, &v1alpha1.RetryPolicy{}) },
		func(w *shop) { secondPolicy(w, nil) },
	},
	"XF0511": {
		func(w *shop) { crowd(w, 1000) },
		func(w *shop) {
			crowd(w, 1000)
			w.Policies = append(w.Policies, &v1alpha1.MeshPolicy{ObjectMeta: named("all"), Spec: v1alpha1.MeshPolicySpec{Egress: &v1alpha1.EgressPolicy{Namespaces: []string{"ledger"}}}})
		},
	},
	"XF0510": {
		func(w *shop) {
			w.policy.Spec.Access = &v1alpha1.AccessPolicy{Default: v1alpha1.AccessDeny, Allow: []v1alpha1.AccessRule{{From: []v1alpha1.AccessSource{{Namespace: "shop"}}}}}
		},
		func(w *shop) {
			w.policy.Spec.Access = &v1alpha1.AccessPolicy{Default: v1alpha1.AccessDeny, Allow: []v1alpha1.AccessRule{{From: []v1alpha1.AccessSource{{Namespace: "crossfade-system"}}}}}
		},
	},
}

// crowd adds Services with a port each.
func crowd(w *shop, n int) {
	for range n {
		w.Services = append(w.Services, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "crowd"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
	}
}

// secondPolicy adds a policy for the same Service, which sets timeouts at least.
func secondPolicy(w *shop, retries *v1alpha1.RetryPolicy) {
	w.policy.Spec.Retries = &v1alpha1.RetryPolicy{}
	other := w.policy.DeepCopy()
	other.Name, other.Spec.Retries, other.Spec.Timeouts = "other", retries, &v1alpha1.TimeoutPolicy{}
	w.Policies = append(w.Policies, other)
}

var capacityCases = map[string]ruleCase{
	"XF0601": {
		func(w *shop) { w.budget.Spec.MinAvailable, w.budget.Spec.MaxUnavailable = to(intstr.FromInt32(8)), nil },
		func(w *shop) {
			w.budget.Spec.MinAvailable, w.budget.Spec.MaxUnavailable = to(intstr.FromString("80%")), nil
		},
	},
	"XF0602": {
		func(w *shop) { w.budget.Spec.MaxUnavailable = to(intstr.FromInt32(0)) },
		func(w *shop) { w.budget.Spec.MaxUnavailable = to(intstr.FromInt32(1)) },
	},
	"XF0603": {
		func(w *shop) { w.autoscaler.Spec.MaxReplicas = 2 },
		func(w *shop) { w.autoscaler.Spec.MaxReplicas = 3 },
	},
	"XF0604": {
		func(w *shop) { w.autoscaler.Spec.MinReplicas = to(int32(0)) },
		func(w *shop) { w.autoscaler.Spec.MinReplicas = nil },
	},
	"XF0605": {
		func(w *shop) { w.Sources[RefTo("Deployment", w.deployment)] = "app.yaml" },
		func(w *shop) {
			w.deployment.Spec.Replicas = nil
			w.Sources[RefTo("Deployment", w.deployment)] = "app.yaml"
		},
	},
	"XF0606": {
		func(w *shop) { w.quota.Spec.Hard["pods"] = resource.MustParse("19") },
		func(w *shop) { w.quota.Spec.Hard["pods"] = resource.MustParse("20") },
	},
	"XF0607": {
		func(w *shop) { w.container.Resources = corev1.ResourceRequirements{} },
		func(w *shop) {
			w.container.Resources = corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("1")}}
		},
	},
	"XF0608": {
		func(w *shop) { w.autoscaler.Status.CurrentReplicas = 20 },
		func(w *shop) { w.autoscaler.Status.CurrentReplicas = 19 },
	},
}

func condition(kind string, status metav1.ConditionStatus) []metav1.Condition {
	return []metav1.Condition{{Type: kind, Status: status, Reason: "Reason", Message: "message"}}
}

var stateCases = map[string]ruleCase{
	"XF0701": {
		func(w *shop) {
			w.rollout.Status.Conditions = condition(v1alpha1.ConditionStalled, metav1.ConditionTrue)
		},
		func(w *shop) {
			w.rollout.Status.Conditions = condition(v1alpha1.ConditionStalled, metav1.ConditionFalse)
		},
	},
	"XF0702": {
		func(w *shop) { w.rollout.Status.Proxies = &v1alpha1.ProxiesStatus{Expected: 2, Connected: 2, Acked: 1} },
		func(w *shop) { w.rollout.Status.Proxies = &v1alpha1.ProxiesStatus{Expected: 2, Connected: 2, Acked: 2} },
	},
	"XF0703": {
		func(w *shop) { w.rollout.Status.Proxies = &v1alpha1.ProxiesStatus{Expected: 1, Rejected: 1} },
		func(w *shop) { w.rollout.Status.Proxies = &v1alpha1.ProxiesStatus{Expected: 1} },
	},
	"XF0704": {
		func(w *shop) { w.rollout.Status.Proxies = &v1alpha1.ProxiesStatus{OtherVersion: 1} },
		func(w *shop) { w.rollout.Status.Proxies = &v1alpha1.ProxiesStatus{} },
	},
	"XF0705": {
		func(w *shop) {
			w.rollout.Status.Canary, w.rollout.Status.Weight = &v1alpha1.RevisionStatus{Replicas: 1}, &v1alpha1.WeightStatus{Desired: 5}
		},
		func(w *shop) {
			w.rollout.Status.Canary, w.rollout.Status.Weight = &v1alpha1.RevisionStatus{Replicas: 1}, &v1alpha1.WeightStatus{}
		},
	},
	"XF0706": {
		func(w *shop) { w.rollout.Status.Conditions = condition(v1alpha1.ConditionHeld, metav1.ConditionFalse) },
		func(w *shop) { w.rollout.Status.Conditions = condition(v1alpha1.ConditionHeld, metav1.ConditionTrue) },
	},
	"XF0707": {
		func(w *shop) { refuse(w, metav1.ConditionFalse) },
		func(w *shop) { refuse(w, metav1.ConditionTrue) },
	},
	"XF0708": {
		func(w *shop) {
			w.policy.Status.Conditions = condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse)
		},
		func(w *shop) {
			w.policy.Status.Conditions = condition(v1alpha1.ConditionProgrammed, metav1.ConditionTrue)
		},
	},
}

func refuse(w *shop, status metav1.ConditionStatus) {
	w.route.Status.Parents = []gatewayv1.RouteParentStatus{{Conditions: condition(string(gatewayv1.RouteConditionAccepted), status)}}
}

func matching(kind v1alpha1.MatchType, value string) []v1alpha1.RequestMatch {
	return []v1alpha1.RequestMatch{{Headers: []v1alpha1.ValueMatch{{Name: "x-team", Type: kind, Value: &value}}}}
}
