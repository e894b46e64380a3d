package controller

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/proxy/inject"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

func TestParseIdentity(t *testing.T) {
	cases := map[string]struct {
		reason string
		args   []string
		want   string
	}{
		"Defaults":     {reason: "what the manifests do not say is right as it is"},
		"ShortLeaf":    {reason: "a certificate that ends before it can be renewed", args: []string{"--certificate-lifetime=10s"}, want: "1m or more"},
		"ShortRoot":    {reason: "no time for an overlap", args: []string{"--root-lifetime=48h"}, want: "--root-lifetime"},
		"BadDomain":    {reason: "an identity is compared as bytes", args: []string{"--trust-domain=Cluster.local"}, want: "--trust-domain"},
		"NoDomain":     {reason: "no mesh", args: []string{"--trust-domain="}, want: "--trust-domain"},
		"OwnCluster":   {reason: "a cluster may have another domain", args: []string{"--cluster-domain=k8s.example.com"}},
		"NoCluster":    {reason: "names without it are relative, and looked for elsewhere", args: []string{"--cluster-domain="}, want: "--cluster-domain"},
		"DotAtTheEnd":  {reason: "no certificate has such a name", args: []string{"--cluster-domain=cluster.local."}, want: "--cluster-domain"},
		"NegativeWait": {reason: "no such wait", args: []string{"--trust-spread=-1s"}, want: "cannot be negative"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := parse(tc.args)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: got %v, want an error with %q", tc.reason, err, tc.want)
			}
		})
	}
}

// TestClusterDomain shows that sidecars look for the controller by a name that its
// certificate has; package controllers tests the certificate.
func TestClusterDomain(t *testing.T) {
	for domain, args := range map[string][]string{"cluster.local": nil, "k8s.example.com": {"--cluster-domain=k8s.example.com"}} {
		s, err := parse(args)
		if err != nil {
			t.Fatal(err)
		}
		got := s.injection.inject(s.identity.options(s.gateway))
		want := inject.Options{
			SystemNamespace: "crossfade-system",
			XDS:             "crossfade-xds.crossfade-system.svc." + domain + ":15010",
			Certificates:    "crossfade-controller.crossfade-system.svc." + domain + ":15011",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", domain, diff)
		}
	}
}

func TestParseCollector(t *testing.T) {
	cases := map[string]struct {
		reason, address string
		want            ir.Collector
		fails           bool
	}{
		"None":     {reason: "nothing is traced"},
		"Name":     {address: "collector.monitoring.svc.cluster.local:4317", want: ir.Collector{Host: "collector.monitoring.svc.cluster.local", Port: 4317}},
		"IPv6":     {address: "[fd00::1]:4317", want: ir.Collector{Host: "fd00::1", Port: 4317}},
		"NoPort":   {address: "collector", fails: true},
		"ZeroPort": {address: "collector:0", fails: true},
		"NoHost":   {address: ":4317", fails: true},
		"URL":      {reason: "other tools take one", address: "http://collector:4317", fails: true},
		"BadPort":  {address: "collector:70000", fails: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := parse([]string{"--otlp-collector=" + tc.address})
			if (err != nil) != tc.fails || s.collector != tc.want {
				t.Errorf("%s: got %v, %v", tc.reason, s.collector, err)
			}
		})
	}
}
