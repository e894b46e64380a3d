package bench

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/crossfade-dev/crossfade/cmd/crossfade/load"
	"github.com/crossfade-dev/crossfade/proxy/inject"
	"github.com/crossfade-dev/crossfade/proxy/intercept"
)

const (
	maxRounds = 1000
	// maxWatched bounds how many proxies of the Service's pods are watched: each
	// is asked twice a round.
	maxWatched = 10
	// statsPath leaves out Envoy's own thousands of numbers.
	statsPath = "/stats/prometheus?filter=^$"
	// cleanup is the time for deleting the pods, whatever ended the run.
	cleanup = 30 * time.Second
)

type settings struct {
	kubeconfig, context, namespace string
	service, image, output         string
	options                        load.Options
	rounds                         int
	plain                          bool
}

// Run is `crossfade bench`. It deletes the pods that it made before it returns,
// also when ctx ends.
func Run(ctx context.Context, args []string) error {
	s, err := parse(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	c, namespace, err := connect(s.kubeconfig, s.context)
	if err != nil {
		return err
	}
	if s.namespace == "" {
		s.namespace = namespace
	}
	b := &bench{settings: s, cluster: c, run: strconv.FormatUint(uint64(rand.Uint32()), 36), now: time.Now, log: os.Stderr}
	measured, err := b.measure(ctx)
	if err != nil {
		return err
	}
	report := NewReport(measured)
	if s.output == "json" {
		return report.WriteJSON(os.Stdout)
	}
	return report.WriteText(os.Stdout)
}

func parse(args []string, out io.Writer) (settings, error) {
	s := settings{}
	f := flag.NewFlagSet("crossfade bench", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "file that says which cluster; else $KUBECONFIG or ~/.kube/config, as kubectl does")
	f.StringVar(&s.context, "context", "", "context in that file; else the current one")
	f.StringVar(&s.namespace, "namespace", "", "where the clients run; else the context's")
	f.StringVar(&s.namespace, "n", "", "short for --namespace")
	f.StringVar(&s.service, "service", "", "what is asked: NAME[.NAMESPACE][:PORT][/PATH]; required")
	f.Float64Var(&s.options.Rate, "rate", 100, "requests per second of each client")
	f.IntVar(&s.rounds, "rounds", 6, "rounds of each client")
	f.DurationVar(&s.options.Duration, "duration", 10*time.Second, "of one round")
	f.IntVar(&s.options.Connections, "connections", 4, "of each client, each with one request at a time")
	f.BoolVar(&s.options.HTTP2, "http2", false, "use HTTP/2 without TLS instead of HTTP/1.1")
	f.StringVar(&s.image, "image", "", "image of the clients, with crossfade as its entrypoint; else that of the sidecar")
	f.BoolVar(&s.plain, "plain-envoy", false, "add a client behind an Envoy with a minimal configuration written by hand")
	f.StringVar(&s.output, "o", "text", "text or json")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	switch {
	case f.NArg() > 0:
		return s, fmt.Errorf("bench takes flags only, got %q", f.Arg(0))
	case s.output != "text" && s.output != "json":
		return s, fmt.Errorf("-o %q: want text or json", s.output)
	case s.rounds < 1 || s.rounds > maxRounds:
		return s, fmt.Errorf("--rounds %d: want 1 to %d", s.rounds, maxRounds)
	}
	if _, err := parseTarget(s.service, "default"); err != nil {
		return s, err
	}
	return s, s.options.Check()
}

func (s settings) variants() []Variant {
	if s.plain {
		return []Variant{Without, With, Plain}
	}
	return []Variant{Without, With}
}

// bench is one run.
type bench struct {
	settings
	cluster *cluster
	run     string
	now     func() time.Time
	log     io.Writer
}

// measure starts the clients, has them send in turns, and deletes them.
func (b *bench) measure(ctx context.Context) (m Measured, err error) {
	t, err := parseTarget(b.service, b.namespace)
	if err != nil {
		return m, err
	}
	service, pods, err := b.cluster.service(ctx, t)
	if err != nil {
		return m, err
	}
	port, err := t.choosePort(service)
	if err != nil {
		return m, err
	}
	b.options.URL = t.url(port.Port)
	planned, err := b.plan(ctx, t, port)
	if err != nil {
		return m, err
	}
	defer func() {
		// Also after Ctrl-C, which has ended ctx.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
		defer cancel()
		names := make([]string, len(planned))
		for i, pod := range planned {
			names[i] = pod.Name
		}
		err = errors.Join(err, b.cluster.remove(ctx, b.namespace, names))
	}()
	node, err := b.start(ctx, planned)
	if err != nil {
		return m, err
	}
	m = Measured{Variants: b.variants(), Rounds: map[Variant][]load.Round{}, Proxies: b.watched(pods), Setting: Setting{
		Service: fmt.Sprintf("%s/%s:%d", t.namespace, t.name, port.Port), URL: b.options.URL, Node: node,
		Rate: b.options.Rate, Connections: b.options.Connections, Protocol: map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[b.options.HTTP2],
		Rounds: b.rounds, RoundSeconds: b.options.Duration.Seconds(), Pods: len(pods),
	}}
	for _, pod := range pods {
		if meshed(&pod) {
			m.Setting.MeshedPods++
		}
	}
	return m, b.takeTurns(ctx, t.namespace, &m)
}

// plan is the clients' pods, in the order of a turn.
func (b *bench) plan(ctx context.Context, t target, port corev1.ServicePort) ([]*corev1.Pod, error) {
	turn := time.Duration(len(b.variants())) * (b.options.Duration + 5*time.Second)
	spec := clientSpec{run: b.run, namespace: b.namespace, options: b.options, whole: time.Duration(b.rounds) * turn}
	image := b.image
	if image == "" {
		image = "crossfade" // Of a pod that is never made.
	}
	injected, err := b.cluster.injected(ctx, clientPod(spec, With, image))
	if err != nil {
		return nil, err
	}
	if b.image == "" {
		sidecar, _ := find(injected, inject.ProxyContainer)
		image = sidecar.Image
	}
	var pods []*corev1.Pod
	for _, v := range b.variants() {
		pod := clientPod(spec, v, image)
		if v == Plain {
			endpoints, err := b.cluster.endpoints(ctx, t, port)
			if err != nil {
				return nil, err
			}
			if pod, err = plainPod(pod, injected, plainEnvoy(endpoints, b.options.HTTP2)); err != nil {
				return nil, err
			}
		}
		pods = append(pods, pod)
	}
	return pods, nil
}

// start makes the pods and returns the node that they run on.
func (b *bench) start(ctx context.Context, planned []*corev1.Pod) (string, error) {
	node := ""
	for _, pod := range planned {
		fmt.Fprintf(b.log, "starting pod %s/%s\n", pod.Namespace, pod.Name)
		got, err := b.cluster.start(ctx, pod)
		if err != nil {
			return "", err
		}
		node = got.Spec.NodeName
	}
	return node, nil
}

// watched are the proxies on the way: of the client with a sidecar, and of the
// Service's pods.
func (b *bench) watched(pods []corev1.Pod) []Proxy {
	out := []Proxy{{Pod: podName(b.run, With), Of: "client", Used: map[Variant][]Pair{}}}
	if b.plain {
		out = append(out, Proxy{Pod: podName(b.run, Plain), Of: "client", Used: map[Variant][]Pair{}})
	}
	for _, pod := range pods {
		if meshed(&pod) && len(out) < maxWatched {
			out = append(out, Proxy{Pod: pod.Name, Of: "service", Used: map[Variant][]Pair{}})
		}
	}
	return out
}

// takeTurns has each client send in its turn.
func (b *bench) takeTurns(ctx context.Context, namespace string, m *Measured) error {
	for i := range b.rounds {
		for _, v := range m.Variants {
			before := b.samples(ctx, namespace, m.Proxies)
			answer, err := b.cluster.ask(ctx, http.MethodPost, b.namespace, podName(b.run, v), controlPort, load.PathRound)
			if ctx.Err() != nil {
				return fmt.Errorf("interrupted in round %d of the client %s: %w", i+1, titles[v], ctx.Err())
			}
			if err != nil {
				return fmt.Errorf("round %d of the client %s: %w%s", i+1, titles[v], err, hint(v))
			}
			var round load.Round
			if err := json.Unmarshal(answer, &round); err != nil {
				return fmt.Errorf("read round %d of the client %s: %w", i+1, titles[v], err)
			}
			m.Rounds[v] = append(m.Rounds[v], round)
			for j, after := range b.samples(ctx, namespace, m.Proxies) {
				if before[j] != nil && after != nil {
					m.Proxies[j].Used[v] = append(m.Proxies[j].Used[v], Pair{*before[j], *after})
				}
			}
			fmt.Fprintf(b.log, "round %d of %d, %s: p99 %v\n", i+1, b.rounds, titles[v], round.Answers.Percentile(0.99))
		}
	}
	return nil
}

// hint says what is likely where only one of the clients is not answered.
func hint(v Variant) string {
	if v == With {
		return ""
	}
	return " (a Service with strict mutual TLS, or with an access policy, does not answer this client: measure one that is permissive)"
}

// samples reads what the proxies have used until now. Nil for one that does not
// tell: that costs no round, it is reported as not known.
func (b *bench) samples(ctx context.Context, namespace string, proxies []Proxy) []*Sample {
	out := make([]*Sample, len(proxies))
	for i, p := range proxies {
		where := namespace
		if p.Of == "client" {
			where = b.namespace
		}
		out[i] = b.sample(ctx, where, p.Pod)
	}
	return out
}

func (b *bench) sample(ctx context.Context, namespace, pod string) *Sample {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	text, err := b.cluster.ask(ctx, http.MethodGet, namespace, pod, intercept.StatsPort, statsPath)
	if err != nil {
		return nil
	}
	if s, known := readSample(text, b.now()); known {
		return &s
	}
	return nil
}
