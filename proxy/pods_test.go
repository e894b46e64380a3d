package proxy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/crossfade-dev/crossfade/proxy/ir"
)

func TestFindPods(t *testing.T) {
	pod := func(name string, labels map[string]string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: labels},
			Status: corev1.PodStatus{
				PodIP: "10.0.0.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			},
		}
	}
	pods := []*corev1.Pod{
		pod("web", map[string]string{"app": "web", "tier": "front"}),
		pod("web-back", map[string]string{"app": "web", "tier": "back"}),
		pod("web-s1", map[string]string{"app": "web", "tier": "front", revisionLabel: "s1"}),
		pod("other-s1", map[string]string{"app": "other", revisionLabel: "s1"}),
		pod("empty", map[string]string{"app": ""}),
		pod("bare", nil),
	}
	without := pod("no-ip", map[string]string{"app": "web"})
	without.Status.PodIP = ""
	cases := map[string]struct {
		reason   string
		selector podSelector
		want     []string
	}{
		"AllLabels":     {"a pod must have every label", podSelector{"ns", map[string]string{"app": "web", "tier": "front"}, ""}, []string{"web", "web-s1"}},
		"Revision":      {"a revision is one more label", podSelector{"ns", map[string]string{"app": "web"}, "s1"}, []string{"web-s1"}},
		"Empty":         {"an empty value is a value", podSelector{"ns", map[string]string{"app": ""}, ""}, []string{"empty"}},
		"None":          {"without labels nothing is selected, not everything", podSelector{"ns", nil, "s1"}, nil},
		"OtherPlace":    {"selectors end at their namespace", podSelector{"other", map[string]string{"app": "web"}, ""}, nil},
		"EmptyIsThere":  {"a missing label is no empty one", podSelector{"ns", map[string]string{"app": "web", revisionLabel: ""}, ""}, nil},
		"WithoutAnIP":   {"a pod without an address cannot serve", podSelector{"ns", map[string]string{"app": "web"}, ""}, []string{"web", "web-back", "web-s1"}},
		"NobodyMatches": {"no pod at all", podSelector{"ns", map[string]string{"app": "nope", "tier": "front"}, ""}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			index := newPodIndex(append(pods, without), []podSelector{tc.selector}, serves)
			var got []string
			for _, p := range index.find(tc.selector) {
				got = append(got, p.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestEndpointsOf(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	container := func(protocol corev1.Protocol, port int32) corev1.Container {
		return corev1.Container{Ports: []corev1.ContainerPort{{Name: "web", Protocol: protocol, ContainerPort: port}}}
	}
	pod := func(ip string, spec corev1.PodSpec, ips ...string) *corev1.Pod {
		p := &corev1.Pod{Spec: spec, Status: corev1.PodStatus{PodIP: ip}}
		for _, more := range ips {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: more})
		}
		return p
	}
	named := corev1.ServicePort{Port: 80, TargetPort: intstr.FromString("web")}
	cases := map[string]struct {
		reason   string
		pods     []*corev1.Pod
		port     corev1.ServicePort
		families []corev1.IPFamily
		want     []ir.Endpoint
	}{
		"Default": {
			"without a target port it is the Service's",
			[]*corev1.Pod{pod("10.0.0.1", corev1.PodSpec{})},
			corev1.ServicePort{Port: 80},
			nil,
			[]ir.Endpoint{{IP: "10.0.0.1", Port: 80}},
		},
		"Number": {
			"a target port by number",
			[]*corev1.Pod{pod("10.0.0.1", corev1.PodSpec{})},
			corev1.ServicePort{Port: 80, TargetPort: intstr.FromInt32(8080)},
			nil,
			[]ir.Endpoint{{IP: "10.0.0.1", Port: 8080}},
		},
		"Sorted": {
			"in order, and a shared address once",
			[]*corev1.Pod{pod("10.0.0.2", corev1.PodSpec{}), pod("10.0.0.1", corev1.PodSpec{}), pod("10.0.0.2", corev1.PodSpec{})},
			corev1.ServicePort{Port: 80},
			nil,
			[]ir.Endpoint{{IP: "10.0.0.1", Port: 80}, {IP: "10.0.0.2", Port: 80}},
		},
		"Name": {
			"each pod has its own number for a name, and TCP is meant",
			[]*corev1.Pod{
				pod("10.0.0.1", corev1.PodSpec{Containers: []corev1.Container{container("UDP", 53), container("TCP", 8081)}}),
				pod("10.0.0.2", corev1.PodSpec{Containers: []corev1.Container{container("", 8082)}}),
				pod("10.0.0.3", corev1.PodSpec{Containers: []corev1.Container{container("UDP", 53)}}),
			},
			named, nil,
			[]ir.Endpoint{{IP: "10.0.0.1", Port: 8081}, {IP: "10.0.0.2", Port: 8082}},
		},
		"Sidecar": {
			"an init container serves only when it goes on running",
			[]*corev1.Pod{
				pod("10.0.0.1", corev1.PodSpec{InitContainers: []corev1.Container{container("TCP", 8081)}}),
				pod("10.0.0.2", corev1.PodSpec{InitContainers: []corev1.Container{{
					RestartPolicy: &always, Ports: container("TCP", 8082).Ports,
				}}}),
			},
			named, nil,
			[]ir.Endpoint{{IP: "10.0.0.2", Port: 8082}},
		},
		"IPv6First": {
			"the address is of the Service's first family",
			[]*corev1.Pod{pod("10.0.0.1", corev1.PodSpec{}, "10.0.0.1", "fd00::1"), pod("10.0.0.2", corev1.PodSpec{})},
			corev1.ServicePort{Port: 80},
			[]corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol},
			[]ir.Endpoint{{IP: "fd00::1", Port: 80}},
		},
		"IPv4": {
			"whichever address of the pod comes first",
			[]*corev1.Pod{pod("fd00::1", corev1.PodSpec{}, "fd00::1", "10.0.0.1")},
			corev1.ServicePort{Port: 80},
			[]corev1.IPFamily{corev1.IPv4Protocol},
			[]ir.Endpoint{{IP: "10.0.0.1", Port: 80}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			service := &corev1.Service{Spec: corev1.ServiceSpec{IPFamilies: tc.families}}
			if diff := cmp.Diff(tc.want, endpointsOf(tc.pods, service, tc.port)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
