//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/crossfade-dev/crossfade/e2e/live"
	"github.com/crossfade-dev/crossfade/e2e/load"
)

//go:embed testdata/*.yaml
var manifests embed.FS

const (
	system = "crossfade-system"
	name   = "payments"
	// margin is what a window of confirmed weight ends earlier than this program sees the next weight written.
	margin = 300 * time.Millisecond
	// patience is the longest wait for anything that no clock of the product explains.
	patience = 90 * time.Second
)

// root is the checkout.
var root = func() string {
	dir, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	return dir
}()

func TestMain(m *testing.M) {
	if os.Getenv("KUBECONFIG") == "" {
		fmt.Fprintln(os.Stderr, "the end-to-end tests need a cluster with the product: make e2e, or set KUBECONFIG and INSTANCE")
		os.Exit(2)
	}
	images := exec.Command(filepath.Join(root, ".ci", "shop"))
	images.Stdout, images.Stderr = os.Stdout, os.Stderr
	if err := images.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bring the sample service's images into the cluster:", err)
		os.Exit(1)
	}
	log.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// step is a step of the Rollout; Pause is a duration, "endless", or empty.
type step struct {
	Weight int
	Pause  string
}

// setup says what a scene begins with.
type setup struct {
	Namespace  string
	Replicas   int
	Steps      []step
	Check      bool
	AckTimeout string
	Deadline   int
}

// scene is a namespace with the application, its Rollout, and clients.
type scene struct {
	*testing.T
	setup
	ctx     context.Context
	api     client.WithWatch
	rollout *live.Follower[live.Rollout]
	service *live.Follower[corev1.Service]
	gateway string
	clients []*load.Run
}

// begin sets a scene: the application runs, is reachable through the gateway and is adopted.
func begin(t *testing.T, s setup) *scene {
	t.Helper()
	c := stage(t, s)
	c.adopt()
	return c
}

// stage sets a scene without a Rollout.
func stage(t *testing.T, s setup) *scene {
	t.Helper()
	s.Namespace = "e2e-" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(strings.TrimPrefix(t.Name(), "Test")))
	if s.Replicas == 0 {
		s.Replicas = 4
	}
	if s.Steps == nil {
		s.Steps = []step{{20, "3s"}, {50, "3s"}}
	}
	if s.AckTimeout == "" {
		s.AckTimeout = "60s"
	}
	if s.Deadline == 0 {
		s.Deadline = 120
	}
	// Not t.Context(), which is over when the clean-up begins.
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	t.Cleanup(cancel)
	c := &scene{T: t, setup: s, ctx: ctx, api: connect(t)}
	c.kubectl("delete", "namespace", s.Namespace, "--ignore-not-found", "--timeout=120s")
	t.Cleanup(c.leave)
	c.apply("app.yaml")
	c.kubectl("rollout", "status", "deployment/"+name, "--timeout=90s")
	c.service = live.Follow[corev1.Service](ctx, c.api, schema.GroupVersionKind{Version: "v1", Kind: "Service"}, c.key())
	c.rollout = live.FollowRollout(ctx, c.api, s.Namespace, name)
	c.gateway = c.gatewayAddress()
	c.reachable()
	return c
}

func connect(t *testing.T) client.WithWatch {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	api, err := client.NewWithWatch(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// leave ends a scene; of a failed one it keeps what is needed to understand it.
func (s *scene) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.ctx = ctx
	for _, c := range s.clients {
		c.Stop()
	}
	if s.Failed() {
		s.dump()
	}
	if os.Getenv("KEEP_NAMESPACES") == "" {
		_, _ = s.try("delete", "namespace", s.Namespace, "--wait=false")
	}
}

// dump writes the scene's objects, its history and the controller's log below .local/e2e-artifacts.
func (s *scene) dump() {
	dir := filepath.Join(root, ".local", "e2e-artifacts", s.Namespace)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.Log(err)
		return
	}
	write := func(file, text string) {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			s.Log(err)
		}
	}
	for file, args := range map[string][]string{
		"objects.yaml":    {"get", "rollout,deployment,replicaset,service,endpointslice,pod,controllerrevision", "-o", "yaml"},
		"objects.txt":     {"get", "rollout,deployment,replicaset,service,pod", "-o", "wide"},
		"events.txt":      {"get", "events", "--sort-by=.metadata.creationTimestamp"},
		"controller.log":  {"-n", system, "logs", "deployment/crossfade-controller", "--tail=2000"},
		"controller-.log": {"-n", system, "logs", "deployment/crossfade-controller", "--previous", "--tail=500"},
		"gateway.log":     {"-n", system, "logs", "-l", "crossfade.dev/proxy=gateway", "--tail=300", "--prefix"},
		"system.txt":      {"-n", system, "get", "pods,events", "-o", "wide"},
	} {
		out, _ := s.try(args...) // what kubectl says when it fails is worth keeping, too
		write(file, out)
	}
	var history strings.Builder
	for _, state := range s.rollout.States() {
		fmt.Fprintf(&history, "%s %v\n", state.At.Format("15:04:05.000"), state.Object)
	}
	write("history.txt", history.String())
	s.Logf("kept in %s: objects, events, logs, the Rollout's history. Its last state: %v", dir, s.rollout.Last().Object)
}

func (s *scene) key() types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: name}
}

// try runs kubectl in the scene's namespace and returns what it printed on both outputs.
func (s *scene) try(args ...string) (string, error) {
	return s.feed("", args...)
}

func (s *scene) feed(stdin string, args ...string) (string, error) {
	if !slices.Contains(args, "-n") {
		args = append([]string{"-n", s.Namespace}, args...)
	}
	c := exec.CommandContext(s.ctx, filepath.Join(root, ".local", "bin", "kubectl"), args...)
	c.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}

// kubectl runs what must succeed.
func (s *scene) kubectl(args ...string) string {
	s.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.Fatal(err)
	}
	return out
}

// render returns one of the manifests of testdata.
func (s *scene) render(file string) string {
	s.Helper()
	t, err := template.ParseFS(manifests, "testdata/"+file)
	if err != nil {
		s.Fatal(err)
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, file, s.setup); err != nil {
		s.Fatal(err)
	}
	return out.String()
}

// apply applies one of them, as a user does.
func (s *scene) apply(file string) string {
	s.Helper()
	out, err := s.feed(s.render(file), "apply", "-f", "-")
	if err != nil {
		s.Fatal(err)
	}
	return out
}

// adopt applies the Rollout and waits until it is Healthy. No pod may be touched by that.
func (s *scene) adopt() {
	s.Helper()
	before := s.pods()
	s.rollout.SkipAll()
	s.apply("rollout.yaml")
	s.await("is Healthy", live.Rollout.Healthy)
	s.samePods("adoption", before, s.pods())
}

// pods are the UIDs and restarts of the application's pods that are not on their way out, by revision.
func (s *scene) pods() map[string]map[types.UID]int32 {
	s.Helper()
	var list corev1.PodList
	if err := s.api.List(s.ctx, &list, client.InNamespace(s.Namespace), client.MatchingLabels{"app": name}); err != nil {
		s.Fatal(err)
	}
	pods := map[string]map[types.UID]int32{}
	for _, p := range list.Items {
		if p.DeletionTimestamp != nil {
			continue
		}
		revision := p.Labels["pod-template-hash"]
		if pods[revision] == nil {
			pods[revision] = map[types.UID]int32{}
		}
		for _, c := range p.Status.ContainerStatuses {
			pods[revision][p.UID] += c.RestartCount
		}
	}
	return pods
}

// samePods fails when a revision's pods are not the very same any more.
func (s *scene) samePods(what string, before, after map[string]map[types.UID]int32) {
	s.Helper()
	for revision, pods := range before {
		for uid, restarts := range pods {
			if now, there := after[revision][uid]; !there || now != restarts {
				s.Errorf("%s restarted pods of revision %s: before %v, after %v", what, revision, pods, after[revision])
				return
			}
		}
	}
}

// only returns the pods of one revision.
func only(pods map[string]map[types.UID]int32, revision string) map[string]map[types.UID]int32 {
	return map[string]map[types.UID]int32{revision: pods[revision]}
}

func (s *scene) deployment() *appsv1.Deployment {
	s.Helper()
	var d appsv1.Deployment
	if err := s.api.Get(s.ctx, s.key(), &d); err != nil {
		s.Fatal(err)
	}
	return &d
}

// await waits for a state of the Rollout, the first one since the last that was waited for.
func (s *scene) await(what string, is func(live.Rollout) bool) live.Rollout {
	s.Helper()
	return s.awaitFor(patience, what, is)
}

func (s *scene) awaitFor(limit time.Duration, what string, is func(live.Rollout) bool) live.Rollout {
	s.Helper()
	ctx, cancel := context.WithTimeoutCause(s.ctx, limit, fmt.Errorf("not within %s", limit))
	defer cancel()
	seen, err := s.rollout.Await(ctx, what, func(r live.Seen[live.Rollout]) bool { return !r.Gone && is(r.Object) })
	if err != nil {
		s.Fatal(err)
	}
	return seen.Object
}

// change delivers another image and returns the canary's revision.
func (s *scene) change(version string) string {
	s.Helper()
	return s.changed(func() { s.kubectl("set", "image", "deployment/"+name, name+"=crossfade.local/shop:"+version) })
}

// changed runs what changes the template, and returns the new canary's revision.
func (s *scene) changed(how func()) string {
	s.Helper()
	before := s.rollout.Last().Object.Status.Canary.Revision
	s.rollout.SkipAll()
	how()
	r := s.await("has another canary", func(r live.Rollout) bool {
		return r.Status.Canary.Revision != "" && r.Status.Canary.Revision != before
	})
	return r.Status.Canary.Revision
}

// atWeight waits until all proxies confirmed a weight of the canary.
func (s *scene) atWeight(canary string, weight int32) {
	s.Helper()
	s.await(fmt.Sprintf("has %d %% confirmed", weight), func(r live.Rollout) bool {
		w := r.Status.Weight
		return r.Status.Canary.Revision == canary && w.Desired == weight && w.Effective == weight && w.Acked == weight
	})
}

// promoted waits until a revision is stable and nothing is on its way.
func (s *scene) promoted(canary string) {
	s.Helper()
	s.await("is promoted", func(r live.Rollout) bool {
		return r.Healthy() && r.Status.Stable.Revision == canary && r.Condition("Promoted").Status == "True"
	})
}

// rolledBack waits until stable serves everybody after a failure.
func (s *scene) rolledBack(reason string) live.Rollout {
	s.Helper()
	r := s.await("is rolled back", func(r live.Rollout) bool { return r.Status.Phase == "RolledBack" })
	if p := r.Condition("Promoted"); p.Status != "False" || p.Reason != "RolledBack" {
		s.Errorf("after a rollback Promoted has to be False with reason RolledBack, got %s/%s", p.Status, p.Reason)
	}
	if reason != "" && !strings.Contains(r.Status.Message+r.Condition("Promoted").Message+r.Condition("Stalled").Message, reason) {
		s.Errorf("the status has to say why it was rolled back (%q): %v", reason, r)
	}
	return r
}

// promote ends the endless pause of step 1 as the documentation says.
func (s *scene) promote(canary string) {
	s.Helper()
	s.kubectl("annotate", "rollout", name, "--overwrite", fmt.Sprintf("crossfade.dev/promote=%s/1", canary))
}

func (s *scene) gatewayAddress() string {
	s.Helper()
	return strings.TrimSpace(s.kubectl("-n", system, "get", "service", "crossfade-gateway", "-o", "jsonpath={.spec.clusterIP}"))
}

// traffic is a load from outside through the gateway over all protocols.
type traffic struct {
	*scene
	since time.Time
	runs  []*load.Run
	// redoneIsFine is set where proxies end their connections.
	redoneIsFine bool
}

// load starts one.
func (s *scene) load() *traffic {
	s.Helper()
	return s.loadAt(s.gateway + ":80")
}

// loadAt sends to an address of the gateway's.
func (s *scene) loadAt(address string) *traffic {
	s.Helper()
	f := &traffic{scene: s, since: time.Now()}
	for protocol, rate := range map[load.Protocol]float64{load.KeepAlive: 60, load.H2C: 40, load.NewConnections: 10} {
		run, err := load.Start(s.ctx, load.Options{URL: "http://" + address + "/", Host: s.Namespace + ".example", Protocol: protocol, Rate: rate, Timeout: 20 * time.Second})
		if err != nil {
			s.Fatal(err)
		}
		f.runs = append(f.runs, run)
		s.clients = append(s.clients, run)
	}
	return f
}

// stop ends the load and returns what was counted.
func (f *traffic) stop() ([]load.Sample, load.Counts) {
	var all []load.Sample
	for _, r := range f.runs {
		all = append(all, r.Stop()...)
	}
	return all, load.Count(all, time.Time{}, time.Time{})
}

// judge ends the load: nothing may be lost, at each confirmed weight the canary has its share but for chance, and
// with no weight it has no request. It returns what was counted.
func (f *traffic) judge(versions map[string]string) load.Counts {
	f.Helper()
	end := time.Now()
	samples, counts := f.stop()
	f.Log(counts)
	if slow := slices.MaxFunc(samples, func(a, b load.Sample) int { return cmp.Compare(a.Took, b.Took) }); slow.Took > 3*time.Second {
		f.Logf("the slowest, sent %s after the load began: %+v", slow.At.Sub(f.since).Round(time.Millisecond), slow)
	}
	if counts.Lost > 0 {
		f.Errorf("%d requests were lost:\n%s", counts.Lost, load.Describe(counts.Failures))
		f.keepFailures(samples)
	}
	if counts.Redone > 0 && !f.redoneIsFine {
		f.Errorf("%d requests had to be sent again on another connection", counts.Redone)
	}
	for _, w := range live.Windows(f.rollout.States(), margin, end) {
		version, known := versions[w.Canary]
		if !known || w.From.Before(f.since) {
			continue
		}
		c := load.Count(samples, w.From, w.To)
		want := float64(w.Weight) / 100
		f.Logf("step %s weight %d %% for %s: %s got %.1f %% of %d (by chance ± %.1f %%)", w.Step, w.Weight,
			w.To.Sub(w.From).Round(time.Millisecond), version, 100*c.Share(version), c.Requests, 100*c.Tolerance(want))
		if c.Requests > 0 && !c.Within(version, want) {
			f.Errorf("at weight %d %% %s got %.1f %% of %d requests: by chance that is off by at most %.1f %%", w.Weight, version,
				100*c.Share(version), c.Requests, 100*c.Tolerance(want))
		}
	}
	return counts
}

// keepFailures writes all lost requests to the artifacts, as CSV.
func (f *traffic) keepFailures(samples []load.Sample) {
	f.Helper()
	var b strings.Builder
	for _, s := range samples {
		if s.Lost() {
			fmt.Fprintf(&b, "%s,%s,%d,%s,%q\n", s.At.Format(time.RFC3339Nano), s.Took, s.Status, s.Version, s.Error)
		}
	}
	dir := filepath.Join(root, ".local", "e2e-artifacts", f.Namespace)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "lost.csv"), []byte(b.String()), 0o644)); err != nil {
		f.Log(err)
	}
}

// reachable waits until the gateway serves the scene's host.
func (s *scene) reachable() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	for {
		run, err := load.Start(ctx, load.Options{URL: "http://" + s.gateway + "/", Host: s.Namespace + ".example", Rate: 1, Requests: 1, Protocol: load.NewConnections})
		if err != nil {
			s.Fatal(err)
		}
		<-run.Done()
		samples := run.Stop()
		if len(samples) == 1 && !samples[0].Lost() {
			return
		}
		select {
		case <-ctx.Done():
			s.Fatalf("the gateway does not serve %s.example; the last answer: %s", s.Namespace, load.Describe(samples))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// plain starts a client inside the cluster that asks the plain Service.
func (s *scene) plain() {
	s.Helper()
	s.apply("client.yaml")
	s.kubectl("wait", "pod/client", "--for=condition=Ready", "--timeout=60s")
}

// plainCounts is what that client has counted until now.
func (s *scene) plainCounts() load.Counts {
	s.Helper()
	lines := strings.Split(strings.TrimSpace(s.kubectl("logs", "client", "--tail=1")), "\n")
	var c load.Counts
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &c); err != nil {
		s.Fatalf("read what the client in the cluster counted: %v in %q", err, lines)
	}
	return c
}

// seenAt is when a state of the Rollout was seen first.
func (s *scene) seenAt(is func(live.Rollout) bool) time.Time {
	for _, state := range s.rollout.States() {
		if !state.Gone && is(state.Object) {
			return state.At
		}
	}
	return time.Time{}
}
