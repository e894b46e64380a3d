//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/e2e/live"
	"github.com/crossfade-dev/crossfade/e2e/load"
)

// TestHandover are the scenarios by which the hold, the pin and the handover were attacked before they were built.
func TestHandover(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"refused", refused},
		{"deployment-deleted", deploymentDeleted},
		{"replaced-by-force", replacedByForce},
		{"namespace-deleted", namespaceDeleted},
		{"canary-pods-deleted", canaryPodsDeleted},
		{"stable-unready", stableUnready},
		{"copies", copies},
		{"break-glass", breakGlass},
		{"paused", paused},
		{"retry", retry},
		{"second-service", secondService},
		{"scaled-to-zero", scaledToZero},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t)
		})
	}
}

// What could not be delivered safely is refused with a reason, and taken on once it is mended.
func refused(t *testing.T) {
	s := stage(t, setup{Replicas: 1})
	reason := func(want string) {
		t.Helper()
		s.await("is refused with "+want, func(r live.Rollout) bool {
			c := r.Condition("Ready")
			return c.Status == "False" && c.Reason == want
		})
	}
	patch := func(p string) {
		t.Helper()
		s.kubectl("patch", "deployment", name, "--type=merge", "-p", p)
		s.kubectl("rollout", "status", "deployment/"+name, patiently)
	}
	patch(`{"spec":{"revisionHistoryLimit":0}}`)
	s.rollout.SkipAll()
	s.apply("rollout.yaml")
	reason("HistoryLimitZero")
	patch(`{"spec":{"revisionHistoryLimit":10,"strategy":{"type":"Recreate","rollingUpdate":null}}}`)
	reason("RecreateStrategy")
	patch(`{"spec":{"strategy":{"type":"RollingUpdate"}}}`)
	s.await("is Healthy", live.Rollout.Healthy)

	second := strings.Replace(s.render("rollout.yaml"), "metadata:\n  name: payments", "metadata:\n  name: other", 1)
	if out, err := s.feed(second, "apply", "-f", "-"); err != nil {
		t.Fatal(err, out)
	}
	s.kubectl("wait", "rollout/other", `--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=Conflict`, patiently)
	if r := s.rollout.Last().Object; !r.Healthy() {
		t.Errorf("the first Rollout must not mind a second one: %v", r)
	}
	bad := strings.Replace(s.render("rollout.yaml"), "weight: 20", "weight: 101", 1)
	if out, err := s.feed(bad, "apply", "-f", "-"); err == nil || !strings.Contains(out, "totalWeight") {
		t.Errorf("a weight over totalWeight has to be refused with a sentence, got: %s", out)
	}
}

// A Deployment that is deleted mid-way takes all pods with it; one that comes back is adopted.
func deploymentDeleted(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Steps: []step{{50, "endless"}}})
	s.atWeight(s.change("v2"), 50)
	s.kubectl("delete", "deployment", name, patiently)
	s.kubectl("wait", "pod", "-l", "app="+name, "--for=delete", patiently)
	s.rollout.SkipAll()
	s.apply("app.yaml")
	s.kubectl("rollout", "status", "deployment/"+name, patiently)
	s.await("has adopted the Deployment that came back", func(r live.Rollout) bool { return r.Healthy() && r.Status.Stable.Ready == 2 })
	s.reachable()
}

// kubectl replace --force deletes and creates: all pods restart as in any cluster, but nothing stays dead.
func replacedByForce(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Steps: []step{{50, "endless"}}})
	s.atWeight(s.change("v2"), 50)
	s.rollout.SkipAll()
	objects := strings.Split(s.render("app.yaml"), "---\n")
	if out, err := s.feed(objects[1], "replace", "--force", "-f", "-"); err != nil {
		t.Fatal(err, out)
	}
	s.kubectl("rollout", "status", "deployment/"+name, patiently)
	s.await("has adopted the replaced Deployment", func(r live.Rollout) bool { return r.Healthy() && r.Status.Stable.Ready == 2 })
	if key := s.kubectl("get", "service", name, "-o", "jsonpath={.spec.selector.pod-template-hash}"); key != "" {
		t.Errorf("the Service is still pinned to %s", key)
	}
	s.reachable()
}

// A namespace goes away mid-way; no finalizer holds it up.
func namespaceDeleted(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Steps: []step{{50, "endless"}}})
	s.atWeight(s.change("v2"), 50)
	begin := time.Now()
	s.kubectl("delete", "namespace", s.Namespace, patiently)
	t.Logf("the namespace was gone after %s", time.Since(begin).Round(time.Second))
}

// All canary pods are deleted at once at 50 %: their requests go to stable, and come back with new pods.
func canaryPodsDeleted(t *testing.T) {
	s := begin(t, setup{Steps: []step{{50, "endless"}}})
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 50)
	s.rollout.SkipAll()
	s.kubectl("delete", "pod", "-l", "pod-template-hash="+canary, "--wait=false")
	s.await("renders less weight", func(r live.Rollout) bool { return r.Status.Weight.Effective < 50 })
	s.atWeight(canary, 50)
	// Shares are not judged until here: the proxies' weight falls with the pods, a moment before the status says so.
	f.judge(nil)
	f = s.load()
	s.promote(canary)
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
}

// Stable loses all its ready pods while the canary has some: the plain Service must not stay empty (pin guard).
func stableUnready(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Steps: []step{{50, "endless"}}})
	stable := s.rollout.Last().Object.Status.Stable.Revision
	canary := s.change("v2")
	s.atWeight(canary, 50)
	for _, ready := range []string{"false", "true"} {
		var list corev1.PodList
		if err := s.api.List(s.ctx, &list, client.InNamespace(s.Namespace), client.MatchingLabels{"pod-template-hash": stable}); err != nil {
			t.Fatal(err)
		}
		for _, p := range list.Items {
			answer, err := http.Post(fmt.Sprintf("http://%s:8080/fault?ready=%s", p.Status.PodIP, ready), "", nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
		}
		if ready == "false" {
			// The pin goes away from stable: to the canary, or off.
			s.until("the Service has endpoints without stable", func() (string, bool) {
				key := s.kubectl("get", "service", name, "-o", "jsonpath={.spec.selector.pod-template-hash}")
				return key, key != stable
			})
			s.until("an event tells that the pin was moved", func() (string, bool) {
				out := s.kubectl("get", "events", "--field-selector=reason=PinMoved", "-o", "name")
				return out, out != ""
			})
			continue
		}
		s.until("the Service is pinned to stable again", func() (string, bool) {
			key := s.kubectl("get", "service", name, "-o", "jsonpath={.spec.selector.pod-template-hash}")
			return key, key == stable
		})
	}
}

// Copies of a held Deployment and a pinned Service, made in another namespace, start clean.
func copies(t *testing.T) {
	s := begin(t, setup{Replicas: 1, Steps: []step{{50, "endless"}}})
	s.atWeight(s.change("v2"), 50)
	elsewhere := s.Namespace + "-elsewhere"
	s.kubectl("delete", "namespace", elsewhere, "--ignore-not-found", patiently)
	s.kubectl("create", "namespace", elsewhere)
	t.Cleanup(func() { s.kubectl("delete", "namespace", elsewhere, "--wait=false") })
	for _, kind := range []string{"deployment", "service"} {
		var o map[string]any
		if err := json.Unmarshal([]byte(s.kubectl("get", kind, name, "-o", "json")), &o); err != nil {
			t.Fatal(err)
		}
		metadata, spec := o["metadata"].(map[string]any), o["spec"].(map[string]any)
		metadata["namespace"] = elsewhere
		for _, key := range []string{"uid", "resourceVersion", "creationTimestamp", "ownerReferences"} {
			delete(metadata, key)
		}
		for _, key := range []string{"clusterIP", "clusterIPs"} {
			delete(spec, key)
		}
		delete(o, "status")
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := s.feed(string(text), "-n", elsewhere, "create", "-f", "-"); err != nil {
			t.Fatal(err, out)
		}
	}
	var d appsv1.Deployment
	var v corev1.Service
	key := types.NamespacedName{Namespace: elsewhere, Name: name}
	if err := s.api.Get(s.ctx, key, &d); err != nil {
		t.Fatal(err)
	}
	if err := s.api.Get(s.ctx, key, &v); err != nil {
		t.Fatal(err)
	}
	if d.Spec.Paused || d.Annotations["crossfade.dev/hold"] != "" {
		t.Errorf("the copy of a held Deployment is paused at birth: %v %v", d.Spec.Paused, d.Annotations)
	}
	if v.Spec.Selector["pod-template-hash"] != "" || v.Annotations["crossfade.dev/pin"] != "" {
		t.Errorf("the copy of a pinned Service selects %v, annotations %v", v.Spec.Selector, v.Annotations)
	}
}

// A person breaks the glass, as the documentation says: a plain rolling update from there on, without a lost
// request; and Crossfade takes over again when the annotations go.
func breakGlass(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Steps: []step{{50, "endless"}}})
	canary := s.change("v2")
	s.atWeight(canary, 50)
	f := s.load()
	s.kubectl("annotate", "deployment/"+name, "service/"+name, "crossfade.dev/break-glass=incident 4711")
	s.kubectl("annotate", "service/"+name, "crossfade.dev/pin-")
	s.kubectl("patch", "service", name, "--type=json", "-p", `[{"op":"remove","path":"/spec/selector/pod-template-hash"}]`)
	s.kubectl("scale", "replicaset", name+"-"+canary, "--replicas=0")
	s.kubectl("set", "env", "deployment/"+name, "VERSION=hotfix")
	s.kubectl("rollout", "resume", "deployment/"+name)
	s.kubectl("rollout", "status", "deployment/"+name, patiently)
	s.until("the hotfix serves", func() (string, bool) {
		run, err := load.Start(s.ctx, load.Options{URL: "http://" + s.gateway + "/", Host: s.Namespace + ".example", Rate: 10, Requests: 1, Protocol: load.NewConnections})
		if err != nil {
			t.Fatal(err)
		}
		<-run.Done()
		c := load.Count(run.Stop(), time.Time{}, time.Time{})
		return c.String(), c.Versions["hotfix"] == 1
	})
	s.rollout.SkipAll()
	s.kubectl("annotate", "deployment/"+name, "service/"+name, "crossfade.dev/break-glass-")
	r := s.await("takes what runs as stable", live.Rollout.Healthy)
	if r.Status.Stable.Revision == canary || r.Status.Stable.Ready != 2 {
		t.Errorf("stable has to be the hotfix with 2 pods: %v", r)
	}
	counts := f.judge(nil)
	if counts.Versions["hotfix"] == 0 {
		t.Errorf("the hotfix never served: %v", counts)
	}
}

// spec.paused stops every rise; false goes on where it was.
func paused(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Steps: []step{{20, "endless"}, {60, ""}}})
	f := s.load()
	canary := s.change("v2")
	s.atWeight(canary, 20)
	s.rollout.SkipAll()
	s.kubectl("patch", "rollout", name, "--type=merge", "-p", `{"spec":{"paused":true}}`)
	s.await("has seen the pause", func(r live.Rollout) bool { return r.Current() && r.Status.Phase == "Paused" })
	s.promote(canary)
	hold := time.Now().Add(4 * time.Second)
	s.until("4 s are over", func() (string, bool) { return "", time.Now().After(hold) })
	if r := s.rollout.Last().Object; r.Status.Weight.Desired != 20 {
		t.Errorf("paused, the weight must not rise: %v", r)
	}
	s.kubectl("patch", "rollout", name, "--type=merge", "-p", `{"spec":{"paused":false}}`)
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
}

// A revision that was rolled back is tried again only when somebody asks for it.
func retry(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Check: true, Steps: []step{{50, "3s"}}})
	f := s.load()
	canary := s.change("v3")
	s.rolledBack("errors")
	s.rollout.SkipAll()
	s.kubectl("annotate", "rollout", name, "--overwrite", "crossfade.dev/retry="+canary+"/2")
	s.atWeight(canary, 50)
	s.rolledBack("errors")
	// Back to stable's template ends it.
	s.rollout.SkipAll()
	s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:v1")
	s.await("is Healthy", live.Rollout.Healthy)
	f.judge(map[string]string{canary: "v3"})
}

// Every Service over the same pods is pinned, not only the one of the Rollout; and all are let go.
func secondService(t *testing.T) {
	s := stage(t, setup{Replicas: 2, Steps: []step{{50, "endless"}}})
	other := strings.Replace(strings.Split(s.render("app.yaml"), "---\n")[2], "name: payments", "name: internal", 1)
	if out, err := s.feed(other, "apply", "-f", "-"); err != nil {
		t.Fatal(err, out)
	}
	s.adopt()
	stable := s.rollout.Last().Object.Status.Stable.Revision
	canary := s.change("v2")
	s.atWeight(canary, 50)
	pin := func() string {
		return s.kubectl("get", "service", name, "internal", "-o", "jsonpath={.items[*].spec.selector.pod-template-hash}")
	}
	if got := pin(); got != stable+" "+stable {
		t.Errorf("both Services have to be pinned to %s, got %q", stable, got)
	}
	s.promote(canary)
	s.promoted(canary)
	if got := strings.TrimSpace(pin()); got != "" {
		t.Errorf("when Healthy no Service is pinned, got %q", got)
	}
}

// At 0 replicas the canary goes; scaled up again, it starts anew, and nobody else's template does.
func scaledToZero(t *testing.T) {
	s := begin(t, setup{Replicas: 2, Steps: []step{{50, "endless"}}})
	canary := s.change("v2")
	s.atWeight(canary, 50)
	// With stable gone the routes name nothing but the canary, which goes when the proxies' time is over.
	s.ackTimeout("5s")
	s.kubectl("scale", "deployment/"+name, "--replicas=0")
	// The canary, all that is left, goes after acks.timeout: until then proxies route to it.
	s.kubectl("wait", "pod", "-l", "app="+name, "--for=delete", patiently)
	s.ackTimeout(s.AckTimeout)
	s.rollout.SkipAll()
	s.kubectl("scale", "deployment/"+name, "--replicas=2")
	s.await("has stable back", func(r live.Rollout) bool { return r.Status.Stable.Ready == 2 })
	r := s.await("has a canary again", func(r live.Rollout) bool { return r.Status.Weight.Acked == 50 })
	s.promote(r.Status.Canary.Revision)
	s.promoted(r.Status.Canary.Revision)
	s.reachable()
}
