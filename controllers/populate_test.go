package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// crowd creates settled Deployments, as the controllers of a cluster would have left
// them, each with one ready pod, its ReplicaSet, its Service with an EndpointSlice,
// and a Rollout.
type crowd struct {
	client client.Client
	// pattern is the status of Rollout 0, once it is adopted: the others are created as
	// the controller would have left them. It would spend an hour on ten thousand
	// adoptions, nearly all of it the API server's. Nil leaves them to be adopted.
	pattern *v1alpha1.Rollout
}

// populate creates the Rollouts with the numbers from first to n-1.
func (c crowd) populate(t testing.TB, first, n int) {
	t.Helper()
	var wait sync.WaitGroup
	numbers := make(chan int)
	for range 16 {
		wait.Go(func() {
			for i := range numbers {
				if err := c.create(t.Context(), i); err != nil {
					t.Errorf("create Rollout %d: %v", i, err)
				}
			}
		})
	}
	for i := first; i < n; i++ {
		if i%1000 == 0 {
			t.Logf("%d of %d Rollouts are created", i, n)
		}
		if i%100 == 0 {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceOf(i)}}
			if err := c.client.Create(t.Context(), ns); err != nil {
				t.Fatal(err)
			}
		}
		numbers <- i
	}
	close(numbers)
	wait.Wait()
}

func namespaceOf(i int) string { return fmt.Sprintf("shop-%d", i/100) }
func nameOf(i int) string      { return fmt.Sprintf("web-%d", i) }

// hashOf is a pod-template-hash: templates differ by their labels, so do their hashes.
func hashOf(i int) string { return fmt.Sprintf("%08d", i) }

func (c crowd) create(ctx context.Context, i int) error {
	d, err := c.createDeployment(ctx, i)
	if err != nil {
		return err
	}
	rs, err := c.createReplicaSet(ctx, d, i)
	if err != nil {
		return err
	}
	pod, err := c.createPod(ctx, rs, i)
	if err != nil {
		return err
	}
	if err := c.createService(ctx, pod, i); err != nil {
		return err
	}
	return c.createRollout(ctx, d, i)
}

// meta is an object of Rollout i; who adopts it labels it.
func (c crowd) meta(i int) metav1.ObjectMeta {
	out := metav1.ObjectMeta{Namespace: namespaceOf(i), Name: nameOf(i)}
	if c.pattern != nil {
		out.Labels = map[string]string{v1alpha1.LabelRollout: out.Name}
	}
	return out
}

func (c crowd) createDeployment(ctx context.Context, i int) (*appsv1.Deployment, error) {
	match := map[string]string{"app": nameOf(i)}
	d := &appsv1.Deployment{ObjectMeta: c.meta(i), Spec: appsv1.DeploymentSpec{
		Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: match},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: match}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "web", Image: "web:1", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}},
		}},
	}}
	if err := c.client.Create(ctx, d); err != nil {
		return nil, err
	}
	d.Status.ObservedGeneration, d.Status.Replicas, d.Status.UpdatedReplicas = d.Generation, 1, 1
	return d, c.client.Status().Update(ctx, d)
}

func (c crowd) createReplicaSet(ctx context.Context, d *appsv1.Deployment, i int) (*appsv1.ReplicaSet, error) {
	labels := map[string]string{"app": d.Name, appsv1.DefaultDeploymentUniqueLabelKey: hashOf(i)}
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: d.Name + "-" + hashOf(i), Labels: labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID, Controller: new(true)}},
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: d.Spec.Template.Spec},
		},
	}
	if err := c.client.Create(ctx, rs); err != nil {
		return nil, err
	}
	rs.Status = appsv1.ReplicaSetStatus{ObservedGeneration: rs.Generation, Replicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	return rs, c.client.Status().Update(ctx, rs)
}

// createPod creates a ReplicaSet's only pod, as a kubelet would report it.
func (c crowd) createPod(ctx context.Context, rs *appsv1.ReplicaSet, i int) (*corev1.Pod, error) {
	ip := fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: rs.Namespace, Name: rs.Name + "-x", Labels: rs.Labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: rs.Name, UID: rs.UID, Controller: new(true)}},
		},
		Spec: rs.Spec.Template.Spec,
	}
	if err := c.client.Create(ctx, pod); err != nil {
		return nil, err
	}
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "web", Ready: true, Started: new(true), Image: "web:1", ImageID: "sha256:0"}},
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
	}
	return pod, c.client.Status().Update(ctx, pod)
}

func (c crowd) createService(ctx context.Context, pod *corev1.Pod, i int) error {
	port := int32(8080)
	service := &corev1.Service{
		ObjectMeta: c.meta(i),
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": nameOf(i)}, ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Port: port}},
		},
	}
	if err := c.client.Create(ctx, service); err != nil {
		return err
	}
	return c.client.Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: service.Namespace, Name: service.Name + "-y",
			Labels: map[string]string{discoveryv1.LabelServiceName: service.Name, discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{pod.Status.PodIP}, Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true)},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		}},
	})
}

func (c crowd) createRollout(ctx context.Context, d *appsv1.Deployment, i int) error {
	ro := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name},
		Spec: v1alpha1.RolloutSpec{
			WorkloadRef: v1alpha1.WorkloadRef{Name: d.Name}, ServiceRef: v1alpha1.ServiceRef{Name: d.Name},
			Strategy: v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: []v1alpha1.Step{{Weight: new(int32(10))}}}},
		},
	}
	ro.Spec.Acks.Timeout.Duration = time.Minute
	if c.pattern == nil {
		return c.client.Create(ctx, ro)
	}
	ro.Finalizers = c.pattern.Finalizers
	if err := c.client.Create(ctx, ro); err != nil {
		return err
	}
	raw, err := json.Marshal(c.pattern.Status)
	if err != nil {
		return err
	}
	renamed := strings.NewReplacer(
		nameOf(0), nameOf(i), hashOf(0), hashOf(i), string(c.pattern.Status.Record.WorkloadUID), string(d.UID),
	).Replace(string(raw))
	if err := json.Unmarshal([]byte(renamed), &ro.Status); err != nil {
		return err
	}
	return c.client.Status().Update(ctx, ro)
}
