package controllers

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// The admission policies are CEL that only an API server runs. What is tried
// here are the cases of the design's attack on a live cluster that need no
// kubelet: every kind of writer against a hold and a pin.

const held = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default, labels: {crossfade.dev/rollout: web, own: label}}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1"}]}
`

const pinned = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default, labels: {crossfade.dev/rollout: web}}
spec: {selector: {app: web}, ports: [{port: 80}]}
`

// writers are the two that the policies tell apart.
type writers struct {
	person, controller client.Client
}

func TestPolicies(t *testing.T) {
	w := startPolicies(t)
	t.Run("without policies the probe says so", w.testProbe(false))
	w.install(t)
	t.Run("with policies the probe says so", w.testProbe(true))
	t.Run("hold", w.testHold)
	t.Run("hold of a paused one", w.testHoldPaused)
	t.Run("pin", w.testPin)
	t.Run("fresh copies", w.testFresh)
	t.Run("break glass", w.testBreakGlass)
}

func startPolicies(t *testing.T) writers {
	t.Helper()
	config := startAPIServer(t, envtest.Environment{})
	ours := rest.CopyConfig(config)
	ours.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:crossfade-system:crossfade-controller",
		Groups:   []string{"system:masters"}, // What it may do is tested end to end.
	}
	return writers{person: newClient(t, config), controller: newClient(t, ours)}
}

// startAPIServer starts etcd and kube-apiserver. `make test` sets
// KUBEBUILDER_ASSETS to where it built them.
func startAPIServer(t testing.TB, env envtest.Environment) *rest.Config {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run `make test`, or set it to .local/bin")
	}
	env.ControlPlaneStartTimeout = 2 * time.Minute // A busy machine may need most of that.
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	config.QPS = -1
	return config
}

func newClient(t testing.TB, config *rest.Config) client.Client {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// createPolicies applies config/policies.
func createPolicies(t testing.TB, c client.Client) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "config", "policies", "*.yaml"))
	if err != nil || len(files) < 5 {
		t.Fatalf("find policies: %v %v", files, err)
	}
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range strings.Split(string(raw), "\n---\n") {
			if err := c.Create(t.Context(), object(t, text)); err != nil {
				t.Fatalf("create from %s: %v", file, err)
			}
		}
	}
}

// install applies the policies and waits until they act.
func (w writers) install(t *testing.T) {
	t.Helper()
	createPolicies(t, w.person)
	w.create(t, held)
	deadline := time.Now().Add(20 * time.Second)
	for {
		d := w.deployment(t)
		err := w.person.Patch(t.Context(), d, merge(`{"spec":{"template":{"metadata":{"annotations":{"probe":"1"}}}}}`), client.DryRunAll)
		if err == nil && d.Annotations[v1alpha1.AnnotationHold] != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the policies do not act after 20 s: %v", err)
		}
	}
	w.remove(t, held)
}

// testProbe asks the prober what this API server does.
func (w writers) testProbe(works bool) func(*testing.T) {
	return func(t *testing.T) {
		w.create(t, strings.ReplaceAll(held, "crossfade.dev/rollout: web, ", ""))
		w.create(t, strings.ReplaceAll(pinned, "crossfade.dev/rollout: web", ""))
		defer w.remove(t, held)
		defer w.remove(t, pinned)
		ro := &v1alpha1.Rollout{}
		ro.Namespace, ro.Name = "default", "web"
		o := &observed{Observation: delivery.Observation{
			Rollout: ro, Deployment: &delivery.Deployment{Name: "web"}, Service: &delivery.Service{Name: "web"},
		}}
		p := newProber(w.controller, func() time.Time { return time.Unix(1000, 0) })
		got := p.policies(t.Context(), o)
		if !got.Known || got.Hold != works || got.Pin != works {
			t.Errorf("got %+v, want known, hold and pin %v", got, works)
		}
		if d := w.deployment(t); d.Spec.Paused || len(d.Spec.Template.Annotations) > 0 || d.Labels[v1alpha1.LabelRollout] != "" {
			t.Errorf("the probe left something behind: %+v", d.ObjectMeta)
		}
	}
}

// testHold lets all sorts of writers change a held Deployment.
func (w writers) testHold(t *testing.T) {
	w.create(t, held)
	defer w.remove(t, held)
	w.patch(t, w.person, w.deployment(t), `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}`)
	w.wantHeld(t, "running")
	attempts := map[string]string{
		"rollout resume":           `{"spec":{"paused":false}}`,
		"paused removed":           `{"spec":{"paused":null}}`,
		"annotation removed":       `{"metadata":{"annotations":{"crossfade.dev/hold":null}}}`,
		"annotation changed":       `{"metadata":{"annotations":{"crossfade.dev/hold":"paused"}}}`,
		"label removed":            `{"metadata":{"labels":{"crossfade.dev/rollout":null}}}`,
		"label changed":            `{"metadata":{"labels":{"crossfade.dev/rollout":"other"}}}`,
		"another template":         `{"spec":{"paused":false,"template":{"spec":{"containers":[{"name":"web","image":"web:3"}]}}}}`,
		"rollout restart":          `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}}}}}`,
		"everything away at once":  `{"metadata":{"labels":null,"annotations":null},"spec":{"paused":false}}`,
		"the first template again": `{"spec":{"template":{"metadata":{"annotations":null},"spec":{"containers":[{"name":"web","image":"web:1"}]}}}}`,
	}
	for name, body := range attempts {
		t.Run(name, func(t *testing.T) {
			w.patch(t, w.person, w.deployment(t), body)
			w.wantHeld(t, "running")
		})
	}
	t.Run("replace without label and annotation", func(t *testing.T) {
		d := object(t, strings.ReplaceAll(held, "crossfade.dev/rollout: web, ", ""))
		d.SetResourceVersion(w.deployment(t).ResourceVersion)
		if err := w.person.Update(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		w.wantHeld(t, "running")
	})
	t.Run("scale and foreign labels are free", func(t *testing.T) {
		w.patch(t, w.person, w.deployment(t), `{"metadata":{"labels":{"own":"other"}},"spec":{"replicas":7}}`)
		if d := w.deployment(t); *d.Spec.Replicas != 7 || d.Labels["own"] != "other" {
			t.Errorf("replicas %d, label %q", *d.Spec.Replicas, d.Labels["own"])
		}
	})
	t.Run("the controller ends the hold", func(t *testing.T) {
		w.patch(t, w.controller, w.deployment(t), `{"metadata":{"annotations":{"crossfade.dev/hold":null}},"spec":{"paused":null}}`)
		if d := w.deployment(t); d.Spec.Paused || d.Annotations[v1alpha1.AnnotationHold] != "" {
			t.Errorf("still held: %+v", d.Annotations)
		}
	})
}

// testHoldPaused: what was paused before is noted as such.
func (w writers) testHoldPaused(t *testing.T) {
	w.create(t, strings.ReplaceAll(held, "replicas: 4", "replicas: 4\n  paused: true"))
	defer w.remove(t, held)
	w.patch(t, w.person, w.deployment(t), `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}`)
	w.wantHeld(t, "paused")
}

// testPin lets all sorts of writers change a pinned Service.
func (w writers) testPin(t *testing.T) {
	w.create(t, pinned)
	defer w.remove(t, pinned)
	w.patch(t, w.person, w.service(t), `{"metadata":{"annotations":{"crossfade.dev/pin":"forged"}}}`)
	w.wantPin(t, "", "web")
	w.patch(t, w.controller, w.service(t), `{"metadata":{"annotations":{"crossfade.dev/pin":"abc"}}}`)
	w.wantPin(t, "abc", "web")
	for name, body := range map[string]string{
		"key removed":        `{"spec":{"selector":{"pod-template-hash":null}}}`,
		"key changed":        `{"spec":{"selector":{"pod-template-hash":"other"}}}`,
		"annotation removed": `{"metadata":{"annotations":{"crossfade.dev/pin":null}}}`,
		"annotation changed": `{"metadata":{"annotations":{"crossfade.dev/pin":"other"}}}`,
		"label removed":      `{"metadata":{"labels":{"crossfade.dev/rollout":null}}}`,
		"NodePort":           `{"spec":{"type":"NodePort"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			w.patch(t, w.person, w.service(t), body)
			w.wantPin(t, "abc", "web")
		})
	}
	t.Run("replace without anything of ours", func(t *testing.T) {
		s := object(t, strings.ReplaceAll(pinned, ", labels: {crossfade.dev/rollout: web}", ""))
		s.SetResourceVersion(w.service(t).ResourceVersion)
		if err := w.person.Update(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		w.wantPin(t, "abc", "web")
	})
	t.Run("the user's own key is his", func(t *testing.T) {
		w.patch(t, w.person, w.service(t), `{"spec":{"selector":{"app":"other"}}}`)
		w.wantPin(t, "abc", "other")
	})
	t.Run("server-side apply does not conflict", func(t *testing.T) {
		s := object(t, strings.ReplaceAll(pinned, ", labels: {crossfade.dev/rollout: web}", ""))
		//nolint:staticcheck // The typed Apply needs generated types; the bytes on the wire are the same.
		if err := w.person.Patch(t.Context(), s, client.Apply, client.FieldOwner("someone"), client.ForceOwnership); err != nil {
			t.Fatal(err)
		}
		w.wantPin(t, "abc", "web")
	})
	t.Run("the controller removes it", func(t *testing.T) {
		w.patch(t, w.controller, w.service(t), `{"metadata":{"annotations":{"crossfade.dev/pin":null}}}`)
		w.wantPin(t, "", "web")
	})
}

// testFresh creates copies of objects that were exported while held and pinned.
func (w writers) testFresh(t *testing.T) {
	exported := strings.ReplaceAll(held, "own: label}", "own: label}, annotations: {crossfade.dev/hold: running}")
	w.create(t, strings.ReplaceAll(exported, "replicas: 4", "replicas: 4\n  paused: true"))
	defer w.remove(t, held)
	if d := w.deployment(t); d.Spec.Paused || d.Annotations[v1alpha1.AnnotationHold] != "" {
		t.Errorf("a copy of a held Deployment would never start a pod: paused %v, %v", d.Spec.Paused, d.Annotations)
	}
	exported = strings.ReplaceAll(pinned, "web}}", "web}, annotations: {crossfade.dev/pin: abc}}")
	w.create(t, strings.ReplaceAll(exported, "{app: web}", "{app: web, pod-template-hash: abc}"))
	defer w.remove(t, pinned)
	w.wantPin(t, "", "web")
}

// testBreakGlass: a person takes both objects out of Crossfade's hands.
func (w writers) testBreakGlass(t *testing.T) {
	w.create(t, held)
	defer w.remove(t, held)
	w.patch(t, w.person, w.deployment(t), `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}`)
	w.patch(t, w.person, w.deployment(t), `{"metadata":{"annotations":{"crossfade.dev/break-glass":"INC-7"}}}`)
	w.patch(t, w.person, w.deployment(t), `{"spec":{"paused":false,"template":{"spec":{"containers":[{"name":"web","image":"web:3"}]}}}}`)
	if d := w.deployment(t); d.Spec.Paused {
		t.Error("still paused")
	}
}

func (w writers) wantHeld(t *testing.T, was string) {
	t.Helper()
	d := w.deployment(t)
	if !d.Spec.Paused || d.Annotations[v1alpha1.AnnotationHold] != was || d.Labels[v1alpha1.LabelRollout] != "web" {
		t.Errorf("not held: paused %v, annotations %v, labels %v", d.Spec.Paused, d.Annotations, d.Labels)
	}
}

func (w writers) wantPin(t *testing.T, pin, app string) {
	t.Helper()
	s := w.service(t)
	if s.Annotations[v1alpha1.AnnotationPin] != pin || s.Spec.Selector[appsv1.DefaultDeploymentUniqueLabelKey] != pin ||
		s.Spec.Selector["app"] != app || s.Labels[v1alpha1.LabelRollout] != "web" {
		t.Errorf("want pin %q and app %q, got annotations %v, selector %v, labels %v", pin, app, s.Annotations, s.Spec.Selector, s.Labels)
	}
}

func (w writers) deployment(t *testing.T) *appsv1.Deployment {
	t.Helper()
	d := &appsv1.Deployment{}
	w.get(t, d)
	return d
}

func (w writers) service(t *testing.T) *corev1.Service {
	t.Helper()
	s := &corev1.Service{}
	w.get(t, s)
	return s
}

func (w writers) get(t *testing.T, o client.Object) {
	t.Helper()
	if err := w.person.Get(t.Context(), types.NamespacedName{Namespace: "default", Name: "web"}, o); err != nil {
		t.Fatal(err)
	}
}

func (w writers) create(t *testing.T, text string) {
	t.Helper()
	if err := w.person.Create(t.Context(), object(t, text)); err != nil {
		t.Fatal(err)
	}
}

func (w writers) remove(t *testing.T, text string) {
	t.Helper()
	// t.Context() is done already in a deferred call of a test that has ended.
	if err := w.person.Delete(context.WithoutCancel(t.Context()), object(t, text)); err != nil {
		t.Fatal(err)
	}
}

func (w writers) patch(t *testing.T, c client.Client, o client.Object, body string) {
	t.Helper()
	if err := c.Patch(t.Context(), o, merge(body)); err != nil {
		t.Fatal(err)
	}
}

func merge(body string) client.Patch { return client.RawPatch(types.MergePatchType, []byte(body)) }

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}
