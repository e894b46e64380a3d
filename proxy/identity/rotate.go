package identity

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Lifetimes are the clocks of a mesh's certificates.
type Lifetimes struct {
	// Root is how long a root is valid that Crossfade makes itself.
	Root time.Duration
	// Leaf is how long the certificate of a proxy or of the control plane is.
	Leaf time.Duration
	// Spread is within which time a changed bundle has reached every proxy: the
	// kubelet brings a changed ConfigMap to its pods within two minutes, and each
	// replica looks at the Secrets every few seconds.
	Spread time.Duration
}

// DefaultLifetimes are what an administrator gets who says nothing.
func DefaultLifetimes() Lifetimes {
	return Lifetimes{Root: 10 * 365 * 24 * time.Hour, Leaf: 24 * time.Hour, Spread: 10 * time.Minute}
}

// State is what is remembered of the mesh's roots. It is kept in two Secrets, so
// that a replaced root does not take the one away that is being used.
type State struct {
	// Wanted is the root that is to sign: what the Secret holds that an
	// administrator may write.
	Wanted Issuer
	// Ours says that Crossfade made Wanted, and so is to replace it in time.
	Ours bool
	// Signing is the root that signs now.
	Signing Issuer
	// Successor is the fingerprint of Wanted while that is not Signing, and
	// PublishedAt since when every trust bundle holds it; zero: not yet.
	Successor   string
	PublishedAt time.Time
	// Former are the roots that signed before.
	Former []Former
}

// Former is a root that signs no more and is still believed, because leaves that
// it signed are in use.
type Former struct {
	Roots []*x509.Certificate
	Until time.Time
}

// Step is what a state goes on from.
type Step struct {
	Now time.Time
	// Published says that every trust bundle in the cluster holds what
	// State.Bundle says.
	Published   bool
	TrustDomain string
	Lifetimes   Lifetimes
	Random      io.Reader
}

// Next is the state that follows. It is called again and again by the leader:
// each call goes at most one step, which has to be written down before the next.
//
//	wanted ≠ signing → published in every bundle → Spread later it signs → the
//	former one is believed until the last leaf that it signed is over
//
// So at every moment everybody believes whatever anybody may show. Only where the
// signing root is dead already is nothing waited for.
func (s State) Next(step Step) (State, error) {
	s.Former = believed(s.Former, step.Now)
	if s.Wanted.IsZero() || s.aged(step.Now) {
		root, err := NewRoot(step.TrustDomain, step.Now, step.Lifetimes.Root, step.Random)
		if err != nil {
			return State{}, err
		}
		s.Wanted, s.Ours = root, true
		if !s.Signing.IsZero() {
			return s, nil
		}
	}
	wanted := s.Wanted.Fingerprint()
	switch {
	case s.Signing.IsZero():
		s.Signing = s.Wanted
		s.Successor, s.PublishedAt = "", time.Time{}
	case wanted == s.Signing.Fingerprint():
		s.Successor, s.PublishedAt = "", time.Time{}
	case !step.Now.Before(s.Signing.NotAfter()):
		return s.promote(step), nil
	case s.Successor != wanted:
		s.Successor, s.PublishedAt = wanted, time.Time{}
	case !step.Published:
		// A bundle that lacks it: in a namespace that is new, or cannot be written.
	case s.PublishedAt.IsZero():
		s.PublishedAt = step.Now
	case !step.Now.Before(s.PublishedAt.Add(step.Lifetimes.Spread)):
		return s.promote(step), nil
	}
	return s, nil
}

// aged says whether a root of ours is to be followed by another one: when a third
// of its life is left, so that neither a controller that is away for months nor
// the longest leaf comes near its end.
func (s State) aged(now time.Time) bool {
	if !s.Ours || s.Wanted.Fingerprint() != s.Signing.Fingerprint() {
		return false
	}
	life := s.Wanted.NotAfter().Sub(s.Wanted.NotBefore())
	return now.After(s.Wanted.NotAfter().Add(-life / 3))
}

// promote lets the successor sign.
func (s State) promote(step Step) State {
	s.Former = append(s.Former, Former{
		Roots: s.Signing.Roots(),
		// Replicas that have not noticed yet go on signing with it for some seconds.
		Until: step.Now.Add(step.Lifetimes.Leaf + step.Lifetimes.Spread),
	})
	s.Signing, s.Successor, s.PublishedAt = s.Wanted, "", time.Time{}
	return s
}

func believed(former []Former, now time.Time) []Former {
	var out []Former
	for _, f := range former {
		if now.Before(f.Until) {
			out = append(out, f)
		}
	}
	return out
}

// Bundle are the roots to believe: those of the one that signs, of the one that
// will, and of those that did.
func (s State) Bundle(now time.Time) []*x509.Certificate {
	roots := append([]*x509.Certificate{}, s.Wanted.Roots()...)
	roots = append(roots, s.Signing.Roots()...)
	for _, f := range believed(s.Former, now) {
		roots = append(roots, f.Roots...)
	}
	return Bundle(now, roots...)
}

// Keys of the Secret that holds what signs. The first three are those that
// ParseIssuer reads.
const (
	KeyCertificate = "tls.crt"
	KeyPrivate     = "tls.key"
	KeyRoots       = "ca.crt"
	KeyRotation    = "rotation.json"
)

// rotation is how a rotation is written down.
type rotation struct {
	Successor   string           `json:"successor,omitempty"`
	PublishedAt *time.Time       `json:"publishedAt,omitempty"`
	Former      []formerRotation `json:"former,omitempty"`
}

type formerRotation struct {
	Roots string    `json:"roots"`
	Until time.Time `json:"until"`
}

// EncodeSigning returns the data of the Secret that holds what signs, and how far
// a rotation has come. Equal states give equal bytes.
func (s State) EncodeSigning() (map[string][]byte, error) {
	certificate, key, roots, err := s.Signing.Encode()
	if err != nil {
		return nil, err
	}
	r := rotation{Successor: s.Successor}
	if !s.PublishedAt.IsZero() {
		at := s.PublishedAt.UTC()
		r.PublishedAt = &at
	}
	for _, f := range s.Former {
		r.Former = append(r.Former, formerRotation{Roots: string(EncodeCertificates(f.Roots)), Until: f.Until.UTC()})
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode rotation: %w", err)
	}
	return map[string][]byte{KeyCertificate: certificate, KeyPrivate: key, KeyRoots: roots, KeyRotation: text}, nil
}

// DecodeSigning fills in what EncodeSigning wrote.
func (s State) DecodeSigning(data map[string][]byte) (State, error) {
	signing, err := ParseIssuer(data[KeyCertificate], data[KeyPrivate], data[KeyRoots])
	if err != nil {
		return State{}, err
	}
	var r rotation
	if text := data[KeyRotation]; len(text) > 0 {
		if err := json.Unmarshal(text, &r); err != nil {
			return State{}, fmt.Errorf("read %s: %w", KeyRotation, err)
		}
	}
	s.Signing, s.Successor = signing, r.Successor
	if r.PublishedAt != nil {
		s.PublishedAt = *r.PublishedAt
	}
	for _, f := range r.Former {
		roots, err := ParseCertificates([]byte(f.Roots))
		if err != nil {
			return State{}, fmt.Errorf("read a former root in %s: %w", KeyRotation, err)
		}
		s.Former = append(s.Former, Former{Roots: roots, Until: f.Until})
	}
	return s, nil
}
