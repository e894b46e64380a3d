package agent

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// Options are what the agent was told on its command line.
type Options struct {
	XDS     string // host:port of the controller
	Cluster string // which view of the mesh Envoy asks for: gateway/<namespace>/<name> or sidecar/<namespace>
	Node    string // who this proxy is: <namespace>/<pod>
	// Workload is what the pod belongs to, a Deployment's name mostly, and Revision its
	// pod-template-hash; both are for metrics and spans, and may be empty.
	Workload, Revision string
	// Version is this program's, no flag's; it goes to the controller.
	Version string
	// Certificates is the host:port where the certificate is asked for, TokenDir the
	// folder with what it is asked with, TLSDir the one that it is written to.
	Certificates, TokenDir, TLSDir string

	Envoy       string // program
	Dir         string // folder for the bootstrap and the admin socket
	ReadyAddr   string // where /ready is served
	StatsAddr   string // where /stats/prometheus is served
	LogLevel    string // Envoy's
	Concurrency int    // Envoy's worker threads
	// DrainTime is within which time a draining Envoy has asked all connections
	// that carry requests to close: a growing share of the responses says so. It is
	// also how long connections live whose part of a listener is replaced.
	DrainTime time.Duration
	// DrainAtOnce lets all responses of a stop say so, however long DrainTime is.
	DrainAtOnce bool
	Timings     Timings
}

// slack is what a drain's bound leaves to the last requests after DrainTime.
const slack = time.Second

// Parse reads the command line. Wrong flags are explained to out. The error is
// flag.ErrHelp when only help was asked for.
func Parse(args []string, out io.Writer) (Options, error) {
	var o Options
	f := flag.NewFlagSet("crossfade agent", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.XDS, "xds", "", "controller to get the configuration from, HOST:PORT")
	f.StringVar(&o.Cluster, "cluster", "", "what this proxy serves, gateway/NAMESPACE/NAME or sidecar/NAMESPACE")
	f.StringVar(&o.Certificates, "certificates", "", "where the proxy's certificate is asked for, HOST:PORT")
	f.StringVar(&o.TokenDir, "token-dir", "/var/run/crossfade/token", "folder with token and root.pem, projected by the kubelet")
	f.StringVar(&o.TLSDir, "tls-dir", xds.TLSDir, "folder in memory for key, certificate and roots")
	f.StringVar(&o.Node, "node", "", "name of this proxy, NAMESPACE/POD")
	f.StringVar(&o.Workload, "workload", "", "what this pod belongs to, as metrics and spans name it")
	f.StringVar(&o.Revision, "revision", "", "pod-template-hash of this pod, as metrics name it")
	f.StringVar(&o.Envoy, "envoy", "/usr/local/bin/envoy", "Envoy's program")
	f.StringVar(&o.Dir, "dir", "/tmp", "folder that can be written to, for the bootstrap and the admin socket")
	f.StringVar(&o.ReadyAddr, "ready-address", ":15021", "address that serves /ready")
	f.StringVar(&o.StatsAddr, "stats-address", ":15090", "address that serves /stats/prometheus")
	f.StringVar(&o.LogLevel, "envoy-log-level", "warning", "Envoy's log level")
	f.IntVar(&o.Concurrency, "concurrency", runtime.GOMAXPROCS(0), "Envoy's worker threads; as many as the container has cores if not given")
	f.DurationVar(&o.Timings.Settle, "settle", 5*time.Second, "on stop: time until everybody knows that this proxy is not ready")
	f.DurationVar(&o.DrainTime, "drain-time", 20*time.Second, "on stop: time within which connections that carry requests are asked to close; and how long those stay whose listener has changed")
	f.BoolVar(&o.DrainAtOnce, "drain-at-once", false, "on stop: ask with every response, and not with a share of them that grows for -drain-time")
	f.DurationVar(&o.Timings.Drain, "drain", 45*time.Second, "on stop: time that connections may stay open after -settle")
	f.DurationVar(&o.Timings.Quit, "quit", 5*time.Second, "on stop: time for Envoy to end before it is killed")
	if err := f.Parse(args); err != nil {
		return Options{}, err
	}
	if f.NArg() > 0 {
		return Options{}, fmt.Errorf("agent takes flags only, got %q", f.Arg(0))
	}
	return o, o.validate()
}

func (o Options) validate() error {
	var wrong []error
	if _, _, err := net.SplitHostPort(o.XDS); err != nil {
		wrong = append(wrong, fmt.Errorf("-xds %q: write HOST:PORT", o.XDS))
	}
	if _, _, err := net.SplitHostPort(o.Certificates); err != nil {
		wrong = append(wrong, fmt.Errorf("-certificates %q: write HOST:PORT", o.Certificates))
	}
	if parts := strings.Split(o.Cluster, "/"); !isCluster(parts) {
		wrong = append(wrong, fmt.Errorf("-cluster %q: write gateway/NAMESPACE/NAME or sidecar/NAMESPACE", o.Cluster))
	}
	if o.Node == "" || strings.HasPrefix(o.Node, "/") || strings.HasSuffix(o.Node, "/") {
		wrong = append(wrong, fmt.Errorf("-node %q: write NAMESPACE/POD", o.Node))
	}
	wrong = append(wrong, checkName("-workload", o.Workload), checkName("-revision", o.Revision))
	if o.Concurrency < 1 {
		wrong = append(wrong, fmt.Errorf("-concurrency %d: use 1 or more", o.Concurrency))
	}
	if o.Timings.Settle < 0 || o.Timings.Drain < 0 || o.Timings.Quit < 0 {
		wrong = append(wrong, errors.New("-settle, -drain and -quit cannot be negative"))
	}
	// Envoy takes whole seconds, and none at all means 600 s to it.
	if o.DrainTime < time.Second || o.DrainTime%time.Second != 0 {
		wrong = append(wrong, fmt.Errorf("-drain-time %v: use whole seconds, 1s or more", o.DrainTime))
	}
	if asking := o.asking(); o.Timings.Drain < asking+slack {
		wrong = append(wrong, fmt.Errorf("-drain %v: use %v or more, so that what -drain-time asks to close can close", o.Timings.Drain, asking+slack))
	}
	return errors.Join(wrong...)
}

// asking is how long Envoy asks connections to close.
func (o Options) asking() time.Duration {
	if o.DrainAtOnce {
		return 0
	}
	return o.DrainTime
}

// checkName refuses what is no name of Kubernetes' and would end a label's value, or a
// variable's.
func checkName(flag, name string) error {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") != "" {
		return fmt.Errorf("%s %q: use letters, digits, dashes and dots", flag, name)
	}
	return nil
}

// namespace is the pod's.
func (o Options) namespace() string {
	namespace, _, _ := strings.Cut(o.Node, "/")
	return namespace
}

func (o Options) labels() labels {
	return labels{workload: o.Workload, namespace: o.namespace(), revision: o.Revision}
}

// environment tells Envoy how spans name this pod, as OpenTelemetry has it. A pod
// without a workload is known by its own name.
func (o Options) environment() []string {
	_, pod, _ := strings.Cut(o.Node, "/")
	service := o.Workload
	if service == "" {
		service = pod
	}
	attributes := []string{"service.name=" + service, "k8s.namespace.name=" + o.namespace(), "k8s.pod.name=" + pod}
	if o.Revision != "" {
		attributes = append(attributes, "service.version="+o.Revision)
	}
	return []string{"OTEL_RESOURCE_ATTRIBUTES=" + strings.Join(attributes, ",")}
}

func isCluster(parts []string) bool {
	return len(parts) == 3 && parts[0] == "gateway" || len(parts) == 2 && parts[0] == "sidecar" && parts[1] != ""
}

// bootstrapFile is what Envoy reads when it starts.
func (o Options) bootstrapFile() string { return filepath.Join(o.Dir, "envoy-bootstrap.json") }

// adminSocket is where Envoy answers the agent. A socket in the container's own
// file system, because a port, on loopback too, is open to every container of
// the pod: whoever reaches it can stop the proxy.
func (o Options) adminSocket() string { return filepath.Join(o.Dir, "envoy-admin.sock") }

// envoyLog writes each line as JSON, as the agent's own lines are.
const envoyLog = `{"time":"%Y-%m-%dT%T.%e%z","level":"%l","logger":"envoy.%n","msg":"%j"}`

// arguments are Envoy's.
func (o Options) arguments() []string {
	strategy := "gradual"
	if o.DrainAtOnce {
		strategy = "immediate"
	}
	return []string{
		"-c", o.bootstrapFile(),
		"--concurrency", strconv.Itoa(o.Concurrency),
		"--drain-time-s", strconv.Itoa(int(o.DrainTime / time.Second)),
		"--drain-strategy", strategy,
		// The agent starts a new Envoy only when the last one is gone.
		"--disable-hot-restart",
		"--log-level", o.LogLevel,
		"--log-format", envoyLog,
	}
}
