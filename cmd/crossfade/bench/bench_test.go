package bench

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/cmd/crossfade/load"
	"github.com/crossfade-dev/crossfade/proxy/inject"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// answers is a round in which the times are spread evenly up to the longest.
func answers(n int, longest time.Duration, errors map[string]int) load.Round {
	r := load.Round{Requests: n, Took: 10 * time.Second, Errors: errors}
	for _, failed := range errors {
		r.Requests += failed
	}
	for i := 1; i <= n; i++ {
		r.Answers.Record(longest * time.Duration(i) / time.Duration(n))
	}
	return r
}

func pair(cpu, memory float64) Pair {
	begin := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	return Pair{Sample{begin, 5, memory}, Sample{begin.Add(10 * time.Second), 5 + cpu, memory + 1<<20}}
}

func setting(meshed int) Setting {
	return Setting{
		Service: "shop/payments:80", URL: "http://payments.shop:80/", Node: "node-1", Rate: 100, Connections: 4,
		Protocol: "HTTP/1.1", Rounds: 2, RoundSeconds: 10, Pods: 2, MeshedPods: meshed,
	}
}

func TestGoldenReport(t *testing.T) {
	ms := time.Millisecond
	for name, m := range map[string]Measured{
		"clear": {
			Setting: setting(0), Variants: []Variant{Without, With},
			Rounds: map[Variant][]load.Round{
				Without: {answers(1000, ms, nil), answers(1000, 1100*time.Microsecond, nil)},
				With:    {answers(1000, 2*ms, nil), answers(1000, 2100*time.Microsecond, nil)},
			},
			Proxies: []Proxy{{Pod: "crossfade-bench-x-with", Of: "client", Used: map[Variant][]Pair{
				Without: {pair(0.02, 70<<20)}, With: {pair(0.4, 71<<20), pair(0.6, 71<<20)},
			}}},
		},
		"all-three": {
			Setting: setting(2), Variants: []Variant{Without, With, Plain},
			Rounds: map[Variant][]load.Round{
				Without: {answers(1000, ms, nil), answers(1000, 2*ms, nil)},
				With:    {answers(990, 2*ms, map[string]int{"status 503": 8, "timeout": 2}), answers(1000, 3*ms, nil)},
				Plain:   {answers(1000, 2*ms, nil), answers(700, 3*ms, nil)},
			},
			Proxies: []Proxy{
				{Pod: "crossfade-bench-x-with", Of: "client", Used: map[Variant][]Pair{With: {pair(0.4, 71<<20)}}},
				{Pod: "crossfade-bench-x-plain", Of: "client"},
				{Pod: "payments-1", Of: "service", Used: map[Variant][]Pair{With: {pair(-3, 71<<20)}}},
			},
		},
		"nobody-answers": {
			Setting: setting(1), Variants: []Variant{Without, With},
			Rounds: map[Variant][]load.Round{Without: {answers(0, ms, map[string]int{"connection reset by peer": 1000})}, With: {answers(1000, ms, nil)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReport(m)
			var text, program strings.Builder
			if err := errors.Join(r.WriteText(&text), r.WriteJSON(&program)); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", text.String())
			golden(t, name+".json", program.String())
		})
	}
}

func testSpec() clientSpec {
	return clientSpec{run: "x", namespace: "shop", whole: time.Minute, options: load.Options{
		URL: "http://payments.shop:80/", Rate: 100, Duration: 10 * time.Second, Connections: 4,
	}}
}

// sidecar makes an injected pod, as the product does.
func sidecar(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	out, decision, err := inject.Inject(pod, nil, inject.Options{
		Image: "example/crossfade-proxy:1", XDS: "xds:15010", Certificates: "controller:15011", SystemNamespace: "crossfade-system",
	})
	if err != nil || !decision.Injected {
		t.Fatalf("no sidecar: %v %v", decision, err)
	}
	return out
}

func TestGoldenPods(t *testing.T) {
	injected := sidecar(t, clientPod(testSpec(), With, "crossfade"))
	plain, err := plainPod(clientPod(testSpec(), Plain, "example/crossfade:1"), injected, plainEnvoy([]string{"10.0.0.1:8080", "[fd00::1]:8080"}, true))
	if err != nil {
		t.Fatal(err)
	}
	for name, pod := range map[string]*corev1.Pod{"pod-with": clientPod(testSpec(), With, "example/crossfade:1"), "pod-plain": plain} {
		text, err := yaml.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".yaml", string(text))
	}
	golden(t, "envoy.yaml", plainEnvoy([]string{"10.0.0.1:8080"}, false))
	if _, err := plainPod(plain, clientPod(testSpec(), With, "a"), ""); err == nil {
		t.Error("without a sidecar there is no place to put an Envoy in")
	}
}

func TestTarget(t *testing.T) {
	ports := []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "admin", Port: 9000}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}}
	for name, c := range map[string]struct {
		reason, text string
		ports        []corev1.ServicePort
		url, err     string
	}{
		"Name":          {"the port named http", "payments", ports, "http://payments.here:80/", ""},
		"OnlyPort":      {"there is one", "payments", ports[1:], "http://payments.here:9000/", ""},
		"URL":           {"as it is in a browser", "http://payments.shop:9000/a/b?c=d", ports, "http://payments.shop:9000/a/b?c=d", ""},
		"NamedPort":     {"people know it by its name", "payments:admin/x", ports, "http://payments.here:9000/x", ""},
		"Whole":         {"the name that DNS has", "payments.shop.svc.cluster.local:80", ports, "http://payments.shop:80/", ""},
		"NoName":        {"it is the one flag that is needed", "", ports, "", "required"},
		"TLS":           {"the client would measure its own encryption", "https://payments", ports, "", "plain HTTP"},
		"UDP":           {"HTTP is over TCP", "payments:dns", ports, "", "80/http, 9000/admin"},
		"NoSuchPort":    {"a typing error", "payments:81", ports, "", "80/http, 9000/admin"},
		"Ambiguous":     {"none is named http", "payments", []corev1.ServicePort{{Name: "a", Port: 1}, {Name: "b", Port: 2}}, "", "say which one"},
		"OutsideOfHere": {"it is no Service", "example.com.org", ports, "", "NAME[.NAMESPACE]"},
		"TwoPorts":      {"a typing error", "payments:1:2", ports, "", "NAME[.NAMESPACE]"},
		"OnlyAPath":     {"a typing error", "/x", ports, "", "NAME[.NAMESPACE]"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			target, err := parseTarget(c.text, "here")
			if err == nil {
				var port corev1.ServicePort
				if port, err = target.choosePort(&corev1.Service{Spec: corev1.ServiceSpec{Ports: c.ports}}); err == nil {
					got = target.url(port.Port)
				}
			}
			if got != c.url || (err != nil) != (c.err != "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%s: got %q and %v, want %q and %q", c.reason, got, err, c.url, c.err)
			}
		})
	}
}

func TestReadSample(t *testing.T) {
	whole := "envoy_process_cpu_seconds_total 1.5\nenvoy_process_resident_memory_bytes 100\n" +
		"crossfade_agent_process_cpu_seconds_total 0.25\ncrossfade_agent_process_resident_memory_bytes 10\n"
	types := "# TYPE envoy_process_cpu_seconds_total counter\n# TYPE crossfade_agent_process_cpu_seconds_total counter\n" +
		"# TYPE envoy_process_resident_memory_bytes gauge\n# TYPE crossfade_agent_process_resident_memory_bytes gauge\n"
	got, known := readSample([]byte(types+whole), time.Time{})
	if want := (Sample{CPU: 1.75, Memory: 110}); !known || got != want {
		t.Errorf("got %v %v, want %v", got, known, want)
	}
	for reason, text := range map[string]string{
		"an earlier version tells of Envoy alone": types + strings.Split(whole, "crossfade")[0],
		"nothing":  "",
		"not text": "\x00{",
	} {
		if _, known := readSample([]byte(text), time.Time{}); known {
			t.Errorf("%s: it cannot be known", reason)
		}
	}
}

// scene is a cluster whose pods are ready at once, and whose clients answer.
type scene struct {
	api    *fake.Clientset
	bench  *bench
	log    strings.Builder
	rounds []string
	cancel context.CancelFunc
	// answer is what a client answers; nil for a good round.
	answer func(pod string) ([]byte, error)
	// pod changes a pod as it is made.
	pod func(*corev1.Pod)
}

func newScene(t *testing.T, plain bool) *scene {
	t.Helper()
	ready := corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	name, port, yes := "http", int32(8080), true
	service := sidecar(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "payments-1", Namespace: "shop", Labels: map[string]string{"app": "payments", "crossfade.dev/inject": "true"}}})
	service.Status = ready
	s := &scene{api: fake.NewClientset(
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "payments", Namespace: "shop"}, Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "payments"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}},
		}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "empty", Namespace: "shop"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "empty"}}},
		service,
		&discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Name: "payments-a", Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: "payments"}},
			Ports:      []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
			Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: &yes}}},
		},
	)}
	s.api.PrependReactor("create", "pods", func(action kubetesting.Action) (bool, runtime.Object, error) {
		create := action.(kubetesting.CreateActionImpl)
		pod := create.GetObject().(*corev1.Pod)
		if len(create.GetCreateOptions().DryRun) > 0 {
			return true, sidecar(t, pod), nil
		}
		pod.Spec.NodeName, pod.Status = "node-1", ready
		if s.pod != nil {
			s.pod(pod)
		}
		return false, nil, nil
	})
	s.bench = &bench{
		settings: settings{namespace: "shop", service: "payments", rounds: 2, plain: plain, options: testSpec().options},
		run:      "x", log: &s.log, now: func() time.Time { return time.Time{} },
		cluster: &cluster{api: s.api, patience: 10 * time.Second, poll: time.Millisecond, ask: s.ask},
	}
	return s
}

func (s *scene) ask(_ context.Context, method, namespace, pod string, port int, path string) ([]byte, error) {
	if method == http.MethodGet {
		return nil, errors.New("it does not tell")
	}
	s.rounds = append(s.rounds, fmt.Sprintf("%s/%s:%d%s", namespace, pod, port, path))
	if s.answer != nil {
		return s.answer(pod)
	}
	return json.Marshal(answers(100, time.Millisecond, nil))
}

// left are the clients' pods that are still there.
func (s *scene) left(t *testing.T) []string {
	t.Helper()
	list, err := s.api.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{LabelSelector: labelBench})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range list.Items {
		names = append(names, p.Name)
	}
	return names
}

func TestTurns(t *testing.T) {
	s := newScene(t, true)
	m, err := s.bench.measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	turn := []string{"shop/crossfade-bench-x-without:15180/round", "shop/crossfade-bench-x-with:15180/round", "shop/crossfade-bench-x-plain:15180/round"}
	if diff := cmp.Diff(slices.Concat(turn, turn), s.rounds); diff != "" {
		t.Errorf("rounds in turns (-want +got):\n%s", diff)
	}
	r := NewReport(m)
	if len(r.Clients) != 3 || r.Clients[1].Requests != 200 || r.Node != "node-1" || r.MeshedPods != 1 || r.Service != "shop/payments:80" {
		t.Errorf("report %+v", r)
	}
	if len(r.Proxies) != 3 || r.Proxies[2].Pod != "payments-1" || r.Proxies[2].Memory != nil {
		t.Errorf("three proxies of which nothing is known, got %+v", r.Proxies)
	}
	if left := s.left(t); left != nil {
		t.Errorf("pods are left: %v", left)
	}
}

func TestTroubles(t *testing.T) {
	for name, c := range map[string]struct {
		reason  string
		prepare func(*scene)
		want    string
	}{
		"NoService": {"a typing error", func(s *scene) { s.bench.service = "payment" }, "there is no Service payment in namespace shop"},
		"NoPod":     {"nobody would answer", func(s *scene) { s.bench.service = "empty" }, "no ready pod"},
		"NoEndpoint": {"only the plain Envoy has to know them", func(s *scene) {
			_ = s.api.Tracker().Delete(discoveryv1.SchemeGroupVersion.WithResource("endpointslices"), "shop", "payments-a")
		}, "no ready endpoint"},
		"NotInjected": {"Crossfade is not there, or not for this namespace", func(s *scene) { s.dryRun(func(p *corev1.Pod) (runtime.Object, error) { return p, nil }) }, "gets no sidecar although it asks for one"},
		"PodSecurity": {"NET_ADMIN is refused", func(s *scene) {
			s.dryRun(func(*corev1.Pod) (runtime.Object, error) {
				return nil, apierrors.NewForbidden(corev1.Resource("pods"), "x", errors.New(`violates PodSecurity "restricted:latest"`))
			})
		}, "enforces the Pod Security level privileged"},
		"NoNamespace": {"a typing error", func(s *scene) {
			s.dryRun(func(*corev1.Pod) (runtime.Object, error) {
				return nil, apierrors.NewNotFound(corev1.Resource("namespaces"), "shop")
			})
		}, "there is no namespace shop"},
		"NoImage": {"an image that is only on a laptop", func(s *scene) {
			s.pod = func(p *corev1.Pod) {
				p.Status = corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
					Name: container, Image: "a/b", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}},
				}}}
			}
		}, "name one that the cluster can reach with --image"},
		"NeverReady": {"no node has room", func(s *scene) {
			s.bench.cluster.patience = 20 * time.Millisecond
			s.pod = func(p *corev1.Pod) {
				p.Status = corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes"}}}
			}
		}, "is not ready after 20ms: no node for it: 0/1 nodes"},
		"Refused": {"strict mutual TLS", func(s *scene) {
			s.answer = func(string) ([]byte, error) { return nil, errors.New("connection reset by peer") }
		}, "round 1 of the client without sidecar: connection reset by peer (a Service with strict mutual TLS"},
		"CtrlC": {"somebody has seen enough", func(s *scene) {
			s.answer = func(string) ([]byte, error) { s.cancel(); return nil, context.Canceled }
		}, "interrupted in round 1 of the client without sidecar: context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, true)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s.cancel = cancel
			c.prepare(s)
			_, err := s.bench.measure(ctx)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want %q", c.reason, err, c.want)
			}
			if left := s.left(t); left != nil {
				t.Errorf("%s: pods are left: %v", c.reason, left)
			}
		})
	}
}

// dryRun answers what a pod with a sidecar would become.
func (s *scene) dryRun(answer func(*corev1.Pod) (runtime.Object, error)) {
	s.api.PrependReactor("create", "pods", func(action kubetesting.Action) (bool, runtime.Object, error) {
		create := action.(kubetesting.CreateActionImpl)
		if len(create.GetCreateOptions().DryRun) == 0 {
			return false, nil, nil
		}
		out, err := answer(create.GetObject().(*corev1.Pod))
		return true, out, err
	})
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct{ reason, args, want string }{
		"Good":       {"as it is documented", "--service=payments:80 --rate=50 --rounds=3 -o json --plain-envoy", ""},
		"NoService":  {"what else", "", "--service is required"},
		"Rounds":     {"nothing would be measured", "--service=a --rounds=0", "--rounds"},
		"Output":     {"a typing error", "--service=a -o yaml", "-o"},
		"Rate":       {"nothing would be measured", "--service=a --rate=-1", "--rate"},
		"Argument":   {"a forgotten flag must not go unnoticed", "--service=a b", `"b"`},
		"LongRounds": {"what is between would cut them", "--service=a --duration=1h", "--duration"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(strings.Fields(c.args), io.Discard)
			if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: error %v, want %q", c.reason, err, c.want)
			}
		})
	}
}
