package proxy_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/server"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

var users = flag.Int("users", 1000, "how many users the sticky tests simulate")

// ladder are the weights that users live through, some of whom come at each of them.
var ladder = []int32{0, 1, 5, 10, 25, 50, 75, 100}

// user is somebody with a browser, or an id.
type user struct {
	id, cookie string
	// arrives is the rung at which he asks first.
	arrives int
	canary  bool
	issued  int
}

// stickyWorld are two real gateways in front of a stable and a canary pod, which
// answer a and b.
type stickyWorld struct {
	// in is what is published; pods can be taken from it.
	in      proxy.Input
	publish func(weight, carried int32)
	base    string
	client  *http.Client
}

func newStickyWorld(t *testing.T, traffic string) *stickyWorld {
	t.Helper()
	program := findEnvoy(t)
	a, b, port := startPod(t, "a"), startPod(t, "b"), freePort(t)
	objects := strings.NewReplacer("PORT-A", fmt.Sprint(a), "PORT-B", fmt.Sprint(b), "port: 80, protocol: HTTP",
		fmt.Sprintf("port: %d, protocol: HTTP", port)).Replace(served)
	in := parseObjects(t, "served", []byte(objects))
	in.Options.Ports = []int32{int32(port)}
	record := in.Rollouts[0].Status.Record
	record.Traffic = parseTraffic(t, traffic)
	serving, address := startServer(t)
	var world *xds.World
	w := &stickyWorld{
		in:     in,
		base:   fmt.Sprintf("http://127.0.0.1:%d/b", port),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}},
	}
	render := func(weight int32) {
		record.Weight = weight
		world = xds.Translate(world, proxy.Build(w.in).Config)
		for view, snapshot := range world.Snapshots {
			serving.Publish(view, snapshot)
		}
	}
	w.publish = func(weight, carried int32) {
		render(weight)
		awaitAcks(t, serving, 2, float64(carried)/100)
	}
	render(0)
	// They listen on one port, and the kernel says which of them gets a connection.
	startProxy(t, program, address, "one")
	startProxy(t, program, address, "two")
	w.publish(0, 0)
	return w
}

// awaitAcks waits until so many proxies have confirmed a share of the canary, and all
// else.
func awaitAcks(t *testing.T, s *server.Server, proxies int, share float64) {
	t.Helper()
	changes, stop := s.Subscribe()
	defer stop()
	late := time.After(60 * time.Second)
	for {
		acks, done := s.ServiceAcks("shop/b"), 0
		for _, ack := range acks {
			if ack.Current && ack.LowestShare("x2") == share {
				done++
			}
		}
		if behind, _ := s.Behind(func(string, string) bool { return true }); done == proxies && len(behind) == 0 {
			return
		}
		select {
		case <-changes:
		case <-late:
			t.Fatalf("%d proxies confirm the share %g: %+v", done, share, acks)
		}
	}
}

// visit asks once, and notes the cookie that comes back.
func (w *stickyWorld) visit(u *user) (answer string, err error) {
	request, err := http.NewRequest(http.MethodGet, w.base, nil)
	if err != nil {
		return "", err
	}
	request.Host = "split.example.com"
	if u.id != "" {
		request.Header.Set("X-User-Id", u.id)
	}
	if u.cookie != "" {
		request.Header.Set("Cookie", "theme=dark; "+u.cookie+"; z=1")
	}
	response, err := w.client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	for _, c := range response.Cookies() {
		if c.Name == "who" {
			u.cookie = c.Name + "=" + c.Value
			u.issued++
		}
	}
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// TestSticky lets users live through a ladder of weights, at two real gateways.
// Nobody may leave the canary while the weight rises, and each rung must have its
// share of the users. go test ./proxy -run TestSticky -users 10000 measures more.
func TestSticky(t *testing.T) {
	cases := map[string]struct {
		traffic string
		header  bool
	}{
		"Cookie": {traffic: `sticky: {cookie: {name: who, ttl: 1h}}`},
		"Header": {traffic: `sticky: {header: {name: x-user-id}}`, header: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newStickyWorld(t, tc.traffic)
			all := make([]*user, *users)
			for i := range all {
				all[i] = &user{arrives: i % (len(ladder) - 1)}
				if tc.header {
					all[i].id = fmt.Sprintf("user-%d", i)
				}
			}
			for rung, weight := range ladder {
				w.publish(weight, weight)
				back, moved := w.rung(t, all, rung)
				present, onCanary := 0, 0
				for _, u := range all {
					if u.arrives <= rung {
						present++
						if u.canary {
							onCanary++
						}
					}
				}
				share := float64(weight) / 100
				z := 0.0
				if share > 0 && share < 1 {
					z = (float64(onCanary) - float64(present)*share) / math.Sqrt(float64(present)*share*(1-share))
				} else if float64(onCanary) != share*float64(present) {
					t.Errorf("weight %d: %d of %d users are on the canary", weight, onCanary, present)
				}
				t.Logf("weight %3d: %d of %d users on the canary (%.2f %%, z = %+.2f), %d went back, %d moved between two requests",
					weight, onCanary, present, 100*float64(onCanary)/float64(present), z, back, moved)
				if back > 0 || moved > 0 {
					t.Errorf("weight %d: %d users left the canary, %d moved between two requests", weight, back, moved)
				}
				if math.Abs(z) > 5 {
					t.Errorf("weight %d: the canary has %d of %d users", weight, onCanary, present)
				}
			}
			for _, u := range all {
				if want := map[bool]int{false: 1}[tc.header]; u.issued != want {
					t.Fatalf("a user got %d cookies, want %d", u.issued, want)
				}
			}
		})
	}
}

// rung lets everybody who is there ask twice, and counts those who left the canary
// since the rung before, and those whose two answers differ.
func (w *stickyWorld) rung(t *testing.T, all []*user, rung int) (back, moved int64) {
	t.Helper()
	var left, differ, next atomic.Int64
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(all); i = next.Add(1) - 1 {
				u := all[i]
				if u.arrives > rung {
					continue
				}
				first, err := w.visit(u)
				if err != nil {
					t.Error(err)
					return
				}
				second, err := w.visit(u)
				if err != nil {
					t.Error(err)
					return
				}
				if first != second {
					differ.Add(1)
				}
				if u.canary && second != "b" {
					left.Add(1)
				}
				u.canary = second == "b"
			}
		})
	}
	done.Wait()
	return left.Load(), differ.Load()
}

// TestStickyAndPods shows what users see when pods of the canary fail. A pod that
// refuses connections costs a retry at the next one of the canary, never at stable. The
// last one costs its users errors until it is known to be gone; then stable has them
// until there is a canary again, which gets the same users back.
func TestStickyAndPods(t *testing.T) {
	w := newStickyWorld(t, `sticky: {header: {name: x-user-id}}`)
	answers := func() map[string]int {
		got := map[string]int{}
		for i := range 200 {
			answer, err := w.visit(&user{id: fmt.Sprintf("user-%d", i)})
			if err != nil {
				t.Fatal(err)
			}
			got[fmt.Sprintf("%d %s", i, answer)]++
		}
		return got
	}
	w.publish(50, 50)
	before := answers()

	pods := w.in.Pods
	dead := pods[2].DeepCopy()
	dead.Name, dead.Spec.Containers[0].Ports[0].ContainerPort = "b-dead", int32(freePort(t))
	w.in.Pods = append(slices.Clone(pods), dead)
	w.publish(50, 50)
	if diff := cmp.Diff(before, answers()); diff != "" {
		t.Errorf("one of two pods refuses connections, and users get other answers:\n%s", diff)
	}

	w.in.Pods = append(slices.Clone(pods[:2]), dead)
	w.publish(50, 50)
	for key := range answers() {
		id, answer, _ := strings.Cut(key, " ")
		if before[id+" b"] > 0 && answer == "a" {
			t.Errorf("user %s was on the canary, and a retry sent him to stable", id)
		}
	}

	w.in.Pods = pods[:2]
	w.publish(50, 0)
	for key := range answers() {
		if !strings.HasSuffix(key, " a") {
			t.Errorf("there is no canary, and a user gets %q", key)
		}
	}

	w.in.Pods = pods
	w.publish(50, 50)
	if diff := cmp.Diff(before, answers()); diff != "" {
		t.Errorf("the canary is back, and users get other answers:\n%s", diff)
	}
}

// TestMatchComesAndGoes takes the canary's pods, its match and its copies away and
// brings them back, each time in one push, while requests that match come without a
// pause: every one is answered, by the one or the other.
func TestMatchComesAndGoes(t *testing.T) {
	w := newStickyWorld(t, `{match: [{headers: [{name: x-user-id, type: Present}]}], mirror: {percent: 50}}`)
	ctx, cancel := context.WithCancel(t.Context())
	var answered, failed atomic.Int64
	var done sync.WaitGroup
	for i := range 4 {
		done.Go(func() {
			u := &user{}
			if i > 0 {
				u.id = "team" // One of them does not match, and is copied.
			}
			for ctx.Err() == nil {
				if answer, err := w.visit(u); err != nil || answer != "a" && (answer != "b" || u.id == "") {
					failed.Add(1)
				}
				answered.Add(1)
			}
		})
	}
	pods, record := w.in.Pods, w.in.Rollouts[0].Status.Record
	traffic := record.Traffic
	for range 10 {
		w.in.Pods = pods[:2] // The canary's is gone.
		w.publish(0, 0)
		record.Canary = ""
		w.publish(0, 0)
		w.in.Pods, record.Canary = pods, "x2" // Everything at once.
		w.publish(0, 0)
		if answer, err := w.visit(&user{id: "team"}); err != nil || answer != "b" {
			t.Errorf("the match is confirmed, and %q answers, %v", answer, err)
		}
		record.Traffic = nil
		w.publish(0, 0)
		record.Traffic = traffic
		w.publish(0, 0)
	}
	cancel()
	done.Wait()
	t.Logf("%d requests, %d failed", answered.Load(), failed.Load())
	if failed.Load() > 0 || answered.Load() < 100 {
		t.Errorf("%d of %d requests failed", failed.Load(), answered.Load())
	}
}
