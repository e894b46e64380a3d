package v1alpha1_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// good is a Rollout with every field; the cases change it.
const good = `
apiVersion: crossfade.dev/v1alpha1
kind: Rollout
metadata: {name: payments, namespace: default}
spec:
  workloadRef: {apiVersion: apps/v1, kind: Deployment, name: payments}
  serviceRef: {name: payments}
  strategy:
    canary:
      totalWeight: 1000
      steps:
      - {weight: 0, replicas: 1, pause: {duration: 30s}}
      - {weight: 50, pause: {duration: 1h30m}}
      - {weight: 250, replicas: 50%, pause: {}}
      - {weight: 250}
      - {weight: 1000}
  analysis:
    interval: 30s
    onDeadline: Rollback
    checks:
    - {name: errors, prometheus: {query: "sum(x)"}, max: "0.01", failureLimit: 2, initialDelay: 30s, onNoData: Pass, dryRun: true}
    - {name: rate, prometheus: {query: "sum(x)"}, min: "-1e3", max: "2.5", interval: 1s}
  acks: {timeout: 30s, onTimeout: Continue}
  progressDeadlineSeconds: 300
  scaleDownDelaySeconds: 0
  allowRecreateStrategy: true
  paused: true
`

// TestAPI asks one real API server all that is refused, and all that is not: to start one
// takes longer than to ask it.
func TestAPI(t *testing.T) {
	c := startAPIServer(t)
	for name, test := range map[string]func(*testing.T, client.Client){
		"Rollout": testValidation, "strategies": testStrategies, "checks": testCheckValidation, "hooks": testHooks, "schedules": testScheduleValidation,
		"Freeze": testFreezeValidation, "RolloutAction": testActionValidation, "MeshPolicy": testMeshPolicyValidation, "documentation": testDocumented,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
		tidy(t, c)
	}
}

// tidy removes what a test has left behind: others use the same names.
func tidy(t *testing.T, c client.Client) {
	t.Helper()
	for _, kind := range []string{"Rollout", "RolloutAction", "MeshPolicy", "AnalysisTemplate", "ClusterAnalysisTemplate", "Freeze"} {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
		var opts []client.DeleteAllOfOption
		if kind != "ClusterAnalysisTemplate" && kind != "Freeze" {
			opts = append(opts, client.InNamespace("default"))
		}
		if err := c.DeleteAllOf(t.Context(), u, opts...); client.IgnoreNotFound(err) != nil {
			t.Fatalf("remove the objects of kind %s: %v", kind, err)
		}
	}
}

// testValidation asks a real API server. What is not in the CRD's schema no fake
// would refuse.
func testValidation(t *testing.T, c client.Client) {
	cases := map[string]struct {
		reason string
		change func(spec map[string]any)
		// want is what the refusal must say; empty when it must be accepted.
		want string
	}{
		"everything": {reason: "every field with a good value", change: func(map[string]any) {}},
		"smallest": {reason: "only what is required", change: func(s map[string]any) {
			for _, field := range []string{"analysis", "acks", "progressDeadlineSeconds", "scaleDownDelaySeconds", "allowRecreateStrategy", "paused"} {
				delete(s, field)
			}
			s["workloadRef"] = map[string]any{"name": "payments"}
			set(s, []any{map[string]any{"weight": int64(100)}}, "strategy", "canary", "steps")
			delete(s["strategy"].(map[string]any)["canary"].(map[string]any), "totalWeight")
		}},
		"other kind":         {change: put("ReplicaSet", "workloadRef", "kind"), want: "only Deployments can be delivered: set kind to Deployment"},
		"StatefulSet":        {change: put("StatefulSet", "workloadRef", "kind"), want: "StatefulSets cannot be delivered: their pods have names and volumes of their own"},
		"DaemonSet":          {change: put("DaemonSet", "workloadRef", "kind"), want: "DaemonSets cannot be delivered: they have one pod on each node"},
		"other apiVersion":   {change: put("apps/v2", "workloadRef", "apiVersion"), want: "set apiVersion to apps/v1"},
		"bad workload name":  {change: put("Pay_ments", "workloadRef", "name"), want: "must be the name of a Deployment"},
		"bad service name":   {change: put("1pay", "serviceRef", "name"), want: "must be the name of a Service"},
		"no strategy":        {change: put(map[string]any{}, "strategy"), want: "exactly one strategy must be set"},
		"other strategy":     {change: put(map[string]any{}, "strategy", "shadow"), want: `unknown field "spec.strategy.shadow"`},
		"no steps":           {change: put([]any{}, "strategy", "canary", "steps"), want: "should have at least 1 items"},
		"51 steps":           {change: put(steps(51), "strategy", "canary", "steps"), want: "must have at most 50 items"},
		"50 steps":           {reason: "the limit itself", change: put(steps(50), "strategy", "canary", "steps")},
		"over the total":     {change: put([]any{step(1001)}, "strategy", "canary", "steps"), want: "no step's weight may be over totalWeight"},
		"descending":         {change: put([]any{step(5), step(50), step(25)}, "strategy", "canary", "steps"), want: "must not descend"},
		"negative weight":    {change: put([]any{step(-1)}, "strategy", "canary", "steps"), want: "greater than or equal to 0"},
		"step without":       {change: put([]any{map[string]any{"pause": map[string]any{}}}, "strategy", "canary", "steps"), want: "a step needs a weight, a match or a mirror"},
		"total of 7":         {change: put(int64(7), "strategy", "canary", "totalWeight"), want: `supported values: "100", "1000", "10000"`},
		"no pods for weight": {change: put([]any{map[string]any{"weight": int64(5), "replicas": int64(0)}}, "strategy", "canary", "steps"), want: "needs canary pods"},
		"0% for weight":      {change: put([]any{map[string]any{"weight": int64(5), "replicas": "0%"}}, "strategy", "canary", "steps"), want: "needs canary pods"},
		"replicas -1":        {change: put([]any{map[string]any{"weight": int64(0), "replicas": int64(-1)}}, "strategy", "canary", "steps"), want: "number of pods from 0"},
		"replicas 101%":      {change: put([]any{map[string]any{"weight": int64(5), "replicas": "101%"}}, "strategy", "canary", "steps"), want: "must be a number of pods from 0 to 100000, or a percentage from 0% to 100%"},
		"replicas many":      {change: put([]any{map[string]any{"weight": int64(5), "replicas": "many"}}, "strategy", "canary", "steps"), want: "must be a number of pods from 0 to 100000, or a percentage from 0% to 100%"},
		"pause of 0s":        {change: pause("0s"), want: "longer than 0s"},
		"pause of -5s":       {change: pause("-5s"), want: "must be a duration"},
		"pause of a year":    {change: pause("8760h"), want: "at most 720h"},
		"pause of 5 days":    {change: pause("5d"), want: "must be a duration such as"},
		"pause of nothing":   {change: pause(""), want: "must be a duration such as"},
		"pause of a number":  {change: pause("30"), want: "must be a duration such as"},
		"interval 500ms":     {change: put("500ms", "analysis", "interval"), want: "from 1s to 24h"},
		"interval 0s":        {change: put("0s", "analysis", "interval"), want: "from 1s to 24h"},
		"onDeadline":         {change: put("Promote", "analysis", "onDeadline"), want: "supported values"},
		"no checks":          {change: put([]any{}, "analysis", "checks"), want: "should have at least 1 items"},
		"same name twice":    {change: checks(check("a"), check("a")), want: "Duplicate value"},
		"neither limit":      {change: checks(without(check("a"), "max")), want: "without min and max nothing is judged"},
		"min above max":      {change: checks(with(check("a"), "min", "2")), want: "min must not be above max"},
		"two checks":         {reason: "names differ", change: checks(check("a"), check("b"))},
		"min equals max":     {reason: "a single value passes", change: checks(with(check("a"), "min", "1"))},
		"max of words":       {change: checks(with(check("a"), "max", "few")), want: "must be a decimal number in quotes"},
		"max beyond numbers": {change: checks(with(check("a"), "max", "1e400")), want: "with an exponent of two digits at most"},
		"min beyond numbers": {change: checks(with(with(check("a"), "min", "-1e400"), "max", "1e99")), want: "with an exponent of two digits at most"},
		"no source":          {change: checks(without(check("a"), "prometheus")), want: "exactly one source must be set"},
		"other source":       {change: checks(with(check("a"), "graphite", map[string]any{})), want: "unknown field"},
		"empty query":        {change: checks(with(check("a"), "prometheus", map[string]any{"query": ""})), want: "query"},
		"negative limit":     {change: checks(with(check("a"), "failureLimit", int64(-1))), want: "failureLimit"},
		"onNoData":           {change: checks(with(check("a"), "onNoData", "Ignore")), want: "supported values"},
		"initialDelay -1s":   {change: checks(with(check("a"), "initialDelay", "-1s")), want: "leave it out to wait one interval"},
		"initialDelay 0s":    {change: checks(with(check("a"), "initialDelay", "0s")), want: "leave it out to wait one interval"},
		"ack timeout 0s":     {change: put("0s", "acks", "timeout"), want: "from 1s to 24h"},
		"ack onTimeout":      {change: put("Ignore", "acks", "onTimeout"), want: "supported values"},
		"deadline 0":         {change: put(int64(0), "progressDeadlineSeconds"), want: "progressDeadlineSeconds"},
		"delay -1":           {change: put(int64(-1), "scaleDownDelaySeconds"), want: "scaleDownDelaySeconds"},
		"unknown field":      {change: put("x", "colour"), want: `unknown field "spec.colour"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u := rollout(t)
			tc.change(u.Object["spec"].(map[string]any))
			err := c.Create(t.Context(), u, client.DryRunAll)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("%s: refused: %v", tc.reason, err)
			case tc.want != "" && err == nil:
				t.Errorf("accepted; want a refusal that says %q", tc.want)
			case tc.want != "" && !strings.Contains(err.Error(), tc.want):
				t.Errorf("refusal %q does not say %q", err, tc.want)
			}
		})
	}
	t.Run("references while on its way", func(t *testing.T) { testReferences(t, c) })
	t.Run("name", func(t *testing.T) { testName(t, c) })
}

// testName: a longer one is no value of a label, and the first write would fail for
// ever.
func testName(t *testing.T, c client.Client) {
	for length, want := range map[int]string{63: "", 64: "must not be longer than 63 characters"} {
		u := rollout(t)
		u.SetName(strings.Repeat("a", length))
		err := c.Create(t.Context(), u, client.DryRunAll)
		if (want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("a name of %d characters: %v, want %q", length, err, want)
		}
	}
}

// testReferences changes them in every phase.
func testReferences(t *testing.T, c client.Client) {
	u := rollout(t)
	if err := c.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		phase v1alpha1.Phase
		free  bool
	}{
		{"", true},
		{v1alpha1.PhaseInitializing, true},
		{v1alpha1.PhaseHealthy, true},
		{v1alpha1.PhaseProgressing, false},
		{v1alpha1.PhasePaused, false},
		{v1alpha1.PhasePromoting, false},
		{v1alpha1.PhaseRollingBack, false},
		{v1alpha1.PhaseRolledBack, false},
	} {
		phase, free := tc.phase, tc.free
		if phase != "" {
			status := client.RawPatch(types.MergePatchType, []byte(`{"status":{"phase":"`+string(phase)+`"}}`))
			if err := c.Status().Patch(t.Context(), u, status); err != nil {
				t.Fatal(err)
			}
		}
		for _, ref := range []string{"workloadRef", "serviceRef"} {
			change := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"`+ref+`":{"name":"other"}}}`))
			err := c.Patch(t.Context(), u.DeepCopy(), change, client.DryRunAll)
			if free && err != nil {
				t.Errorf("phase %q: changing %s: %v", phase, ref, err)
			}
			if !free && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "cannot change while a rollout is on its way")) {
				t.Errorf("phase %q: changing %s: got %v, want a refusal", phase, ref, err)
			}
		}
	}
}

// startAPIServer starts etcd and kube-apiserver with our CRDs. `make test` sets
// KUBEBUILDER_ASSETS to where it built them.
func startAPIServer(t *testing.T) client.Client {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run `make test`, or set it to .local/bin")
	}
	env := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "..", "config", "crd")}, ErrorIfCRDPathMissing: true}
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	config.QPS = -1
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(c, metav1.FieldValidationStrict)
}

func rollout(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	raw, err := yaml.YAMLToJSON([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

// set puts a value deep into a map.
func set(m map[string]any, value any, path ...string) {
	for _, key := range path[:len(path)-1] {
		m = m[key].(map[string]any)
	}
	m[path[len(path)-1]] = value
}

func put(value any, path ...string) func(map[string]any) {
	return func(spec map[string]any) { set(spec, value, path...) }
}

func step(weight int64) map[string]any { return map[string]any{"weight": weight} }

func steps(n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = step(int64(i))
	}
	return out
}

func pause(duration string) func(map[string]any) {
	return put([]any{map[string]any{"weight": int64(5), "pause": map[string]any{"duration": duration}}}, "strategy", "canary", "steps")
}

func check(name string) map[string]any {
	return map[string]any{"name": name, "prometheus": map[string]any{"query": "x"}, "max": "1"}
}

func checks(list ...map[string]any) func(map[string]any) {
	out := make([]any, len(list))
	for i := range list {
		out[i] = list[i]
	}
	return put(out, "analysis", "checks")
}

func with(m map[string]any, key string, value any) map[string]any {
	m[key] = value
	return m
}

func without(m map[string]any, key string) map[string]any {
	delete(m, key)
	return m
}
