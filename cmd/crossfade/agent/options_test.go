package agent

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func good(more ...string) []string {
	return append([]string{"--xds=controller:15010", "--certificates=controller:15011", "--cluster=gateway/a/b", "--node=a/pod", "--concurrency=2"}, more...)
}

func TestParse(t *testing.T) {
	cases := map[string]struct {
		reason string
		args   []string
		want   string // part of the error, empty for none
	}{
		"Good":              {reason: "What the Deployment gives is enough.", args: good()},
		"NoController":      {reason: "Without a port it is no address.", args: good("--xds=controller"), want: "write HOST:PORT"},
		"NoView":            {reason: "The view names a Gateway.", args: good("--cluster=gateway"), want: "gateway/NAMESPACE/NAME"},
		"Sidecar":           {reason: "A sidecar's view is its namespace's.", args: good("--cluster=sidecar/a")},
		"SidecarOfNobody":   {reason: "An unset variable in the manifest must not become a namespace.", args: good("--cluster=sidecar/"), want: "sidecar/NAMESPACE"},
		"NoCertificates":    {reason: "Without a certificate the controller says nothing.", args: good("--certificates="), want: "-certificates"},
		"EmptyPodName":      {reason: "An unset variable in the manifest must not become a name.", args: good("--node=a/"), want: "NAMESPACE/POD"},
		"NoWorker":          {reason: "Envoy would take 0 as all cores of the machine.", args: good("--concurrency=0"), want: "use 1 or more"},
		"FractionOfSecond":  {reason: "Envoy knows whole seconds only.", args: good("--drain-time=1500ms"), want: "whole seconds"},
		"NoDrainTime":       {reason: "Envoy would take 0 as 600 s.", args: good("--drain-time=0s"), want: "whole seconds"},
		"DrainAtOnce":       {reason: "Then it asks for no time at all.", args: good("--drain-time=60s", "--drain-at-once", "--drain=1s")},
		"NoDrain":           {reason: "What is asked to close needs a moment.", args: good("--drain-at-once", "--drain=0s"), want: "use 1s or more"},
		"DrainTooShort":     {reason: "Envoy must be done with asking before its time is over.", args: good("--drain-time=20s", "--drain=20s"), want: "use 21s or more"},
		"NegativeTime":      {reason: "There is no such wait.", args: good("--settle=-1s"), want: "cannot be negative"},
		"Workload":          {reason: "It is a name.", args: good("--workload=front.end-2", "--revision=x5d")},
		"QuotedWorkload":    {reason: "It would end the label in which it is.", args: good(`--workload=a"b`), want: "-workload"},
		"TwoWorkloads":      {reason: "It would be an attribute of its own.", args: good(`--workload=a,b=c`), want: "-workload"},
		"Revision":          {reason: "So would this.", args: good(`--revision="`), want: "-revision"},
		"Argument":          {reason: "A flag without dashes would be ignored silently.", args: good("xds=controller:1"), want: "flags only"},
		"TwoMistakesAtOnce": {reason: "All mistakes are told at once.", args: good("--xds=c", "--node="), want: "write NAMESPACE/POD"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(tc.args, io.Discard)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("%s\nParse(): %v", tc.reason, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%s\nParse(): want an error with %q, got: %v", tc.reason, tc.want, err)
			}
		})
	}
}

func TestDefaultsFitTheGracePeriod(t *testing.T) {
	// config/gateway/proxy.yaml gives a gateway pod 60 s to stop.
	const grace = 60 * time.Second
	o, err := Parse(good(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if longest := o.Timings.Settle + o.Timings.Drain + o.Timings.Quit; longest >= grace {
		t.Errorf("a stop takes up to %v, and the kubelet kills after %v", longest, grace)
	}
}

func TestArguments(t *testing.T) {
	for strategy, args := range map[string][]string{
		"gradual": good("--dir=/d", "--drain-time=7s"), "immediate": good("--dir=/d", "--drain-time=7s", "--drain-at-once"),
	} {
		o, err := Parse(args, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"-c", "/d/envoy-bootstrap.json", "--concurrency", "2", "--drain-time-s", "7", "--drain-strategy", strategy,
			"--disable-hot-restart", "--log-level", "warning", "--log-format", envoyLog,
		}
		if diff := cmp.Diff(want, o.arguments()); diff != "" {
			t.Errorf("arguments(): -want, +got:\n%s", diff)
		}
	}
}

func TestEnvironment(t *testing.T) {
	cases := map[string]struct {
		args []string
		want string
	}{
		"Told":   {args: []string{"--workload=web", "--revision=x5d"}, want: "service.name=web,k8s.namespace.name=a,k8s.pod.name=pod,service.version=x5d"},
		"Untold": {want: "service.name=pod,k8s.namespace.name=a,k8s.pod.name=pod"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o, err := Parse(good(tc.args...), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"OTEL_RESOURCE_ATTRIBUTES=" + tc.want}, o.environment()); diff != "" {
				t.Errorf("environment(): -want, +got:\n%s", diff)
			}
		})
	}
}

func TestBootstrap(t *testing.T) {
	o, err := Parse(good("--dir=/d"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o.Version = "v1.2.3"
	content, err := o.bootstrap()
	if err != nil {
		t.Fatal(err)
	}
	// Package xds tests the rest.
	for _, want := range []string{`"a/pod"`, `"gateway/a/b"`, `"controller"`, `15010`, `"/d/envoy-admin.sock"`, `"/var/run/crossfade/tls/trust.yaml"`, `"sni": "controller"`, `"v1.2.3"`} {
		if !strings.Contains(string(content), want) {
			t.Errorf("bootstrap(): %s is missing in:\n%s", want, content)
		}
	}
}

func TestBootstrapNeedsAPort(t *testing.T) {
	if _, err := (Options{XDS: "controller:http", Cluster: "a", Node: "b"}).bootstrap(); err == nil {
		t.Error("bootstrap(): want an error for a port that is no number")
	}
}
