package identity_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	mathrand "math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/proxy/identity"
)

func lifetimes() identity.Lifetimes {
	return identity.Lifetimes{Root: 300 * time.Hour, Leaf: 24 * time.Hour, Spread: time.Hour}
}

// step goes on from a state as the leader does: each state is written down and
// read back before the next.
func step(t testing.TB, s identity.State, now time.Time, published bool) identity.State {
	t.Helper()
	next, err := s.Next(identity.Step{Now: now, Published: published, TrustDomain: "cluster.local", Lifetimes: lifetimes(), Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	data, err := next.EncodeSigning()
	if err != nil {
		t.Fatal(err)
	}
	read, err := identity.State{Wanted: next.Wanted, Ours: next.Ours}.DecodeSigning(data)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func TestRotationByHand(t *testing.T) {
	s := step(t, identity.State{}, start, false)
	first := s.Signing.Fingerprint()
	if first == "" || s.Wanted.Fingerprint() != first || !s.Ours {
		t.Fatalf("the first step does not make a root that signs at once: %+v", s)
	}
	s.Wanted, s.Ours = newRoot(t, start, 500*time.Hour), false
	second := s.Wanted.Fingerprint()
	type facts struct {
		Signs  string
		Bundle int
	}
	name := map[string]string{first: "first", second: "second"}
	for _, look := range []struct {
		reason    string
		after     time.Duration
		published bool
		want      facts
	}{
		{"noticed: both are believed, the former one signs", 1 * time.Minute, false, facts{"first", 2}},
		{"not in every bundle yet: no clock runs", 5 * time.Hour, false, facts{"first", 2}},
		{"published: the clock begins", 6 * time.Hour, true, facts{"first", 2}},
		{"before the clock is over", 6*time.Hour + 59*time.Minute, true, facts{"first", 2}},
		{"the clock is over, but a new namespace lacks its bundle", 7*time.Hour + time.Second, false, facts{"first", 2}},
		{"it signs; the former one is believed", 7*time.Hour + 2*time.Second, true, facts{"second", 2}},
		{"the last leaf of the former one, and the replicas that are late, are not over", 31 * time.Hour, true, facts{"second", 2}},
		{"it is not believed any more", 32*time.Hour + 3*time.Second, true, facts{"second", 1}},
	} {
		s = step(t, s, start.Add(look.after), look.published)
		got := facts{name[s.Signing.Fingerprint()], len(s.Bundle(start.Add(look.after)))}
		if diff := cmp.Diff(look.want, got); diff != "" {
			t.Errorf("after %v, %s (-want +got):\n%s", look.after, look.reason, diff)
		}
	}
	if s.Ours || len(s.Former) != 0 {
		t.Errorf("left over: ours %v, %d former roots", s.Ours, len(s.Former))
	}
}

func TestOwnRootIsReplacedInTime(t *testing.T) {
	s := step(t, identity.State{}, start, true)
	first := s.Wanted.Fingerprint()
	if s = step(t, s, start.Add(199*time.Hour), true); s.Wanted.Fingerprint() != first {
		t.Error("replaced before two thirds of its life")
	}
	if s = step(t, s, start.Add(201*time.Hour), true); s.Wanted.Fingerprint() == first || s.Signing.Fingerprint() != first {
		t.Error("after two thirds of its life there is no successor, or it signs at once")
	}
	theirs := identity.State{Wanted: newRoot(t, start, 300*time.Hour)}
	theirs = step(t, theirs, start, true)
	before := theirs.Wanted.Fingerprint()
	if theirs = step(t, theirs, start.Add(299*time.Hour), true); theirs.Wanted.Fingerprint() != before {
		t.Error("the administrator's root was replaced by one that he does not know")
	}
}

func TestDeadRootIsReplacedAtOnce(t *testing.T) {
	s := step(t, identity.State{Wanted: newRoot(t, start, time.Hour)}, start, true)
	s.Wanted = newRoot(t, start, 500*time.Hour)
	if s = step(t, s, start.Add(2*time.Hour), false); s.Signing.Fingerprint() != s.Wanted.Fingerprint() {
		t.Error("nobody can sign, and it waits for the bundles all the same")
	}
}

// TestRotationLosesNobody drives a mesh of proxies through many rotations: the
// administrator replaces the root whenever he likes, bundles and the leader's
// looks are late, the leader is away for long. At every moment each proxy must
// believe each other one's certificate.
func TestRotationLosesNobody(t *testing.T) {
	schedules := 5
	if testing.Short() {
		schedules = 2
	}
	csr := newCSR(t, newKey(t, elliptic.P256()))
	for seed := range schedules {
		random := mathrand.New(mathrand.NewPCG(uint64(seed), 1))
		m := &mesh{t: t, random: random, now: start, csr: csr, verified: map[[2]*x509.Certificate]time.Time{}}
		m.state = step(t, identity.State{}, m.now, false)
		m.published = m.state.Bundle(m.now)
		for range 4 {
			m.proxies = append(m.proxies, &simProxy{})
		}
		for range 150 {
			m.turn()
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

type simProxy struct {
	roots []*x509.Certificate
	// due is when the kubelet brings the bundle that was published last.
	due   time.Time
	chain []*x509.Certificate
	renew time.Time
}

type mesh struct {
	t         testing.TB
	random    *mathrand.Rand
	now       time.Time
	csr       []byte
	state     identity.State
	published []*x509.Certificate
	// changed is when it was published.
	changed time.Time
	proxies []*simProxy
	// verified are leaves that one root alone has verified, and until when.
	verified map[[2]*x509.Certificate]time.Time
}

func (m *mesh) turn() {
	m.now = m.now.Add(time.Duration(1+m.random.IntN(120)) * time.Minute)
	switch m.random.IntN(12) {
	case 0:
		m.state.Wanted, m.state.Ours = newRoot(m.t, m.now, time.Duration(200+m.random.IntN(300))*time.Hour), m.random.IntN(2) == 0
	case 1:
		m.now = m.now.Add(time.Duration(m.random.IntN(8)) * time.Hour) // Nobody leads.
	}
	m.kubelet()
	if m.random.IntN(3) > 0 {
		m.lead()
	}
	m.renew()
	for i, from := range m.proxies {
		for j, to := range m.proxies {
			if err := m.verify(to.roots, from.chain); err != nil {
				m.t.Errorf("at %v: proxy %d refuses proxy %d: %v", m.now.Sub(start), j, i, err)
			}
		}
	}
}

// verify remembers what it has found until a time is over: signatures are dear.
func (m *mesh) verify(roots, chain []*x509.Certificate) error {
	pair := [2]*x509.Certificate{chain[0]}
	if len(roots) > 0 {
		pair[1] = roots[len(roots)-1]
	}
	if until, known := m.verified[pair]; known && m.now.Before(until) {
		return nil
	}
	_, err := identity.Trust{TrustDomain: "cluster.local", Roots: roots}.Verify(chain, m.now)
	if err == nil && len(roots) == 1 {
		m.verified[pair] = chain[0].NotAfter
	}
	return err
}

// lead is one look of the leader's: one step of the state, then the bundles,
// which the next look finds.
func (m *mesh) lead() {
	bundle := m.state.Bundle(m.now)
	m.state = step(m.t, m.state, m.now, cmp.Equal(identity.EncodeCertificates(bundle), identity.EncodeCertificates(m.published)))
	if m.random.IntN(4) == 0 {
		return // The API server refuses the ConfigMaps this time.
	}
	if next := m.state.Bundle(m.now); !cmp.Equal(identity.EncodeCertificates(next), identity.EncodeCertificates(m.published)) {
		m.published, m.changed = next, m.now
		for _, p := range m.proxies {
			p.due = m.now.Add(time.Duration(m.random.IntN(60)) * time.Minute)
		}
	}
}

func (m *mesh) kubelet() {
	for _, p := range m.proxies {
		if p.roots == nil || !m.now.Before(p.due) {
			p.roots = m.published
		}
	}
}

// renew gives new certificates at half life, and to pods that take the place of
// others.
func (m *mesh) renew() {
	for _, p := range m.proxies {
		if m.random.IntN(40) == 0 {
			p.chain, p.roots = nil, m.published
		}
		if p.chain != nil && m.now.Before(p.renew) {
			continue
		}
		a := identity.Authority{Issuer: m.state.Signing, Lifetime: lifetimes().Leaf}
		leaf, err := a.SignWorkload(m.csr, payments(), m.now, rand.Reader)
		if err != nil {
			m.t.Fatalf("at %v: %v", m.now.Sub(start), err)
		}
		p.chain, p.renew = leaf.Chain, m.now.Add(leaf.RenewAfter(m.now))
	}
}
