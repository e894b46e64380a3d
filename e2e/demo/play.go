package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/crossfade-dev/crossfade/e2e/live"
	"github.com/crossfade-dev/crossfade/e2e/load"
)

const (
	namespace = "shop"
	name      = "payments"
	host      = "payments.example"
	// maxError is what the sample's check allows.
	maxError = 0.05
)

// act is one version on its way.
type act struct {
	title, version, stable string
	canary                 string
	from, to               time.Time
	windows                []live.Window
	counts                 load.Counts
	// zero is when all proxies had confirmed that the canary gets nothing; only after a rollback.
	zero time.Time
	// took is the time from the change of the image to the end.
	took time.Duration
}

// play is the demonstration and what it saw.
type play struct {
	*terminal
	api     client.WithWatch
	rollout *live.Follower[live.Rollout]
	runs    []*load.Run
	acts    []act
	wrong   []string
	address string
}

// expect remembers what was not as it should be; the demonstration goes on to show the rest.
func (p *play) expect(holds bool, format string, args ...any) {
	if !holds {
		p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
	}
}

func (p *play) end() {
	for _, r := range p.runs {
		r.Stop()
	}
}

func (p *play) perform(ctx context.Context) error {
	log.SetLogger(logr.Discard())
	config, err := clientcmd.BuildConfigFromFlags("", p.kubeconfig)
	if err != nil {
		return fmt.Errorf("read %s: %w", p.kubeconfig, err)
	}
	if p.api, err = client.NewWithWatch(config, client.Options{}); err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	for _, part := range []func(context.Context) error{p.tidy, p.application, p.load, p.adopt, p.good, p.bad} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tidy takes away what an earlier demonstration left.
func (p *play) tidy(ctx context.Context) error {
	left, err := p.quietly(ctx, "get", "namespace", namespace, "--ignore-not-found", "-o", "name")
	if err != nil || left == "" {
		return err
	}
	p.tell("Taking away the last demonstration's namespace.")
	if _, err := p.quietly(ctx, "-n", namespace, "delete", "rollouts", "--all", "--timeout=60s"); err != nil {
		return err
	}
	_, err = p.quietly(ctx, "delete", "namespace", namespace, "--timeout=120s")
	return err
}

func (p *play) application(ctx context.Context) error {
	p.title("An application as you have it today: Deployment, Service, route")
	if err := p.kubectl(ctx, "apply", "-f", "e2e/shop/manifests/1-app.yaml"); err != nil {
		return err
	}
	return p.kubectl(ctx, "-n", namespace, "rollout", "status", "deployment/"+name, "--timeout=60s")
}

// load starts the clients: outside the mesh, through the gateway.
func (p *play) load(ctx context.Context) error {
	out, err := p.quietly(ctx, "-n", "crossfade-system", "get", "service", "crossfade-gateway", "-o", "jsonpath={.spec.clusterIP}")
	if err != nil {
		return err
	}
	p.address = strings.TrimSpace(out)
	if err := p.reachable(ctx); err != nil {
		return err
	}
	p.tell("Load from outside through the gateway, to the end: 100 requests/s HTTP/1.1, 50/s HTTP/2, 20/s HTTP/1.1 with new connections.")
	for protocol, rate := range map[load.Protocol]float64{load.KeepAlive: 100, load.H2C: 50, load.NewConnections: 20} {
		run, err := load.Start(ctx, load.Options{URL: "http://" + p.address + "/", Host: host, Protocol: protocol, Rate: rate})
		if err != nil {
			return err
		}
		p.runs = append(p.runs, run)
	}
	return nil
}

// reachable waits until the gateway serves the new route.
func (p *play) reachable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		run, err := load.Start(ctx, load.Options{URL: "http://" + p.address + "/", Host: host, Rate: 10, Requests: 1, Protocol: load.NewConnections})
		if err != nil {
			return err
		}
		<-run.Done()
		samples := run.Stop()
		if len(samples) == 1 && !samples[0].Lost() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the gateway does not serve %s within a minute; the last answer: %s", host, load.Describe(samples))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// adopt applies the Rollout, which must not touch a pod.
func (p *play) adopt(ctx context.Context) error {
	p.title("One more object says how it is delivered from now on")
	before, err := p.pods(ctx)
	if err != nil {
		return err
	}
	if err := p.kubectl(ctx, "apply", "-f", "e2e/shop/manifests/2-rollout.yaml"); err != nil {
		return err
	}
	if err := p.kubectl(ctx, "-n", namespace, "wait", "rollout/"+name, "--for=condition=Ready", "--timeout=60s"); err != nil {
		return err
	}
	after, err := p.pods(ctx)
	if err != nil {
		return err
	}
	p.expect(before == after, "adopting the Deployment changed its pods: before %q, after %q", before, after)
	p.tell("No pod was restarted.")
	p.rollout = live.FollowRollout(ctx, p.api, namespace, name)
	_, err = p.await(ctx, time.Minute, "is Healthy", func(r live.Rollout) bool { return r.Healthy() })
	return err
}

// pods names the running pods, with UIDs.
func (p *play) pods(ctx context.Context) (string, error) {
	return p.quietly(ctx, "-n", namespace, "get", "pods", "-l", "app="+name, "--sort-by=.metadata.name",
		"-o", "jsonpath={range .items[*]}{.metadata.name}/{.metadata.uid}/{.status.containerStatuses[0].restartCount} {end}")
}

func (p *play) await(ctx context.Context, limit time.Duration, what string, is func(live.Rollout) bool) (live.Seen[live.Rollout], error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %s", limit))
	defer cancel()
	return p.rollout.Await(ctx, what, func(s live.Seen[live.Rollout]) bool { return !s.Gone && is(s.Object) })
}

// change types the new image, and shows the Rollout's line until the end is there.
func (p *play) change(ctx context.Context, a *act, over func(live.Rollout) bool) error {
	p.rollout.SkipAll()
	stop, err := p.watch(ctx, "-n", namespace, "get", "rollout", name, "-o", "wide", "--watch")
	if err != nil {
		return err
	}
	defer stop()
	a.from = time.Now()
	if err := p.kubectl(ctx, "-n", namespace, "set", "image", "deployment/"+name, name+"=crossfade.local/shop:"+a.version); err != nil {
		return err
	}
	seen, err := p.await(ctx, time.Minute, "has a canary", func(r live.Rollout) bool { return r.Status.Canary.Revision != "" })
	if err != nil {
		return err
	}
	a.canary = seen.Object.Status.Canary.Revision
	end, err := p.await(ctx, 3*time.Minute, "is through", over)
	if err != nil {
		return err
	}
	a.to, a.took = end.At, end.At.Sub(a.from)
	return nil
}

// finish counts what an act's requests came to. The clients go on.
func (p *play) finish(a *act) {
	var states []live.Seen[live.Rollout]
	for _, s := range p.rollout.States() {
		if !s.At.Before(a.from) && !s.At.After(a.to) {
			states = append(states, s)
		}
	}
	for _, w := range live.Windows(states, func(s live.Seen[live.Rollout]) time.Time { return s.At.Add(-300 * time.Millisecond) }, a.to) {
		if w.Canary == a.canary && w.Weight > 0 {
			a.windows = append(a.windows, w)
		}
	}
	for i := len(states) - 1; i >= 0 && states[i].Object.Status.Weight.Acked == 0; i-- {
		a.zero = states[i].At
	}
	a.counts = load.Count(p.samples(), a.from, a.to)
	p.acts = append(p.acts, *a)
}

func (p *play) samples() []load.Sample {
	var all []load.Sample
	for _, r := range p.runs {
		all = append(all, r.Samples()...)
	}
	return all
}

func (p *play) good(ctx context.Context) error {
	p.title("A good version: three steps, then it is promoted by itself")
	a := act{title: "good version", version: "v2", stable: "v1"}
	if err := p.change(ctx, &a, func(r live.Rollout) bool {
		return r.Healthy() && r.Status.Stable.Revision == a.canary && r.Condition("Promoted").Status == "True"
	}); err != nil {
		return err
	}
	if err := p.kubectl(ctx, "-n", namespace, "rollout", "status", "deployment/"+name, "--timeout=20s"); err != nil {
		return err
	}
	if err := p.kubectl(ctx, "-n", namespace, "get", "deployment,replicasets,rollout"); err != nil {
		return err
	}
	p.finish(&a)
	p.tell("Promoted after %.1f s: %s.", a.took.Seconds(), a.counts)
	return nil
}

func (p *play) bad(ctx context.Context) error {
	p.title("A bad version: it answers 30 % of its requests with an error, and is rolled back by itself")
	a := act{title: "bad version", version: "v3", stable: "v2"}
	if err := p.change(ctx, &a, func(r live.Rollout) bool { return r.Status.Phase == "RolledBack" }); err != nil {
		return err
	}
	if err := p.kubectl(ctx, "-n", namespace, "events", "--for=rollout/"+name); err != nil {
		return err
	}
	p.finish(&a)
	p.tell("Rolled back after %.1f s: %s.", a.took.Seconds(), a.counts)
	if a.counts.Own[a.version] == 0 {
		return errors.New("the bad version answered no request with an error: nothing was shown")
	}
	return nil
}
