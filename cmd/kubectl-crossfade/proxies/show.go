package proxies

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

type show struct {
	*session.Session
	output *session.Output
	verify bool
}

// Show is `kubectl crossfade proxies`.
func Show(s *session.Session) *cobra.Command {
	p := &show{Session: s}
	c := &cobra.Command{
		Use:   "proxies NAME",
		Short: "Show which proxy has confirmed what of the weights, by the controller's account or Envoy's own",
		Long: "Show the proxies that route to the Rollout's Service and what each has confirmed, by the account\n" +
			"of the controller: its debug page is asked through a port-forward, which takes the right to create\n" +
			"pods/portforward in namespace " + session.SystemNamespace + ". With --verify each Envoy is asked itself, by exec in\n" +
			"its container, which takes the right to create pods/exec there, and the two are compared.\n\n" +
			"Exit codes: 0 all have confirmed (and with --verify agree), 1 otherwise.",
		Args:              session.OneName,
		ValidArgsFunction: s.CompleteRollouts,
		RunE:              func(c *cobra.Command, args []string) error { return p.run(c.Context(), args[0]) },
	}
	c.Flags().BoolVar(&p.verify, "verify", false, "ask each Envoy itself, and compare")
	p.output = session.AddOutput(c, "json")
	return c
}

// Account is what `proxies -o json` writes.
type Account struct {
	Namespace string `json:"namespace"`
	Rollout   string `json:"rollout"`
	Service   string `json:"service"`
	Canary    string `json:"canary,omitempty"`
	// Expected and Acked are the counts of the Rollout's status.
	Expected int32 `json:"expected"`
	Acked    int32 `json:"acked"`
	Proxies  []Row `json:"proxies"`
}

func (p *show) run(ctx context.Context, name string) error {
	if err := p.output.Check(); err != nil {
		return err
	}
	client, err := p.Client()
	if err != nil {
		return err
	}
	config, err := p.Config()
	if err != nil {
		return err
	}
	namespace, err := p.Namespace()
	if err != nil {
		return err
	}
	object, err := rollouts.Get(ctx, client, namespace, name)
	if err != nil {
		return err
	}
	r, _ := rollouts.Read(object)
	account := accountOf(r)
	pod, err := leader(ctx, client)
	if err != nil {
		return fmt.Errorf("%s; %w", summary(account), err)
	}
	service := account.Namespace + "/" + account.Service
	ask := func() (page, error) { return askController(ctx, config, pod, service) }
	known, err := ask()
	if err != nil {
		return fmt.Errorf("%s; who they are only the controller knows: %w", summary(account), err)
	}
	var answers map[string]Answer
	if p.verify {
		both := asking{controller: ask, envoy: func(node string) ([]byte, string) { return p.askEnvoy(ctx, client, config, node) }}
		if known, answers, err = both.verify(known, service); err != nil {
			return err
		}
	}
	account.Proxies = rows(known, service, account.Canary)
	for i := range account.Proxies {
		if answer, ok := answers[account.Proxies[i].Proxy]; ok {
			account.Proxies[i].Envoy = &answer
		}
	}
	account.Proxies = append(account.Proxies, p.silent(ctx, client, known, account)...)
	return p.print(account)
}

func accountOf(r *v1alpha1.Rollout) Account {
	a := Account{Namespace: r.Namespace, Rollout: r.Name, Service: r.Spec.ServiceRef.Name}
	if record := r.Status.Record; record != nil {
		a.Canary = record.Canary
		if record.Service != "" {
			a.Service = record.Service
		}
	}
	if x := r.Status.Proxies; x != nil {
		a.Expected, a.Acked = x.Expected, x.Acked
	}
	return a
}

func summary(a Account) string {
	return fmt.Sprintf("by the status of Rollout %s %d of %d proxies have confirmed", a.Rollout, a.Acked, a.Expected)
}

// askEnvoy asks the Envoy of a pod, or says why it cannot be asked.
func (p *show) askEnvoy(ctx context.Context, client dynamic.Interface, config *rest.Config, node string) (raw []byte, trouble string) {
	namespace, pod, ok := strings.Cut(node, "/")
	if !ok {
		return nil, "it is no pod of this cluster"
	}
	object, err := client.Resource(session.Pods).Namespace(namespace).Get(ctx, pod, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Sprintf("get pod %s: %v", node, err)
	}
	container := containerOf(object)
	if container == "" {
		return nil, "its pod has no container of ours: a gRPC client that routes by itself cannot be asked"
	}
	if raw, err = askEnvoy(ctx, config, namespace, pod, container); err != nil {
		return nil, fmt.Sprintf("%v (a proxy older than the plugin has no `crossfade dump`)", err)
	}
	return raw, ""
}

// containerOf is the container with the proxy: the gateway's is an ordinary one, a
// sidecar's a native sidecar.
func containerOf(pod *unstructured.Unstructured) string {
	for _, member := range []string{"containers", "initContainers"} {
		list, _, _ := unstructured.NestedSlice(pod.Object, "spec", member)
		for _, c := range list {
			container, _ := c.(map[string]any)
			args, _, _ := unstructured.NestedStringSlice(container, "args")
			if len(args) > 0 && args[0] == "agent" {
				name, _ := container["name"].(string)
				return name
			}
		}
	}
	return ""
}

// silent are the proxies' pods that have no stream to the controller, where the status
// counts more of them than there are streams.
func (p *show) silent(ctx context.Context, client dynamic.Interface, known page, a Account) []Row {
	if int(a.Expected) <= len(a.Proxies) {
		return nil
	}
	connected := map[string]bool{}
	for _, x := range known.Proxies {
		connected[x.Node] = true
	}
	pods, err := client.Resource(session.Pods).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelProxy})
	if err != nil {
		fmt.Fprintf(p.ErrOut, "warning: %d proxies have no stream to the controller; their pods cannot be listed: %v\n", int(a.Expected)-len(a.Proxies), err)
		return nil
	}
	var list []Row
	for i := range pods.Items {
		pod := &pods.Items[i]
		node := pod.GetNamespace() + "/" + pod.GetName()
		if phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase"); phase != "Running" || connected[node] {
			continue
		}
		list = append(list, Row{
			Proxy: node, Kind: pod.GetLabels()[v1alpha1.LabelProxy], State: stateNoStream,
			Message: "it runs and has no stream to the controller: kubectl -n " + pod.GetNamespace() + " logs " + pod.GetName(),
		})
	}
	return list
}

func (p *show) print(a Account) error {
	if p.output.Format == "json" {
		if a.Proxies == nil {
			a.Proxies = []Row{}
		}
		if err := session.WriteJSON(p.Out, a); err != nil {
			return err
		}
	} else if err := writeTable(p.Out, a, p.Now(), p.Paint()); err != nil {
		return err
	}
	for _, row := range a.Proxies {
		if row.State != stateAcked || (row.Envoy != nil && !row.Envoy.Agrees) {
			return &session.Exit{Code: session.ExitError}
		}
	}
	return nil
}

func writeTable(w io.Writer, a Account, now time.Time, paint session.Paint) error {
	if len(a.Proxies) == 0 {
		fmt.Fprintf(w, "No proxy routes to Service %s: it has no route at the gateway, and no pod with a sidecar asks it.\n", a.Service)
		return nil
	}
	verified := a.Proxies[0].Envoy != nil
	header := []string{"PROXY", "KIND", "VERSION", "CONNECTED", "WEIGHT", "STATE"}
	if verified {
		header = append(header, "ENVOY")
	}
	lines := [][]string{header}
	for _, row := range a.Proxies {
		since := "-"
		if row.Since != nil {
			since = duration.HumanDuration(now.Sub(*row.Since))
		}
		state := row.State
		if row.Message != "" {
			state += ": " + row.Message
		}
		line := []string{row.Proxy, row.Kind, row.Version, since, row.Weight, state}
		if verified {
			line = append(line, envoyWords(row.Envoy))
		}
		lines = append(lines, line)
	}
	state := 5
	return session.WriteColumns(w, lines, func(row, column int, cell string) string {
		if row == 0 || column != state {
			return cell
		}
		if strings.HasPrefix(cell, stateAcked) {
			return paint.Good(cell)
		}
		return paint.Bad(cell)
	})
}

func envoyWords(a *Answer) string {
	switch {
	case a == nil:
		return "not asked"
	case a.Agrees:
		return "agrees: " + strings.Join(a.Routes, " | ")
	case len(a.Routes) == 0:
		return a.Message
	default:
		return fmt.Sprintf("differs: %s (it has %s)", a.Message, strings.Join(a.Routes, " | "))
	}
}
