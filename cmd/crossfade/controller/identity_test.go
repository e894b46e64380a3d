package controller

import (
	"strings"
	"testing"
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
