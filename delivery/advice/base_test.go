package advice

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// shop is a world in which nothing is wrong, with a handle on each object.
type shop struct {
	World
	rollout    *v1alpha1.Rollout
	canary     *v1alpha1.Canary
	check      *v1alpha1.Check
	deployment *appsv1.Deployment
	pod        *corev1.PodSpec
	container  *corev1.Container
	service    *corev1.Service
	namespace  *corev1.Namespace
	route      *gatewayv1.HTTPRoute
	policy     *v1alpha1.MeshPolicy
	autoscaler *autoscalingv2.HorizontalPodAutoscaler
	budget     *policyv1.PodDisruptionBudget
	quota      *corev1.ResourceQuota
}

func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "shop", Name: name}
}

func to[T any](v T) *T { return &v }

func lasts(d time.Duration) *v1alpha1.Pause {
	return &v1alpha1.Pause{Duration: &metav1.Duration{Duration: d}}
}

func newShop() *shop {
	w := &shop{
		rollout: newRollout(), deployment: newDeployment("payments"), service: newService("payments"),
		namespace:  &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled}}},
		route:      newRoute("payments"),
		policy:     &v1alpha1.MeshPolicy{ObjectMeta: named("payments"), Spec: v1alpha1.MeshPolicySpec{TargetRefs: []v1alpha1.PolicyTargetRef{{Kind: "Service", Name: "payments"}}}},
		autoscaler: newAutoscaler(),
		budget: &policyv1.PodDisruptionBudget{ObjectMeta: named("payments"), Spec: policyv1.PodDisruptionBudgetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "payments"}}, MaxUnavailable: to(intstr.FromString("25%")),
		}},
		quota: &corev1.ResourceQuota{ObjectMeta: named("pods"), Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"pods": resource.MustParse("40")}}},
	}
	w.canary = w.rollout.Spec.Strategy.Canary
	w.check = &w.rollout.Spec.Analysis.Checks[0]
	w.pod = &w.deployment.Spec.Template.Spec
	w.container = &w.pod.Containers[0]
	w.World = World{
		Rollouts: []*v1alpha1.Rollout{w.rollout}, Deployments: []*appsv1.Deployment{w.deployment}, Services: []*corev1.Service{w.service},
		Namespaces: []*corev1.Namespace{w.namespace}, Routes: []*gatewayv1.HTTPRoute{w.route}, Policies: []*v1alpha1.MeshPolicy{w.policy},
		Gateways:    []*gatewayv1.Gateway{{ObjectMeta: metav1.ObjectMeta{Namespace: "crossfade-system", Name: "crossfade"}}},
		Autoscalers: []*autoscalingv2.HorizontalPodAutoscaler{w.autoscaler}, Budgets: []*policyv1.PodDisruptionBudget{w.budget},
		Quotas:         []*corev1.ResourceQuota{w.quota},
		Sources:        map[Ref]string{},
		ScrapeInterval: 15 * time.Second,
	}
	for _, kind := range []string{"Rollout", "Deployment", "Service", "Namespace", "HTTPRoute", "Gateway", "ReferenceGrant"} {
		w.Whole = append(w.Whole, Whole{Kind: kind})
	}
	return w
}

func newRollout() *v1alpha1.Rollout {
	return &v1alpha1.Rollout{ObjectMeta: named("payments"), Spec: v1alpha1.RolloutSpec{
		WorkloadRef: v1alpha1.WorkloadRef{Name: "payments"}, ServiceRef: v1alpha1.ServiceRef{Name: "payments"},
		Strategy: v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: []v1alpha1.Step{
			weighing(5, lasts(2*time.Minute)), weighing(25, lasts(5*time.Minute)), weighing(50, &v1alpha1.Pause{}),
		}}},
		Analysis: &v1alpha1.Analysis{Interval: metav1.Duration{Duration: time.Minute}, Checks: []v1alpha1.Check{{
			Name:       "errors",
			Prometheus: &v1alpha1.PrometheusSource{Query: `sum(rate(envoy_cluster_upstream_rq_xx{revision="{{.Canary}}"}[{{.Interval}}]))`},
			Max:        to("0.01"),
		}}},
	}}
}

func newDeployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{ObjectMeta: named(name), Spec: appsv1.DeploymentSpec{
		Replicas: to(int32(10)), MinReadySeconds: 5, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: name, Image: "registry.example/" + name + ":v1",
			Ports:          []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}},
			ReadinessProbe: &corev1.Probe{},
			Resources:      corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m")}},
		}}}},
	}}
}

func newService(name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: named(name), Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": name},
		Ports:    []corev1.ServicePort{{Name: "http-web", Port: 80, TargetPort: intstr.FromString("web")}},
	}}
}

func newRoute(name string) *gatewayv1.HTTPRoute {
	return &gatewayv1.HTTPRoute{ObjectMeta: named(name), Spec: gatewayv1.HTTPRouteSpec{
		CommonRouteSpec: gatewayv1.CommonRouteSpec{ParentRefs: []gatewayv1.ParentReference{{Namespace: to(gatewayv1.Namespace("crossfade-system")), Name: "crossfade"}}},
		Hostnames:       []gatewayv1.Hostname{gatewayv1.Hostname(name + ".example")},
		Rules:           []gatewayv1.HTTPRouteRule{{BackendRefs: []gatewayv1.HTTPBackendRef{leadsTo(name)}}},
	}}
}

func leadsTo(service string) gatewayv1.HTTPBackendRef {
	return gatewayv1.HTTPBackendRef{BackendRef: gatewayv1.BackendRef{BackendObjectReference: gatewayv1.BackendObjectReference{
		Name: gatewayv1.ObjectName(service), Port: to(gatewayv1.PortNumber(80)),
	}}}
}

func newAutoscaler() *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: named("payments"), Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "payments"},
		MinReplicas:    to(int32(2)), MaxReplicas: 20,
		Metrics: []autoscalingv2.MetricSpec{{Type: "Resource", Resource: &autoscalingv2.ResourceMetricSource{
			Name: "cpu", Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType},
		}}},
	}}
}

// weighing is a step of a weight.
func weighing(weight int32, pause *v1alpha1.Pause) v1alpha1.Step {
	return v1alpha1.Step{Weight: &weight, Pause: pause}
}
