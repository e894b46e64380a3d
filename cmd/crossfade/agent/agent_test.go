package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeDir tells the test's own program that it is to be an Envoy, and where its
// admin socket and its diary go.
const fakeDir = "CROSSFADE_AGENT_TEST_FAKE_ENVOY"

func TestMain(m *testing.M) {
	if dir := os.Getenv(fakeDir); dir != "" {
		fakeEnvoy(dir)
		return
	}
	os.Exit(m.Run())
}

// fakeEnvoy answers the agent as Envoy does, with one connection of a client
// that closes when it is asked to drain, and writes down what it was told.
func fakeEnvoy(dir string) {
	diary, err := os.OpenFile(filepath.Join(dir, "diary"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	note := func(s string) { fmt.Fprintln(diary, s) }
	note("start")
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM, os.Interrupt)
	go func() {
		note((<-terms).String())
		os.Exit(1)
	}()
	listener, err := net.Listen("unix", Options{Dir: dir}.adminSocket())
	if err != nil {
		panic(err)
	}
	var connections atomic.Int64
	connections.Store(1)
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "LIVE") })
	mux.HandleFunc("/stats", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "listener.0.0.0.0_10080.downstream_cx_active: %d\nlistener.admin.downstream_cx_active: 1\n", connections.Load())
	})
	mux.HandleFunc("/stats/prometheus", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "stats "+r.URL.RawQuery) })
	mux.HandleFunc("POST /drain_listeners", func(w http.ResponseWriter, r *http.Request) {
		note("drain " + r.URL.RawQuery)
		connections.Store(0)
		fmt.Fprintln(w, "OK")
	})
	mux.HandleFunc("POST /quitquitquit", func(w http.ResponseWriter, _ *http.Request) {
		note("quit")
		fmt.Fprintln(w, "OK")
		_ = diary.Close()
		os.Exit(0)
	})
	mux.HandleFunc("/crash", func(http.ResponseWriter, *http.Request) { os.Exit(139) })
	panic(http.Serve(listener, mux))
}

// freeAddress is a loopback address that nobody listens on just now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

type running struct {
	dir, ready, stats string
	stop              context.CancelFunc
	done              chan error
}

// runAgent starts an agent with the fake Envoy and waits until it is ready.
func runAgent(t *testing.T) running {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") //nolint:usetesting // t.TempDir has the test's name in it: too long for a socket.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	t.Setenv(fakeDir, dir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	a := startAuthority(t, time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	r := running{dir: dir, ready: freeAddress(t), stats: freeAddress(t), stop: stop, done: make(chan error, 1)}
	go func() {
		r.done <- Run(ctx, "v1", good("--envoy="+self, "--dir="+dir, "--ready-address="+r.ready, "--stats-address="+r.stats,
			"--certificates="+a.address, "--token-dir="+a.tokenDir, "--tls-dir="+a.tlsDir, "--settle=300ms", "--drain-time=1s", "--drain=10s", "--quit=5s"))
	}()
	r.await(t, "ready\n")
	return r
}

// await asks /ready until it answers with the text.
func (r running) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	var last string
	for time.Now().Before(deadline) {
		_, last = get("http://" + r.ready + "/ready")
		if strings.HasPrefix(last, text) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("/ready never answered %q; last: %q", text, last)
}

func get(url string) (int, string) {
	response, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

func (r running) diary(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.dir, "diary"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestRunStops(t *testing.T) {
	r := runAgent(t)
	r.stop()
	r.await(t, "stopping\n")
	if code, body := get("http://" + r.stats + "/stats/prometheus?usedonly"); code != 200 || !strings.HasPrefix(body, "stats usedonly\n") || !strings.Contains(body, "\nenvoy_process_cpu_seconds_total ") || !strings.Contains(body, "\n"+metricExpiry+" ") {
		t.Errorf("metrics while stopping: status %d, %q", code, body)
	}
	if err := <-r.done; err != nil {
		t.Fatalf("Run(): %v", err)
	}
	want := "start\ndrain graceful&skip_exit\nquit\n"
	if diff := cmp.Diff(want, r.diary(t)); diff != "" {
		t.Errorf("what Envoy was told: -want, +got:\n%s", diff)
	}
}

func TestRunRestartsACrashedEnvoy(t *testing.T) {
	r := runAgent(t)
	// The answer is lost with the process.
	_, _, _ = newAdmin(Options{Dir: r.dir}.adminSocket()).ask(t.Context(), http.MethodGet, "/crash")
	r.await(t, "Envoy ended after ")
	r.await(t, "ready\n")
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatalf("Run(): %v", err)
	}
	want := "start\nstart\ndrain graceful&skip_exit\nquit\n"
	if diff := cmp.Diff(want, r.diary(t)); diff != "" {
		t.Errorf("what Envoy was told: -want, +got:\n%s", diff)
	}
}

func TestRunWithoutEnvoy(t *testing.T) {
	a := startAuthority(t, time.Hour)
	err := Run(t.Context(), "v1", good("--envoy=/no/such/program", "--dir="+t.TempDir(),
		"--certificates="+a.address, "--token-dir="+a.tokenDir, "--tls-dir="+a.tlsDir,
		"--ready-address="+freeAddress(t), "--stats-address="+freeAddress(t)))
	if err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("Run(): want an error that names the program, got: %v", err)
	}
}

func TestLookAfterMindsOnlyEnvoy(t *testing.T) {
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	defer signal.Stop(children)
	envoy, err := start("/bin/sleep", []string{"60"})
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{log: slog.New(slog.DiscardHandler), now: time.Now, envoy: envoy, usage: newUsage()}
	orphan, err := start("/bin/sh", []string{"-c", "exit 0"})
	if err != nil {
		t.Fatal(err)
	}
	<-children
	if _, ended := a.lookAfter(); ended || a.envoy.pid != envoy.pid {
		t.Errorf("lookAfter(): took the end of process %d for Envoy's, which is %d", orphan.pid, envoy.pid)
	}
	if err := envoy.kill(); err != nil {
		t.Fatal(err)
	}
	<-children
	if delay, ended := a.lookAfter(); !ended || delay != firstDelay || a.envoy.running() {
		t.Errorf("lookAfter(): want a restart in %v, got %v, %v", firstDelay, delay, ended)
	}
	if err := a.envoy.kill(); err != nil {
		t.Errorf("kill() without an Envoy: %v", err)
	}
}

func TestReapOrphans(t *testing.T) {
	// As process 1 of a container does, inherit what others leave behind.
	const setChildSubreaper = 36
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); errno != 0 {
		t.Fatal(errno)
	}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	defer signal.Stop(children)
	parent, err := start("/bin/sh", []string{"-c", "sleep 0.1 & exit 7"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[bool]string{}
	for len(got) < 2 {
		select {
		case <-children:
		case <-time.After(20 * time.Second):
			t.Fatalf("ended, by whether it was ours: %v", got)
		}
		for _, e := range reap() {
			got[e.pid == parent.pid] = e.String()
		}
	}
	if diff := cmp.Diff(map[bool]string{true: "exit status 7", false: "exit status 0"}, got); diff != "" {
		t.Errorf("ended, by whether it was ours: -want, +got:\n%s", diff)
	}
}
