//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/e2e/load"
)

// The endpoints of a Service are in several EndpointSlices, which are written one by one when the pin moves: a
// client of the plain Service loses nothing, and the ReplicaSets change owners after the last one.
func manySlices(t *testing.T) {
	s := begin(t, setup{Replicas: 6, Steps: []step{{20, "2s"}}})
	stable := s.rollout.Last().Object.Status.Stable.Revision
	seen := s.followSlices()
	s.plain()
	f := s.load()
	canary := s.change("v2")
	s.promoted(canary)
	f.judge(map[string]string{canary: "v2"})
	s.judgePast("in the cluster", s.plainCounts())
	s.judgeSlices(seen(), stable, canary)
}

// slice is what one write of an EndpointSlice said.
type slice struct {
	name string
	// version orders writes of all kinds of objects.
	version uint64
	// ready counts the ready endpoints by revision; nil when the slice was deleted.
	ready map[string]int
}

// followSlices watches the EndpointSlices of the application's Service; what it returns tells all that was seen,
// in the order of the writes.
func (s *scene) followSlices() func() []slice {
	s.Helper()
	w, err := s.api.Watch(s.ctx, &discoveryv1.EndpointSliceList{}, client.InNamespace(s.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: name})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(w.Stop)
	var mu sync.Mutex
	var all []slice
	go func() {
		for event := range w.ResultChan() {
			if o, is := event.Object.(*discoveryv1.EndpointSlice); is {
				mu.Lock()
				all = append(all, sliceOf(event.Type, o))
				mu.Unlock()
			}
		}
	}()
	return func() []slice {
		mu.Lock()
		defer mu.Unlock()
		slices.SortStableFunc(all, func(a, b slice) int { return cmp.Compare(a.version, b.version) })
		return slices.Clone(all)
	}
}

func sliceOf(kind watch.EventType, o *discoveryv1.EndpointSlice) slice {
	seen := slice{name: o.Name, version: version(o.ResourceVersion)}
	if kind == watch.Deleted {
		return seen
	}
	seen.ready = map[string]int{}
	for _, e := range o.Endpoints {
		if e.TargetRef == nil || e.Conditions.Ready == nil || !*e.Conditions.Ready {
			continue
		}
		// payments-<revision>-<five letters>
		if parts := strings.Split(e.TargetRef.Name, "-"); len(parts) == 3 {
			seen.ready[parts[1]]++
		}
	}
	return seen
}

// version is a resourceVersion as the number by which writes are ordered.
func version(resourceVersion string) uint64 {
	n, _ := strconv.ParseUint(resourceVersion, 10, 64) // 0, before all others, when it is none
	return n
}

// judgeSlices looks at how the endpoints went from stable to the canary.
func (s *scene) judgeSlices(all []slice, stable, canary string) {
	s.Helper()
	var handover uint64
	for _, state := range s.rollout.States() {
		if r := state.Object; r.Status.Canary.Revision == canary && r.Status.Record.Stage == "HandingOver" {
			handover = version(r.ResourceVersion)
			break
		}
	}
	world := map[string]map[string]int{}
	var mixed int
	var moved uint64
	for _, w := range all {
		world[w.name] = w.ready
		count := map[string]int{}
		for _, ready := range world {
			for revision, n := range ready {
				count[revision] += n
			}
		}
		switch {
		case count[stable]+count[canary] == 0 && mixed > 0:
			s.Errorf("after the write %d of %s the Service has no ready endpoint: %v", w.version, w.name, all)
		case count[stable] > 0 && count[canary] > 0:
			mixed++
		case count[canary] > 0 && moved == 0:
			moved = w.version
		}
	}
	s.Logf("%d slices; after %d writes they held stable and canary; the last of them was write %d, the handover began with write %d", len(world), mixed, moved, handover)
	if mixed == 0 {
		s.Error("the slices did not change one by one: nothing was tested")
	}
	if handover == 0 || moved == 0 || handover < moved {
		s.Errorf("the handover (write %d) has to begin after the last slice was the canary's (write %d)", handover, moved)
	}
}

// Somebody's pipeline applies and replaces both manifests again and again while the canary is promoted. A client of
// the node's port meets the canary only when it is stable.
func whilePromoting(t *testing.T) {
	s := stage(t, setup{Steps: []step{{50, "2s"}}})
	objects := strings.Split(s.render("app.yaml"), "---\n")
	service := strings.Replace(objects[2], "spec:\n", "spec:\n  type: NodePort\n", 1)
	s.must(service, "apply", "-f", "-")
	wrote := s.asWritten()
	s.adopt()
	past, err := load.Start(s.ctx, load.Options{URL: "http://" + s.nodePort() + "/", Protocol: load.NewConnections, Rate: 40})
	if err != nil {
		t.Fatal(err)
	}
	s.clients = append(s.clients, past)
	f := s.load()
	both := strings.Replace(objects[1], "shop:v1", "shop:v2", 1) + "---\n" + service
	canary := s.changed(func() { s.must(both, "apply", "--server-side", "--force-conflicts", "-f", "-") })
	s.atWeight(canary, 50)
	writes := s.again(both, [][]string{{"replace", "-f", "-"}, {"apply", "--server-side", "--force-conflicts", "-f", "-"}})
	s.promoted(canary)
	t.Logf("the manifests were written %d times meanwhile", writes())
	f.judge(map[string]string{canary: "v2"})
	s.judgePast("at the node's port", load.Count(past.Stop(), time.Time{}, time.Time{}))
	wrote.image = "crossfade.local/shop:v2"
	s.asFound(wrote, true)
}

// again runs kubectl commands in turn, with the same input, until what it returns is called; that tells how often.
// None may be refused, but kubectl's own replace reads before it writes and can come too late for what it read.
func (s *scene) again(stdin string, commands [][]string) func() int {
	stop := make(chan struct{})
	done := make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- n
				return
			default:
			}
			if _, err := s.feed(stdin, commands[n%len(commands)]...); err != nil && s.ctx.Err() == nil && !strings.Contains(err.Error(), "(Conflict)") {
				s.Error(err)
			}
		}
	}()
	return func() int {
		close(stop)
		return <-done
	}
}

// nodePort is where the application's Service is reached on a node.
func (s *scene) nodePort() string {
	s.Helper()
	var v corev1.Service
	if err := s.api.Get(s.ctx, s.key(), &v); err != nil {
		s.Fatal(err)
	}
	var nodes corev1.NodeList
	if err := s.api.List(s.ctx, &nodes); err != nil {
		s.Fatal(err)
	}
	for _, a := range nodes.Items[0].Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return fmt.Sprintf("%s:%d", a.Address, v.Spec.Ports[0].NodePort)
		}
	}
	s.Fatalf("node %s has no address", nodes.Items[0].Name)
	return ""
}
