package controller

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/crossfade-dev/crossfade/controllers"
	"github.com/crossfade-dev/crossfade/proxy/identity"
)

// identitySettings are the flags about who is who.
type identitySettings struct {
	trustDomain, clusterDomain, address string

	lifetimes identity.Lifetimes
}

func (s *identitySettings) flags(f *flag.FlagSet) {
	d := identity.DefaultLifetimes()
	f.StringVar(&s.trustDomain, "trust-domain", "cluster.local", "first part of every identity, spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT")
	f.StringVar(&s.clusterDomain, "cluster-domain", "cluster.local", "domain of the cluster's own DNS names: SERVICE.NAMESPACE.svc.CLUSTER-DOMAIN")
	f.StringVar(&s.address, "certificate-address", ":15011", "where proxies get their certificates")
	f.DurationVar(&s.lifetimes.Root, "root-lifetime", d.Root, "how long a root is valid that is made here; replaced when a third is left")
	f.DurationVar(&s.lifetimes.Leaf, "certificate-lifetime", d.Leaf, "how long a proxy's certificate is valid; renewed at half of it")
	f.DurationVar(&s.lifetimes.Spread, "trust-spread", d.Spread, "how long after its publication a root begins to sign: every proxy must have it by then")
}

func (s *identitySettings) validate() error {
	var wrong []error
	if err := (identity.ID{TrustDomain: s.trustDomain, Namespace: "a", ServiceAccount: "b"}).Validate(); err != nil {
		wrong = append(wrong, fmt.Errorf("--trust-domain: %w", err))
	}
	if problems := validation.IsDNS1123Subdomain(s.clusterDomain); len(problems) > 0 {
		wrong = append(wrong, fmt.Errorf("--cluster-domain %q: %s", s.clusterDomain, strings.Join(problems, "; ")))
	}
	// A proxy renews at half of its certificate's life, and may find the controller
	// away for a while.
	if s.lifetimes.Leaf < time.Minute {
		wrong = append(wrong, fmt.Errorf("--certificate-lifetime %v: use 1m or more", s.lifetimes.Leaf))
	}
	if s.lifetimes.Spread < 0 {
		wrong = append(wrong, fmt.Errorf("--trust-spread %v: it cannot be negative", s.lifetimes.Spread))
	}
	// A successor is made when a third of the life is left, and has to sign before
	// the leaves of its predecessor are cut short.
	if s.lifetimes.Root < 3*(s.lifetimes.Leaf+s.lifetimes.Spread) {
		wrong = append(wrong, fmt.Errorf("--root-lifetime %v: use at least three times --certificate-lifetime and --trust-spread together, %v",
			s.lifetimes.Root, 3*(s.lifetimes.Leaf+s.lifetimes.Spread)))
	}
	return errors.Join(wrong...)
}

func (s *identitySettings) options(gateway types.NamespacedName) controllers.AuthorityOptions {
	return controllers.AuthorityOptions{
		TrustDomain: s.trustDomain, Lifetimes: s.lifetimes, Address: s.address, Gateway: gateway,
		Namespace: systemNamespace, ClusterDomain: s.clusterDomain, Pod: os.Getenv("POD_NAME"), Now: time.Now, Random: rand.Reader,
	}
}
