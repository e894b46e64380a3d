// Package session is what all verbs of the plugin have in common: the streams, the
// flags that kubectl has too, the clients, how objects are printed and how errors
// become a sentence and an exit code.
package session

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// The resources that the plugin reads and writes. All of them are read as the API
// server serves them, without types of ours in between: a field that a newer
// controller has added must not get lost on the way through.
var (
	Rollouts    = schema.GroupVersionResource{Group: "crossfade.dev", Version: "v1alpha1", Resource: "rollouts"}
	Actions     = schema.GroupVersionResource{Group: "crossfade.dev", Version: "v1alpha1", Resource: "rolloutactions"}
	Deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	ReplicaSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	Pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	Namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// SystemNamespace is where the controller runs; the manifests allow no other.
const SystemNamespace = "crossfade-system"

// Verb makes one subcommand. It may use the session only while the command runs:
// the flags are read by then.
type Verb func(*Session) *cobra.Command

// Session is one run of the plugin.
type Session struct {
	genericiooptions.IOStreams
	// Version is the plugin's own.
	Version string
	// Now is the clock.
	Now func() time.Time

	flags   *genericclioptions.ConfigFlags
	noColor bool
}

// New makes a session; its flags are still to be added to a command and read.
func New(streams genericiooptions.IOStreams, version string, now func() time.Time) *Session {
	flags := genericclioptions.NewConfigFlags(true)
	warnings := rest.NewWarningWriter(streams.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
	flags.WrapConfigFn = func(c *rest.Config) *rest.Config {
		c.UserAgent = "kubectl-crossfade/" + version
		// A person waits, and a pipeline looks every few seconds: client-go's default
		// of 5 a second would make a tree of ten Rollouts slow.
		c.QPS, c.Burst = 50, 100
		c.WarningHandler = warnings
		return c
	}
	return &Session{IOStreams: streams, Version: version, Now: now, flags: flags}
}

// AddFlags adds the flags that every verb has.
func (s *Session) AddFlags(f *pflag.FlagSet) {
	s.flags.AddFlags(f)
	f.BoolVar(&s.noColor, "no-color", false, "print without colours; so does a non-empty NO_COLOR, and an output that is no terminal")
}

// Config says which cluster, and as whom.
func (s *Session) Config() (*rest.Config, error) { return s.flags.ToRESTConfig() }

// Client reads and writes objects as the API server serves them.
func (s *Session) Client() (dynamic.Interface, error) {
	config, err := s.Config()
	if err != nil {
		return nil, err
	}
	return dynamic.NewForConfig(config)
}

// Namespace is that of -n, else the context's.
func (s *Session) Namespace() (string, error) {
	namespace, _, err := s.flags.ToRawKubeConfigLoader().Namespace()
	return namespace, err
}

// Colored says whether colours may be printed.
func (s *Session) Colored() bool {
	return !s.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && Terminal(s.Out)
}

// CompleteRollouts completes the one name of a Rollout that a verb takes.
func (s *Session) CompleteRollouts(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	namespace, err := s.Namespace()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return s.complete(c.Context(), Rollouts, namespace, prefix)
}

// CompleteNamespaces completes -n.
func (s *Session) CompleteNamespaces(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return s.complete(c.Context(), Namespaces, "", prefix)
}

// completionTime bounds the wait of somebody who pressed Tab.
const completionTime = 3 * time.Second

func (s *Session) complete(ctx context.Context, what schema.GroupVersionResource, namespace, prefix string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	client, err := s.Client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := client.Resource(what).Namespace(namespace).List(ctx, ListAll)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for i := range list.Items {
		if name := list.Items[i].GetName(); strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
