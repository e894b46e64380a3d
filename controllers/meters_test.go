package controllers

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/proxy/server"
)

// series are the values of a metric by its labels, "name=value,name=value".
func series(t *testing.T, registry prometheus.Gatherer, metric string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != metric {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			out[strings.Join(labels, ",")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

// TestRolloutMeters goes through a Rollout's life.
func TestRolloutMeters(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := newMeters(registry)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	ro := &v1alpha1.Rollout{}
	ro.Namespace, ro.Name = "shop", "web"
	stalled := func(reason string) []metav1.Condition {
		return []metav1.Condition{
			{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Other"},
			{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: reason},
		}
	}
	record := &v1alpha1.Record{Stage: v1alpha1.StageStepping}
	steps := []struct {
		reason      string
		before      *v1alpha1.Record
		plan        delivery.Plan
		due, stalls map[string]float64
	}{
		{
			"nothing waits for a clock", nil,
			delivery.Plan{},
			map[string]float64{},
			map[string]float64{},
		},
		{
			"the next pass is due at once when the record has changed", nil,
			delivery.Plan{Status: v1alpha1.RolloutStatus{Record: record}},
			map[string]float64{"namespace=shop,rollout=web": 1000},
			map[string]float64{},
		},
		{
			"a clock runs", record,
			delivery.Plan{RequeueAt: now.Add(1500 * time.Millisecond), Status: v1alpha1.RolloutStatus{Record: record, Conditions: stalled("NoVerdict")}},
			map[string]float64{"namespace=shop,rollout=web": 1001.5},
			map[string]float64{"namespace=shop,reason=NoVerdict,rollout=web": 1},
		},
		{
			"another reason takes the place of the first", record,
			delivery.Plan{Status: v1alpha1.RolloutStatus{Record: record, Conditions: stalled("RolledBack")}},
			map[string]float64{},
			map[string]float64{"namespace=shop,reason=RolledBack,rollout=web": 1},
		},
		{
			"it goes on", record,
			delivery.Plan{RequeueAt: now, Status: v1alpha1.RolloutStatus{Record: record}},
			map[string]float64{"namespace=shop,rollout=web": 1000},
			map[string]float64{},
		},
		{
			"stalled again, and then gone", record,
			delivery.Plan{RequeueAt: now, Status: v1alpha1.RolloutStatus{Record: record, Conditions: stalled("NoVerdict")}},
			map[string]float64{"namespace=shop,rollout=web": 1000},
			map[string]float64{"namespace=shop,reason=NoVerdict,rollout=web": 1},
		},
	}
	check := func(reason string, due, stalls map[string]float64) {
		t.Helper()
		if diff := cmp.Diff(due, series(t, registry, "crossfade_rollout_due_timestamp_seconds")); diff != "" {
			t.Errorf("%s: due (-want +got)\n%s", reason, diff)
		}
		if diff := cmp.Diff(stalls, series(t, registry, "crossfade_rollout_stalled")); diff != "" {
			t.Errorf("%s: stalled (-want +got)\n%s", reason, diff)
		}
	}
	for _, s := range steps {
		ro.Status.Record = s.before
		m.observe(ro, s.plan, delivery.Observation{Now: now})
		check(s.reason, s.due, s.stalls)
	}
	m.forget(keyOf(ro))
	check("gone", map[string]float64{}, map[string]float64{})
}

func TestProxyMeters(t *testing.T) {
	registry := prometheus.NewRegistry()
	if err := registerProxyMeters(registry, server.New(server.Options{Now: time.Now}), "v2"); err != nil {
		t.Fatal(err)
	}
	none := map[string]float64{"version=other": 0, "version=same": 0, "version=unknown": 0}
	if diff := cmp.Diff(none, series(t, registry, "crossfade_proxies_connected")); diff != "" {
		t.Errorf("before the first proxy (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(map[string]float64{"version=v2": 1}, series(t, registry, "crossfade_controller_info")); diff != "" {
		t.Errorf("who this is (-want +got)\n%s", diff)
	}
	m := &proxyMeters{version: "v2"}
	want := map[string]int{versionSame: 3, versionOther: 6, versionUnknown: 7}
	if diff := cmp.Diff(want, m.compare(map[string]int{"v2": 3, "v1": 2, "evil{}": 4, "": 7})); diff != "" {
		t.Errorf("whatever proxies say, there are three series (-want +got)\n%s", diff)
	}
}

func TestServingCertificateExpiry(t *testing.T) {
	c := newIdentityCluster(t)
	const metric = "crossfade_serving_certificate_expiry_timestamp_seconds"
	if got := series(t, c.registry, metric)[""]; got != 0 {
		t.Errorf("before there is one it ends at %v, want 0", got)
	}
	if err := c.loop.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.authority.Ready(); err != nil {
		t.Fatal(err)
	}
	if got, want := series(t, c.registry, metric)[""], float64(c.now.Add(24*time.Hour).Unix()); got != want {
		t.Errorf("it ends at %v, want %v", got, want)
	}
}

// TestMetricNames: what the list in config/monitoring says of the controller is what
// the controller has. Rules and dashboard are compared with that list over there.
func TestMetricNames(t *testing.T) {
	registry := prometheus.NewRegistry()
	_, err1 := newMeters(registry)
	_, err2 := newAuthorityMeters(registry, newAuthority(AuthorityOptions{}))
	_, err3 := newInjectionMeters(registry)
	err4 := registerProxyMeters(registry, server.New(server.Options{}), "")
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	descriptions := make(chan *prometheus.Desc, 100)
	registry.Describe(descriptions)
	close(descriptions)
	names := map[string]bool{}
	for d := range descriptions {
		names[regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]] = true
	}
	list, err := os.ReadFile("../config/monitoring/testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(list), "# controller\n")
	section, _, ended := strings.Cut(section, "\n#")
	if !found || !ended {
		t.Fatalf("the list has no section of the controller:\n%s", list)
	}
	if diff := cmp.Diff(strings.Fields(section), slices.Sorted(maps.Keys(names))); diff != "" {
		t.Errorf("config/monitoring/testdata/metrics.txt, and with it rules and dashboard, may have to follow (-list +code):\n%s", diff)
	}
	docs, err := os.ReadFile("../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range names {
		if !strings.Contains(string(docs), fmt.Sprintf("| `%s` |", name)) {
			t.Errorf("docs/operate.md does not say what %s is", name)
		}
	}
}
