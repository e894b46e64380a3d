// Package release has the verbs about the plugin itself: its version beside the
// controller's, and what shells complete it with.
package release

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

// askTime bounds the question to the cluster.
const askTime = 10 * time.Second

type show struct {
	*session.Session
	output *session.Output
	client bool
}

// Versions is what `version -o json` writes.
type Versions struct {
	Client     string `json:"client"`
	Controller string `json:"controller,omitempty"`
	// Source is where the controller's was read: its metrics, or its image's name.
	Source string `json:"source,omitempty"`
	// Skew says what differs; empty when nothing does.
	Skew string `json:"skew,omitempty"`
}

// Version is `kubectl crossfade version`.
func Version(s *session.Session) *cobra.Command {
	v := &show{Session: s}
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of the plugin and of the controller, and what differs",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return v.run(c.Context()) },
	}
	c.Flags().BoolVar(&v.client, "client", false, "of the plugin only, without asking a cluster")
	v.output = session.AddOutput(c, "json")
	return c
}

func (v *show) run(ctx context.Context) error {
	if err := v.output.Check(); err != nil {
		return err
	}
	versions, err := Versions{Client: v.Version}, error(nil)
	if !v.client {
		versions.Controller, versions.Source, err = v.controller(ctx)
		if err == nil {
			versions.Skew = skew(versions.Client, versions.Controller)
		}
	}
	if v.output.Format == "json" {
		if werr := session.WriteJSON(v.Out, versions); werr != nil {
			return werr
		}
		return err
	}
	fmt.Fprintf(v.Out, "client      %s\n", versions.Client)
	if versions.Controller != "" {
		fmt.Fprintf(v.Out, "controller  %s (by its %s)\n", versions.Controller, versions.Source)
	}
	if versions.Skew != "" {
		fmt.Fprintln(v.Out, v.Paint().Warn(versions.Skew))
	}
	return err
}

// controller asks the controller's pod for its version; where that is not permitted,
// the tag of its image says it.
func (v *show) controller(ctx context.Context) (name, source string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	client, err := v.Client()
	if err != nil {
		return "", "", err
	}
	if name := v.byMetrics(ctx, client); name != "" {
		return name, "metrics", nil
	}
	deployment, err := client.Resource(session.Deployments).Namespace(session.SystemNamespace).Get(ctx, "crossfade-controller", metav1.GetOptions{})
	if err != nil {
		return "", "", fmt.Errorf("get Deployment crossfade-controller in namespace %s: %w", session.SystemNamespace, err)
	}
	images := rollouts.Images(rollouts.Template(deployment))
	if len(images) == 0 {
		return "", "", fmt.Errorf("the Deployment crossfade-controller has no image")
	}
	return tag(images[0]), "image " + images[0], nil
}

func (v *show) byMetrics(ctx context.Context, client dynamic.Interface) string {
	pods, err := client.Resource(session.Pods).Namespace(session.SystemNamespace).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelLeader + "=true"})
	if err != nil || len(pods.Items) == 0 {
		return ""
	}
	config, err := v.Config()
	if err != nil {
		return ""
	}
	core, err := kubernetes.NewForConfig(config)
	if err != nil {
		return ""
	}
	page, err := core.CoreV1().Pods(session.SystemNamespace).ProxyGet("http", pods.Items[0].GetName(), "8080", "metrics", nil).Stream(ctx)
	if err != nil {
		return ""
	}
	defer func() { _ = page.Close() }()
	return infoVersion(page)
}

// infoVersion finds the label of the metric that is there for it.
func infoVersion(page io.Reader) string {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(page, 64<<20))
	if err != nil {
		return ""
	}
	for _, metric := range families["crossfade_controller_info"].GetMetric() {
		for _, label := range metric.GetLabel() {
			if label.GetName() == "version" {
				return label.GetValue()
			}
		}
	}
	return ""
}

// tag is that of an image's name.
func tag(image string) string {
	name := image[strings.LastIndex(image, "/")+1:]
	name, _, _ = strings.Cut(name, "@")
	if _, tag, ok := strings.Cut(name, ":"); ok {
		return tag
	}
	return "unknown"
}

// skew says in which direction two versions differ, and what that means.
func skew(client, controller string) string {
	if client == controller {
		return ""
	}
	a, aErr := version.ParseGeneric(client)
	b, bErr := version.ParseGeneric(controller)
	switch {
	case aErr != nil || bErr != nil || a.EqualTo(b):
		return "the two differ: what one of them does not know is kept as it is, and shown with -o yaml"
	case a.LessThan(b):
		return "the plugin is older than the controller: what it does not know it keeps, and shows with -o yaml only; upgrade the plugin"
	default:
		return "the plugin is newer than the controller: verbs that the controller does not know are refused with a sentence; upgrade the controller, or use its version of the plugin"
	}
}
