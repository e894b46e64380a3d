package controllers

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	requestv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/inject"
)

// selfSigned is a certificate that is its own root.
type selfSigned struct {
	mu          sync.Mutex
	certificate tls.Certificate
	bundle      []byte
	changed     chan struct{}
}

func newSelfSigned(t testing.TB) *selfSigned {
	t.Helper()
	s := &selfSigned{changed: make(chan struct{}, 1)}
	s.rotate(t)
	return s
}

func (s *selfSigned) rotate(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.certificate = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	s.bundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *selfSigned) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &s.certificate, nil
}

func (s *selfSigned) Bundle() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bundle
}

func (s *selfSigned) Subscribe() (<-chan struct{}, func()) { return s.changed, func() {} }

var injectOptions = inject.Options{
	Image: "crossfade.local/crossfade-proxy:dev", SystemNamespace: "crossfade-system",
	XDS: "xds:15010", Certificates: "certificates:15011",
}

// webhookCluster is an API server that asks a webhook of this process.
type webhookCluster struct {
	client      client.Client
	certificate *selfSigned
	mgr         ctrl.Manager
}

// startWebhook starts them, with the configuration of config/webhook, but for
// the address.
func startWebhook(t *testing.T) *webhookCluster {
	t.Helper()
	config := startAPIServer(t, envtest.Environment{})
	c := &webhookCluster{client: newClient(t, config), certificate: newSelfSigned(t)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	c.mgr, err = ctrl.NewManager(config, ctrl.Options{Scheme: scheme, Metrics: server.Options{BindAddress: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := SetupWebhook(c.mgr, WebhookOptions{Address: address, Inject: injectOptions, Certificate: c.certificate}); err != nil {
		t.Fatal(err)
	}
	configuration := readWebhookConfiguration(t)
	for i := range configuration.Webhooks {
		w := &configuration.Webhooks[i].ClientConfig
		url := "https://" + address + *w.Service.Path
		w.URL, w.Service = &url, nil
	}
	if err := c.client.Create(t.Context(), configuration); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- c.mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

func readWebhookConfiguration(t testing.TB) *admissionv1.MutatingWebhookConfiguration {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "config", "webhook", "injection.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	out := &admissionv1.MutatingWebhookConfiguration{}
	if err := yaml.UnmarshalStrict(raw, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// awaitWebhook waits until ok, 20 s at most.
func awaitWebhook(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after 20 s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *webhookCluster) namespace(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	if err := c.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// create creates a copy of a pod and returns what the API server made of it.
func (c *webhookCluster) create(t *testing.T, namespace string, change func(*corev1.Pod)) (*corev1.Pod, error) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "app-", Namespace: namespace, Labels: map[string]string{"app": "app"}, Annotations: map[string]string{}},
		Spec:       corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "app", Image: "app:1"}}},
	}
	change(pod)
	return pod, c.client.Create(t.Context(), pod)
}

func injected(pod *corev1.Pod) bool {
	return len(pod.Spec.InitContainers) >= 2 && pod.Spec.InitContainers[0].Name == inject.InitContainer && pod.Spec.InitContainers[1].Name == inject.ProxyContainer &&
		pod.Labels[v1alpha1.LabelProxy] == v1alpha1.ProxySidecar
}

// TestWebhook is the whole way: a real API server, the configuration that is
// installed, TLS.
func TestWebhook(t *testing.T) {
	c := startWebhook(t)
	c.namespace(t, "meshed", map[string]string{v1alpha1.LabelInjection: "enabled"})
	c.namespace(t, "tutorial", map[string]string{v1alpha1.LabelIstioInjection: "enabled"})
	c.namespace(t, "plain", nil)
	c.namespace(t, "crossfade-system", map[string]string{v1alpha1.LabelInjection: "enabled"})
	nothing := func(*corev1.Pod) {}
	awaitWebhook(t, "the API server knows the webhook", func() error {
		pod, err := c.create(t, "meshed", nothing)
		if err == nil && !injected(pod) {
			return fmt.Errorf("not injected: %v", pod.Spec.InitContainers)
		}
		return err
	})
	t.Run("labels", c.testLabels)
	t.Run("refusals reach the user", c.testRefusals)
	t.Run("all examples are accepted", c.testExamples)
	t.Run("the roots rotate", c.testRotation)
	t.Run("another's change of caBundle is undone", c.testUndo)
	t.Run("istio", c.testIstio)
}

func (c *webhookCluster) testLabels(t *testing.T) {
	label := func(value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Labels[v1alpha1.LabelInject] = value }
	}
	for name, tc := range map[string]struct {
		namespace string
		change    func(*corev1.Pod)
		want      bool
	}{
		"enabled":              {"meshed", func(*corev1.Pod) {}, true},
		"istio's label":        {"tutorial", func(*corev1.Pod) {}, true},
		"no label":             {"plain", func(*corev1.Pod) {}, false},
		"opted out":            {"meshed", label("false"), false},
		"opted out of istio's": {"tutorial", label("false"), false},
		"opted in":             {"plain", label("true"), true},
		"said twice":           {"meshed", label("true"), true},
		"said twice to istio":  {"tutorial", label("true"), true},
		"our own namespace":    {"crossfade-system", label("true"), false},
		"host network":         {"meshed", func(p *corev1.Pod) { p.Spec.HostNetwork = true }, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod, err := c.create(t, tc.namespace, tc.change)
			if err != nil {
				t.Fatal(err)
			}
			if injected(pod) != tc.want {
				t.Errorf("injected %t, want %t", injected(pod), tc.want)
			}
		})
	}
}

func (c *webhookCluster) testRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		namespace string
		change    func(*corev1.Pod)
		want      string
	}{
		"annotation": {"meshed", func(p *corev1.Pod) { p.Annotations[v1alpha1.AnnotationExcludeInboundPorts] = "http" }, `"http" is no port`},
		"label":      {"plain", func(p *corev1.Pod) { p.Labels[v1alpha1.LabelInject] = "yes" }, `write "true" or "false"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.create(t, tc.namespace, tc.change)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// testExamples lets the API server validate what the injector makes of every pod
// of its tests, and asks for it again, as for a pod that was copied.
func (c *webhookCluster) testExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "proxy", "inject", "testdata", "*.in.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("find pods: %v, %d found", err, len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			pod := &corev1.Pod{}
			if err := yaml.Unmarshal(raw, pod); err != nil {
				t.Fatal(err)
			}
			pod.Namespace = "meshed"
			pod.Spec.ServiceAccountName = "default" // On a cluster the API server fills it in.
			if err := c.client.Create(t.Context(), pod); err != nil {
				t.Fatal(err)
			}
			if !injected(pod) {
				t.Error("not injected")
			}
			again := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "copy-", Namespace: "meshed", Annotations: pod.Annotations}, Spec: *pod.Spec.DeepCopy()}
			if err := c.client.Create(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(pod.Spec, again.Spec); diff != "" {
				t.Errorf("injected again:\n%s", diff)
			}
		})
	}
}

func (c *webhookCluster) configuration(t *testing.T) *admissionv1.MutatingWebhookConfiguration {
	t.Helper()
	out := &admissionv1.MutatingWebhookConfiguration{}
	if err := c.client.Get(t.Context(), client.ObjectKey{Name: webhookName}, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *webhookCluster) awaitBundle(t *testing.T) {
	t.Helper()
	awaitWebhook(t, "caBundle is the webhook's", func() error {
		for _, w := range c.configuration(t).Webhooks {
			if !bytes.Equal(w.ClientConfig.CABundle, c.certificate.Bundle()) {
				return fmt.Errorf("%s has another", w.Name)
			}
		}
		return nil
	})
}

func (c *webhookCluster) testRotation(t *testing.T) {
	c.certificate.rotate(t)
	c.awaitBundle(t)
	awaitWebhook(t, "pods are injected again", func() error {
		_, err := c.create(t, "meshed", func(*corev1.Pod) {})
		return err
	})
}

func (c *webhookCluster) testUndo(t *testing.T) {
	configuration := c.configuration(t)
	for i := range configuration.Webhooks {
		configuration.Webhooks[i].ClientConfig.CABundle = nil
	}
	if err := c.client.Update(t.Context(), configuration); err != nil {
		t.Fatal(err)
	}
	c.awaitBundle(t)
}

func (c *webhookCluster) testIstio(t *testing.T) {
	none := admissionv1.SideEffectClassNone
	istio := &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-revision-tag-default", Labels: map[string]string{"app": "sidecar-injector"}},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name: "never.istio.io", SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "istio-system", Name: "istiod"}},
		}},
	}
	if err := c.client.Create(t.Context(), istio); err != nil {
		t.Fatal(err)
	}
	awaitWebhook(t, "istio's label is left to it", func() error {
		pod, err := c.create(t, "tutorial", func(*corev1.Pod) {})
		if err == nil && injected(pod) {
			return fmt.Errorf("%s is injected", pod.Name)
		}
		return err
	})
	if pod, err := c.create(t, "meshed", func(*corev1.Pod) {}); err != nil || !injected(pod) {
		t.Errorf("our own label does not count any more: %v", err)
	}
	if pod, err := c.create(t, "tutorial", func(p *corev1.Pod) { p.Labels[v1alpha1.LabelInject] = "true" }); err != nil || !injected(pod) {
		t.Errorf("a pod that asks for itself is left to istio: %v", err)
	}
	if err := c.client.Delete(t.Context(), istio); err != nil {
		t.Fatal(err)
	}
	awaitWebhook(t, "istio's label counts again", func() error {
		pod, err := c.create(t, "tutorial", func(*corev1.Pod) {})
		if err == nil && !injected(pod) {
			return fmt.Errorf("%s is not injected", pod.Name)
		}
		return err
	})
}

func newInjector(t testing.TB) *injector {
	t.Helper()
	meters, err := newInjectionMeters(noRegistry{})
	if err != nil {
		t.Fatal(err)
	}
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	return &injector{options: injectOptions, configurations: fake.NewClientBuilder().WithScheme(scheme).Build(), meters: meters}
}

// review is what the API server sends.
func review(t testing.TB, raw []byte) []byte {
	t.Helper()
	out, err := json.Marshal(requestv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &requestv1.AdmissionRequest{
			UID: "1", Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Namespace: "shop", Operation: requestv1.Create, Object: runtime.RawExtension{Raw: raw},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func post(t testing.TB, h http.Handler, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, pathNamespace, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	out := httptest.NewRecorder()
	h.ServeHTTP(out, request)
	return out
}

// TestWebhookBounds is about whoever else reaches the port.
func TestWebhookBounds(t *testing.T) {
	h := bounded(&admission.Webhook{Handler: newInjector(t).under(map[string]string{v1alpha1.LabelInjection: "enabled"})})
	pod := []byte(`{"metadata":{"name":"a"},"spec":{"containers":[{"name":"app"}]}}`)
	if got := post(t, h, review(t, pod)).Body.String(); !strings.Contains(got, `"patchType":"JSONPatch"`) {
		t.Errorf("a pod gets no patch: %s", got)
	}
	large := review(t, []byte(`{"metadata":{"name":"`+strings.Repeat("a", maxReview)+`"}}`))
	if got := post(t, h, large).Body.String(); !strings.Contains(got, "too large") {
		t.Errorf("a body without bounds is read: %.200s", got)
	}
}

// FuzzWebhook feeds the port: an answer to everything, and no panic.
func FuzzWebhook(f *testing.F) {
	pod := []byte(`{"metadata":{"name":"a"},"spec":{"containers":[{"name":"app"}]}}`)
	f.Add(review(f, pod))
	f.Add(pod)
	f.Add([]byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"operation":"CREATE","kind":{"kind":"Pod"},"object":null}}`))
	h := bounded((&admission.Webhook{Handler: newInjector(f).under(map[string]string{v1alpha1.LabelInjection: "enabled"})}).WithRecoverPanic(false))
	f.Fuzz(func(t *testing.T, body []byte) {
		if got := post(t, h, body); got.Code != http.StatusOK || got.Body.Len() == 0 {
			t.Errorf("status %d, %d bytes", got.Code, got.Body.Len())
		}
	})
}

// BenchmarkWebhook is one request, TLS and network left out.
func BenchmarkWebhook(b *testing.B) {
	raw, err := os.ReadFile(filepath.Join("..", "proxy", "inject", "testdata", "probes.in.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	if raw, err = yaml.YAMLToJSON(raw); err != nil {
		b.Fatal(err)
	}
	h := bounded(&admission.Webhook{Handler: newInjector(b).under(map[string]string{v1alpha1.LabelInjection: "enabled"})})
	body := review(b, raw)
	for b.Loop() {
		if got := post(b, h, body); got.Code != http.StatusOK {
			b.Fatal(got.Code)
		}
	}
}

// noRegistry registers nothing: each test has meters of its own.
type noRegistry struct{ prometheus.Registerer }

// Register accepts all.
func (noRegistry) Register(prometheus.Collector) error { return nil }
