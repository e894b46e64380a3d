package proxy_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// BenchmarkBuild is the cost of looking at the whole cluster anew, and of then
// translating it when nothing changed: it must grow with the number of Rollouts, not
// with its square.
func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		in := manyRollouts(n)
		b.Run(fmt.Sprintf("rollouts=%d", n), func(b *testing.B) {
			for b.Loop() {
				proxy.Build(in)
			}
		})
		b.Run(fmt.Sprintf("unchanged/rollouts=%d", n), func(b *testing.B) {
			world := xds.Translate(nil, proxy.Build(in).Config)
			next := proxy.Build(in).Config
			for b.Loop() {
				xds.Translate(world, next)
			}
		})
	}
}

// manyRollouts are Rollouts with three pods each, all in one namespace and with one
// label in common: the worst case for an index.
func manyRollouts(n int) proxy.Input {
	in := proxy.Input{Options: proxy.DefaultOptions()}
	for i := range n {
		app := fmt.Sprintf("app%05d", i)
		meta := metav1.ObjectMeta{Namespace: "ns", Name: app}
		in.Rollouts = append(in.Rollouts, &v1alpha1.Rollout{ObjectMeta: meta, Status: v1alpha1.RolloutStatus{
			Record: &v1alpha1.Record{Service: app, Stable: "s" + app, Canary: "c" + app, Weight: 5, Total: 100, Capacity: 1},
		}})
		in.Services = append(in.Services, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": app, "tier": "web"}, Ports: []corev1.ServicePort{{Port: 80}},
		}})
		for p, revision := range []string{"s", "s", "c"} {
			in.Pods = append(in.Pods, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprint(app, p), Labels: map[string]string{
					"app": app, "tier": "web", "pod-template-hash": revision + app,
				}},
				Status: corev1.PodStatus{
					PodIP:      fmt.Sprintf("10.%d.%d.%d", p, i/250, i%250),
					Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
				},
			})
		}
	}
	return in
}
