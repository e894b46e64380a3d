package agent

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/crossfade-dev/crossfade/proxy/probe"
)

// tick is how often a stop looks at Envoy.
const tick = 250 * time.Millisecond

// Run is `crossfade agent`: it looks after one Envoy until ctx ends (SIGTERM),
// then stops it without losing a request and returns nil. It returns an error
// when it cannot begin: wrong flags, no Envoy, an address in use. The version is this
// program's, which Envoy tells the controller.
func Run(ctx context.Context, version string, args []string) error {
	options, err := Parse(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	options.Version = version
	// The kernel ends Envoy when the thread that started it ends (Pdeathsig), and
	// Go ends threads as it likes, unless a goroutine keeps one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	a := &agent{
		options: options,
		admin:   newAdmin(options.adminSocket()),
		log:     slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("logger", "agent"),
		now:     time.Now,
		usage:   newUsage(),
	}
	a.keeper = newKeeper(options, a.log, a.now, rand.Float64)
	a.ready.set("Envoy is not started yet")
	if err := a.prepare(ctx); err != nil {
		return err
	}
	return a.run(ctx)
}

// agent is the loop that looks after one Envoy. All but ready is touched by the
// loop's goroutine only.
type agent struct {
	options Options
	admin   admin
	log     *slog.Logger
	now     func() time.Time
	ready   condition
	keeper  *keeper
	usage   *usage

	envoy    process
	started  time.Time
	restarts restarts
}

// handlers are what the agent answers to the kubelet.
func (a *agent) handlers() (map[string]http.Handler, error) {
	asked, err := newProbes(os.Getenv(probe.Variable), os.Getenv("POD_IP"))
	if err != nil {
		return nil, err
	}
	own := func() string {
		if text := a.keeper.state.problem(a.now()); text != "" {
			return text
		}
		return a.ready.get()
	}
	return map[string]http.Handler{"/ready": readiness(own, a.admin.state), probe.Path: asked}, nil
}

// prepare writes the bootstrap and opens the agent's own ports.
func (a *agent) prepare(ctx context.Context) error {
	if err := a.keeper.prepare(); err != nil {
		return err
	}
	content, err := a.options.bootstrap()
	if err != nil {
		return fmt.Errorf("render bootstrap: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(a.options.bootstrapFile()), 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := os.WriteFile(a.options.bootstrapFile(), content, 0o600); err != nil {
		return fmt.Errorf("write bootstrap: %w", err)
	}
	// They serve until the process ends: also while it stops, /ready has to say
	// so, and Prometheus to get the last requests' numbers.
	forever := context.WithoutCancel(ctx)
	handlers, err := a.handlers()
	if err != nil {
		return err
	}
	if err := serve(forever, a.options.ReadyAddr, handlers); err != nil {
		return fmt.Errorf("serve /ready: %w", err)
	}
	page := stats(a.admin, a.options.labels(), a.usage, a.keeper.state.metrics)
	if err := serve(forever, a.options.StatsAddr, map[string]http.Handler{"/stats/prometheus": page}); err != nil {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

func (a *agent) run(ctx context.Context) error {
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	defer signal.Stop(children)
	go a.keeper.run(ctx)
	// Without a certificate Envoy would have nothing to show to the controller, and
	// refuse every cluster that names it.
	select {
	case <-ctx.Done():
		return nil
	case <-a.keeper.first:
	}
	if err := a.start(); err != nil {
		return err
	}
	// Without a delay to wait for, restart is nil, which never delivers.
	var restart <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return a.stop(context.WithoutCancel(ctx), children)
		case <-children:
			if delay, ended := a.lookAfter(); ended {
				restart = time.After(delay)
			}
		case <-restart:
			restart = nil
			if err := a.start(); err != nil {
				return err
			}
		}
	}
}

// start starts Envoy. What fails here fails for good: there is no such program.
func (a *agent) start() error {
	// The socket of one that crashed would be in the way.
	if err := os.Remove(a.options.adminSocket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove socket of an earlier Envoy: %w", err)
	}
	envoy, err := start(a.options.Envoy, a.options.arguments(), a.options.environment()...)
	if err != nil {
		return err
	}
	a.envoy, a.started = envoy, a.now()
	a.usage.follow(envoy.pid)
	a.ready.set("")
	a.log.Info("Envoy started", "pid", envoy.pid, "restarts", int(a.restarts))
	return nil
}

// lookAfter takes note of all children that ended. When Envoy is among them it
// returns how long to wait before the next start.
func (a *agent) lookAfter() (time.Duration, bool) {
	for _, e := range reap() {
		if !a.envoy.running() || e.pid != a.envoy.pid {
			continue // An orphan of somebody else's, now waited for.
		}
		a.envoy = process{}
		a.usage.follow(0)
		ran := a.now().Sub(a.started)
		next, delay := a.restarts.after(ran)
		a.restarts = next
		a.ready.set(fmt.Sprintf("Envoy ended after %v: %v; it is started again %v later (%d in a row)",
			ran.Round(time.Millisecond), e, delay, int(next)))
		a.log.Error("Envoy ended", "status", e.String(), "ran", ran.String(), "restartIn", delay.String(), "inARow", int(next))
		return delay, true
	}
	return 0, false
}

// stop ends Envoy as stop.next says, and returns when it is gone.
func (a *agent) stop(ctx context.Context, children <-chan os.Signal) error {
	a.ready.set("stopping")
	s := stop{since: a.now()}
	a.log.Info("stopping", "stage", s.stage.String())
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-children:
			for _, e := range reap() {
				if e.pid == a.envoy.pid {
					a.envoy = process{}
					a.log.Info("Envoy ended", "status", e.String())
				}
			}
		}
		next, what := s.next(a.options.Timings, a.now(), a.look(ctx, s.stage))
		if next.stage != s.stage {
			a.log.Info("stopping", "stage", next.stage.String(), "after", a.now().Sub(s.since).String())
		}
		s = next
		if what == leave {
			return nil
		}
		s.asked = a.obey(ctx, what) || s.asked
	}
}

// look asks only what the stage needs: a settling Envoy serves as ever.
func (a *agent) look(ctx context.Context, at stage) sight {
	seen := sight{alive: a.envoy.running(), connections: -1}
	if !seen.alive || at != draining {
		return seen
	}
	if n, err := a.admin.connections(ctx); err == nil {
		seen.connections = n
	}
	return seen
}

// obey does it, and says whether Envoy has accepted to drain. What fails is
// asked for again at the next tick, and bounded by stop.next.
func (a *agent) obey(ctx context.Context, what order) bool {
	var err error
	switch what {
	case nothing, leave:
	case askToDrain:
		err = a.admin.drain(ctx)
	case askToQuit:
		// Envoy is often gone before its answer: whether it quits is seen by its end.
		_ = a.admin.quit(ctx)
	case kill:
		a.log.Error("stopping: Envoy did not quit and is killed")
		err = a.envoy.kill()
	}
	if err != nil {
		a.log.Error("stopping: Envoy did not do as asked", "error", err.Error())
	}
	return what == askToDrain && err == nil
}
