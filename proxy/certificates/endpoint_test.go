package certificates_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/proxy/certificates"
	"github.com/crossfade-dev/crossfade/proxy/identity"
)

var start = time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)

func newCSR(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: raw}))
}

// newEndpoint knows one good token; it notes the results.
func newEndpoint(t testing.TB, results *[]string, limits certificates.Limits) (*certificates.Endpoint, identity.Issuer) {
	t.Helper()
	root, err := identity.NewRoot("cluster.local", start, 365*24*time.Hour, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	authority := identity.Authority{Issuer: root, Lifetime: 24 * time.Hour}
	return certificates.NewEndpoint(certificates.Options{
		Logger: logr.Discard(), Now: func() time.Time { return start }, Limits: limits,
		Observe: func(result string) { *results = append(*results, result) },
		Authenticate: func(_ context.Context, token string) (identity.Workload, error) {
			switch token {
			case "good":
				return identity.Workload{ID: identity.ID{TrustDomain: "cluster.local", Namespace: "shop", ServiceAccount: "payments"}, PodUID: "6f1c"}, nil
			case "api server away":
				return identity.Workload{}, errors.New("review token: dial tcp 10.0.0.1:443: connection refused")
			case "gone":
				return identity.Workload{}, identity.Refuse(identity.ReasonNoPod, "pod shop/payments-0 does not exist")
			}
			return identity.Workload{}, identity.Refuse(identity.ReasonToken, "the API server does not stand for the token")
		},
		Sign: func(csr []byte, w identity.Workload) (certificates.Answer, error) {
			leaf, err := authority.SignWorkload(csr, w, start, rand.Reader)
			if err != nil {
				return certificates.Answer{}, err
			}
			return certificates.Answer{
				Chain: string(identity.EncodeCertificates(leaf.Chain)), Bundle: string(identity.EncodeCertificates(root.Roots())),
				RenewAfter: certificates.Duration(leaf.RenewAfter(start)),
			}, nil
		},
	}), root
}

func TestEndpoint(t *testing.T) {
	text := func(r certificates.Request) string {
		out, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	csr := newCSR(t)
	cases := map[string]struct {
		reason, body string
		want         int
		result       string
		says         string
	}{
		"Good":          {reason: "token and request are right", body: text(certificates.Request{Token: "good", CSR: csr}), want: 200, result: "issued"},
		"OtherAudience": {reason: "a token for somebody else is no token", body: text(certificates.Request{Token: "other", CSR: csr}), want: 401, result: "token", says: "does not stand for"},
		"NoToken":       {reason: "without a token the API server is not asked", body: text(certificates.Request{CSR: csr}), want: 401, result: "token"},
		"PodGone":       {reason: "the pod of the token is gone", body: text(certificates.Request{Token: "gone", CSR: csr}), want: 403, result: "no_pod", says: "does not exist"},
		"Away":          {reason: "what failed inside is not told, and may be asked again", body: text(certificates.Request{Token: "api server away", CSR: csr}), want: 503, result: "internal", says: "come again"},
		"NoCSR":         {reason: "a good token and no request", body: text(certificates.Request{Token: "good"}), want: 400, result: "malformed"},
		"LongCSR":       {reason: "larger than a request is", body: text(certificates.Request{Token: "good", CSR: csr + strings.Repeat("\n", identity.MaxCSR)}), want: 413, result: "too_large"},
		"LongToken":     {reason: "not handed on to the API server", body: text(certificates.Request{Token: strings.Repeat("a", 8<<10+1), CSR: csr}), want: 413, result: "too_large"},
		"LongBody":      {reason: "not read to its end", body: `{"token":"` + strings.Repeat("a", certificates.MaxRequest) + `"}`, want: 413, result: "too_large"},
		"NotJSON":       {reason: "rubbish", body: "GET / HTTP/1.1", want: 400, result: "malformed"},
		"Trailing":      {reason: "one request in a body", body: text(certificates.Request{Token: "good", CSR: csr}) + "{}", want: 400, result: "malformed"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var results []string
			e, _ := newEndpoint(t, &results, certificates.Limits{})
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequest(http.MethodPost, certificates.Path, strings.NewReader(tc.body)))
			if w.Code != tc.want || !strings.Contains(w.Body.String(), tc.says) {
				t.Errorf("%s: status %d, want %d with %q:\n%s", tc.reason, w.Code, tc.want, tc.says, w.Body)
			}
			if diff := cmp.Diff([]string{tc.result}, results); diff != "" {
				t.Errorf("%s: what the metric counts (-want +got):\n%s", tc.reason, diff)
			}
			if strings.Contains(w.Body.String(), "10.0.0.1") {
				t.Error("an inner error was told to whoever asked")
			}
		})
	}
}

func TestAsk(t *testing.T) {
	var results []string
	e, root := newEndpoint(t, &results, certificates.Limits{})
	server := httptest.NewTLSServer(e)
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "https://")
	answer, err := certificates.Ask(t.Context(), server.Client(), address, certificates.Request{Token: "good", CSR: newCSR(t)})
	if err != nil {
		t.Fatal(err)
	}
	chain, err := identity.ParseCertificates([]byte(answer.Chain))
	if err != nil {
		t.Fatal(err)
	}
	peer, err := identity.Trust{TrustDomain: "cluster.local", Roots: root.Roots()}.Verify(chain, start)
	if err != nil || peer.PodUID != "6f1c" || answer.RenewAfter != certificates.Duration(12*time.Hour) {
		t.Errorf("got %+v, %v, renewed after %v", peer, err, time.Duration(answer.RenewAfter))
	}
	if _, err := certificates.Ask(t.Context(), server.Client(), address, certificates.Request{Token: "other"}); err == nil || !strings.Contains(err.Error(), "does not stand for") {
		t.Errorf("got %v, want the server's reason", err)
	}
	if _, err := certificates.Ask(t.Context(), http.DefaultClient, address, certificates.Request{Token: "good"}); err == nil {
		t.Error("the token was sent to a server that is not ours")
	}
}

func TestEndpointLimits(t *testing.T) {
	var results []string
	e, _ := newEndpoint(t, &results, certificates.Limits{PerSecond: 1, Burst: 5, PerAddress: 1, AddressBurst: 3})
	for _, from := range []string{"10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:4", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1"} {
		r := httptest.NewRequest(http.MethodPost, certificates.Path, strings.NewReader("{}"))
		r.RemoteAddr = from
		e.ServeHTTP(httptest.NewRecorder(), r)
	}
	want := []string{"token", "token", "token", "rate", "token", "token", "rate"}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("the fourth of one address and the sixth of all are too many (-want +got):\n%s", diff)
	}
}

// FuzzEndpoint: whatever is posted gets an answer, and without the token nobody
// gets a certificate.
func FuzzEndpoint(f *testing.F) {
	f.Add([]byte(`{"token":"x","csr":"y"}`))
	f.Add([]byte(`[`))
	var results []string
	e, _ := newEndpoint(f, &results, certificates.Limits{PerSecond: 1e9, Burst: 1e9, PerAddress: 1e9, AddressBurst: 1e9})
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodPost, certificates.Path, strings.NewReader(string(body))))
		if w.Code == http.StatusOK && !strings.Contains(string(body), "good") {
			t.Errorf("%q got a certificate", body)
		}
		results = results[:0]
	})
}
