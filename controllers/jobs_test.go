package controllers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

const smokeSpec = `{"backoffLimit":0,"ttlSecondsAfterFinished":0,"unknownToUs":1,"template":{"metadata":{"labels":{"a":"b"}},"spec":{"restartPolicy":"Never","containers":[{"name":"smoke","image":"x"},{"name":"own","image":"x","env":[{"name":"CROSSFADE_HOOK","value":"mine"}]}]}}}`

func smoke() *v1alpha1.JobSource {
	return &v1alpha1.JobSource{Template: v1alpha1.JobTemplate{
		Metadata: v1alpha1.JobMetadata{Labels: map[string]string{"team": "shop", v1alpha1.LabelRollout: "forged"}, Annotations: map[string]string{"why": "smoke"}},
		Spec:     runtime.RawExtension{Raw: []byte(smokeSpec)},
	}}
}

func withJob() *v1alpha1.Rollout {
	ro := hooked(v1alpha1.HTTPHook{})
	ro.Spec.Hooks[0].HTTP, ro.Spec.Hooks[0].Job = nil, smoke()
	return ro
}

func gateRun(t *testing.T, ro *v1alpha1.Rollout) *jobRun {
	t.Helper()
	r, err := hookRun(ro, &ro.Spec.Hooks[0], askedStep)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func runner(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) *jobs {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(funcs).Build()
	return &jobs{cache: c, api: c, guard: guarding(guardWorks), logs: func(context.Context, string, string, string, int64) (io.ReadCloser, error) {
		return nil, errors.New("forbidden")
	}}
}

// guarding is an API server of which something is known.
func guarding(g jobsGuard) func(context.Context, *v1alpha1.Rollout) (jobsGuard, error) {
	return func(context.Context, *v1alpha1.Rollout) (jobsGuard, error) { return g, nil }
}

// TestUnguardedJobs: where nobody asks who writes Jobs into Rollouts, none is made, and
// the Rollout says what to install.
func TestUnguardedJobs(t *testing.T) {
	cases := map[string]struct {
		reason  string
		guard   func(context.Context, *v1alpha1.Rollout) (jobsGuard, error)
		want    string
		refused bool
	}{
		"works":   {"the usual", guarding(guardWorks), "", false},
		"missing": {"known not to be asked", guarding(guardMissing), "kubectl apply -k config/policies", true},
		"unknown": {"for a moment: no reason to say Ready=False", guarding(guardUnknown), "is proven anew", false},
		"error": {"somebody else's policy, say", func(context.Context, *v1alpha1.Rollout) (jobsGuard, error) {
			return guardUnknown, errors.New("try: quota.example.com denied it")
		}, "quota.example.com", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			j := runner(t, interceptor.Funcs{})
			j.guard = tc.guard
			_, err := j.run(t.Context(), gateRun(t, withJob()))
			if (err == nil) != (tc.want == "") || err != nil && (!errors.Is(err, errNotMade) || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%s: %v, want %q", tc.reason, err, tc.want)
			}
			made := &batchv1.JobList{}
			if err := j.api.List(t.Context(), made); err != nil || (len(made.Items) == 1) != (tc.want == "") {
				t.Errorf("%s: %d Jobs were made, %v", tc.reason, len(made.Items), err)
			}
			if got := j.refusal(t.Context(), withJob()); (got != nil) != tc.refused || got != nil && got.Reason != v1alpha1.ReasonJobsUnguarded {
				t.Errorf("%s: refused: %+v", tc.reason, got)
			}
			if got := j.refusal(t.Context(), hooked(v1alpha1.HTTPHook{})); got != nil {
				t.Errorf("a Rollout without Jobs is refused: %+v", got)
			}
		})
	}
}

func TestJobOf(t *testing.T) {
	ro := withJob()
	r := gateRun(t, ro)
	job, err := jobOf(r)
	if err != nil {
		t.Fatal(err)
	}
	if job.GetName() != r.name() || job.GetNamespace() != "shop" || !strings.HasPrefix(job.GetName(), "payments-gate-") {
		t.Errorf("it is named %s/%s", job.GetNamespace(), job.GetName())
	}
	want := map[string]string{"team": "shop", v1alpha1.LabelRollout: "payments", v1alpha1.LabelHook: "gate"}
	if diff := cmp.Diff(want, job.GetLabels()); diff != "" {
		t.Errorf("labels: -want +got\n%s", diff)
	}
	if !controlledBy(job, "u1") {
		t.Errorf("owners: %+v", job.GetOwnerReferences())
	}
	spec, _ := job.Object["spec"].(map[string]any)
	if _, has := spec["ttlSecondsAfterFinished"]; has || spec["unknownToUs"] == nil {
		t.Errorf("spec: %+v", spec)
	}
	text := fmt.Sprint(spec)
	if !strings.Contains(text, `"hook":"gate"`) || !strings.Contains(text, "value:mine") || strings.Count(text, envHook) != 2 {
		t.Errorf("what it is about is not told once to each container: %s", text)
	}
}

// TestJobNames: the same measurement is the same Job, another one another.
func TestJobNames(t *testing.T) {
	seen := map[string]string{}
	for _, key := range []string{"u/c/1/gate/1", "u/c/1/gate/2", "u/c/2/gate/1", "u/d/1/gate/1", "v/c/1/gate/1"} {
		name := jobName("a.rather.long.name-of-a-rollout-that-nobody-would-choose", "gate-of-a-name", key)
		if other, has := seen[name]; has || len(name) > 63 || name != jobName("a.rather.long.name-of-a-rollout-that-nobody-would-choose", "gate-of-a-name", key) || strings.Contains(name, ".") {
			t.Errorf("%s is named %s as %s", key, name, other)
		}
		seen[name] = key
	}
	ro := withJob()
	t0, t1 := metav1.NewMicroTime(time.Unix(1, 0)), metav1.NewMicroTime(time.Unix(2, 0))
	first := checkKey(ro, &ro.Status, "smoke")
	ro.Status.Record.AckedAt = &t0
	second := checkKey(ro, &ro.Status, "smoke")
	ro.Status.Checks = []v1alpha1.CheckStatus{{Name: "smoke", MeasuredAt: &t1}}
	if third := checkKey(ro, &ro.Status, "smoke"); first == second || second == third || third != checkKey(ro, &ro.Status, "smoke") {
		t.Errorf("measurements are not told apart: %s, %s, %s", first, second, third)
	}
}

func finishedJob(r *jobRun, kind batchv1.JobConditionType) *batchv1.Job {
	yes := true
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		Namespace: r.rollout.Namespace, Name: r.name(), UID: types.UID(r.name()),
		Labels:          map[string]string{v1alpha1.LabelRollout: r.rollout.Name, r.label: r.of},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "crossfade.dev/v1alpha1", Kind: "Rollout", Name: r.rollout.Name, UID: r.rollout.UID, Controller: &yes}},
	}}
	if kind != "" {
		job.Status.Conditions = []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded"}}
	}
	return job
}

func TestJobRun(t *testing.T) {
	ro := withJob()
	r := gateRun(t, ro)
	somebodyElses := finishedJob(r, batchv1.JobComplete)
	somebodyElses.OwnerReferences = nil
	refuses := func(err error) interceptor.Funcs {
		return interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return err }}
	}
	cases := map[string]struct {
		reason string
		jobs   *jobs
		want   *jobEnd
		err    string
	}{
		"made":            {"it is not there", runner(t, interceptor.Funcs{}), nil, ""},
		"made before":     {"the cache does not show it yet", runner(t, refuses(apierrors.NewAlreadyExists(batchv1.Resource("jobs"), "x"))), nil, ""},
		"runs":            {"", runner(t, interceptor.Funcs{}, finishedJob(r, "")), nil, ""},
		"about to fail":   {"its pods are not gone yet", runner(t, interceptor.Funcs{}, finishedJob(r, batchv1.JobFailureTarget)), nil, ""},
		"complete":        {"", runner(t, interceptor.Funcs{}, finishedJob(r, batchv1.JobComplete)), &jobEnd{complete: true, message: "Job " + r.name() + " is complete"}, ""},
		"failed":          {"without a log it is a failure, too", runner(t, interceptor.Funcs{}, finishedJob(r, batchv1.JobFailed)), &jobEnd{message: "Job " + r.name() + " failed (BackoffLimitExceeded)"}, ""},
		"somebody else's": {"nobody makes a success by hand", runner(t, interceptor.Funcs{}, somebodyElses), nil, "the Job could not be made: there is a Job " + r.name() + " that is somebody else's: delete it"},
		"quota":           {"the user can mend it", runner(t, refuses(apierrors.NewForbidden(batchv1.Resource("jobs"), "x", errors.New("exceeded quota")))), nil, "the Job could not be made: "},
		"away":            {"", runner(t, refuses(errors.New("EOF"))), nil, "create Job: EOF"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			end, err := tc.jobs.run(t.Context(), r)
			if (err == nil) != (tc.err == "") || err != nil && !strings.HasPrefix(err.Error(), tc.err) {
				t.Errorf("%s: %v, want %q", tc.reason, err, tc.err)
			}
			if diff := cmp.Diff(tc.want, end, cmp.AllowUnexported(jobEnd{})); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

// TestJobLog: the last lines of the newest pod's first container.
func TestJobLog(t *testing.T) {
	ro := withJob()
	r := gateRun(t, ro)
	pod := func(name string, at int64) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: metav1.Unix(at, 0), Labels: map[string]string{batchv1.JobNameLabel: r.name()}}}
	}
	j := runner(t, interceptor.Funcs{}, finishedJob(r, batchv1.JobFailed), pod("old", 1), pod("new", 2))
	j.logs = func(_ context.Context, namespace, pod, container string, lines int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(fmt.Sprintf("%s/%s/%s %d\n\x1b[31mred\x1b[0m\tend\n\n", namespace, pod, container, lines))), nil
	}
	end, err := j.run(t.Context(), r)
	if err != nil || end == nil || !strings.HasSuffix(end.message, "failed (BackoffLimitExceeded): shop/new/smoke 10 | [31mred[0m end") {
		t.Errorf("%+v, %v", end, err)
	}
}

func TestTail(t *testing.T) {
	var long bytes.Buffer
	for i := range 30 {
		fmt.Fprintf(&long, "line %d\n", i)
	}
	if got, want := tail(long.Bytes()), "line 20 | line 21 | line 22 | line 23 | line 24 | line 25 | line 26 | line 27 | line 28 | line 29"; got != want {
		t.Errorf("tail = %q, want %q", got, want)
	}
	wide := tail([]byte(strings.Repeat("ü", 4000) + "\n" + strings.Repeat("ß", 4000)))
	if len(wide) > logBytes+8 || strings.ToValidUTF8(wide, "") != wide {
		t.Errorf("a wide log is %d bytes", len(wide))
	}
	if got := tail([]byte{0, 1, 2, 0xff, '\n', 7}); got != "" {
		t.Errorf("tail of rubbish = %q", got)
	}
}

func TestSuperfluousJobs(t *testing.T) {
	ro := withJob()
	var list []batchv1.Job
	add := func(name string, kind batchv1.JobConditionType, at int64) {
		job := finishedJob(gateRun(t, ro), kind)
		job.Name, job.CreationTimestamp = name, metav1.Unix(at, 0)
		list = append(list, *job)
	}
	for i := range 5 {
		add(fmt.Sprintf("good%d", i), batchv1.JobComplete, int64(i))
		add(fmt.Sprintf("bad%d", i), batchv1.JobFailed, int64(i))
	}
	add("runs, wanted", "", 1)
	add("runs for nobody", "", 1)
	add("somebody else's", "", 1)
	list[len(list)-1].OwnerReferences = nil
	add("another hook's", batchv1.JobFailed, 0)
	list[len(list)-1].Labels[v1alpha1.LabelHook] = "other"
	var got []string
	for _, job := range superfluous(list, "u1", map[string]bool{"runs, wanted": true}) {
		got = append(got, job.Name)
	}
	if diff := cmp.Diff([]string{"bad0", "bad1", "good0", "good1", "runs for nobody"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestHookJob: made once, no answer while it runs, one when it has ended; and what
// nobody waits for goes.
func TestHookJob(t *testing.T) {
	ro := withJob()
	r := gateRun(t, ro)
	j := runner(t, interceptor.Funcs{})
	a, _ := newTestAsker(t, &fakePoster{})
	a.jobs = j
	a.ask(t.Context(), ro, []delivery.Question{askedStep})
	job := &batchv1.Job{}
	waitUntil(t, "the Job is made", func() bool {
		return j.api.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: r.name()}, job) == nil
	})
	waitUntil(t, "the question is free again", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.rollouts[keyOf(ro)].asked) == 0
	})
	if got := a.answered(ro); len(got) > 0 {
		t.Fatalf("it runs, and has answered %+v", got)
	}
	if err := j.tidy(t.Context(), ro, wantedJobs(ro, &ro.Status)); err != nil {
		t.Fatal(err)
	}
	job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue}}
	if err := j.api.Status().Update(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	a.ask(t.Context(), ro, []delivery.Question{askedStep})
	waitUntil(t, "it has answered", func() bool { return len(a.answered(ro)) > 0 })
	if got := a.answered(ro); len(got) != 1 || got[0].Outcome != delivery.HookNo || !strings.Contains(got[0].Message, "failed") {
		t.Errorf("it failed, and has answered %+v", got)
	}
	job.Status.Conditions = nil
	if err := j.api.Status().Update(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	ro.Status.Record.Hooks = nil
	if err := j.tidy(t.Context(), ro, wantedJobs(ro, &ro.Status)); err != nil {
		t.Fatal(err)
	}
	if err := j.api.Get(t.Context(), client.ObjectKeyFromObject(job), job); !apierrors.IsNotFound(err) {
		t.Errorf("a Job that nobody waits for runs on: %v", err)
	}
}

// TestHookJobAskedAnew: what a Job said was about the situation of before.
func TestHookJobAskedAnew(t *testing.T) {
	ro := withJob()
	first := gateRun(t, ro).name()
	if again := gateRun(t, ro).name(); again != first {
		t.Errorf("a crash makes %s beside %s", again, first)
	}
	ro.Status.Record.Hooks[0].Since = metav1.NewMicroTime(time.Unix(99, 0))
	if again := gateRun(t, ro).name(); again == first || !wantedJobs(ro, &ro.Status)[again] {
		t.Errorf("asked anew: Job %s after %s, wanted: %v", again, first, wantedJobs(ro, &ro.Status))
	}
}

func TestCheckJob(t *testing.T) {
	ro := withJob()
	at := metav1.NewMicroTime(time.Unix(1, 0))
	ro.Status.Record.AckedAt = &at
	ro.Spec.Analysis = &v1alpha1.Analysis{Checks: []v1alpha1.Check{{Name: "smoke", Job: smoke()}}}
	d := delivery.Measurement{Check: "smoke", Step: 1, Revision: "c1"}
	r, err := checkRun(ro, &ro.Spec.Analysis.Checks[0], d)
	if err != nil {
		t.Fatal(err)
	}
	if !wantedJobs(ro, &ro.Status)[r.name()] {
		t.Error("the measurement under way is not wanted")
	}
	for kind, want := range map[batchv1.JobConditionType]delivery.Outcome{batchv1.JobComplete: delivery.Completed, batchv1.JobFailed: delivery.Failed} {
		woken := make(chan types.NamespacedName, 9)
		s := newSampler(nil, runner(t, interceptor.Funcs{}, finishedJob(r, kind)), func() time.Time { return time.Unix(5, 0) }, func(k types.NamespacedName) { woken <- k })
		s.ask(t.Context(), ro, questions{checks: ro.Spec.Analysis.Checks}, []delivery.Measurement{d})
		<-woken
		if got := s.answered(ro); len(got) != 1 || got[0].Outcome != want || got[0].Step != 1 || !got[0].At.Equal(time.Unix(5, 0)) {
			t.Errorf("%s: %+v", kind, got)
		}
	}
	s := newSampler(nil, runner(t, interceptor.Funcs{}, finishedJob(r, "")), time.Now, nil)
	if got := s.runCheck(t.Context(), ro, &ro.Spec.Analysis.Checks[0], d); got != nil {
		t.Errorf("it runs, and has answered %+v", got)
	}
}

func waitUntil(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waiting until %s", what)
		}
	}
}

// TestWhoHasJobs asks a real API server who may have Jobs made by a Rollout.
func TestWhoHasJobs(t *testing.T) {
	config := startAPIServer(t, envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "config", "crd")}})
	c := &crew{t: t, config: config, root: newClient(t, config)}
	rollouts := rbacv1.PolicyRule{APIGroups: []string{"crossfade.dev"}, Resources: []string{"rollouts"}, Verbs: []string{"*"}}
	c.role("otto", rollouts)
	c.create("rbac", "role.yaml")
	c.bind(ourUser, "crossfade-controller")
	c.role("jane", rollouts, rbacv1.PolicyRule{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create"}})
	c.create("policies", "jobs.yaml")
	const want = "otto may not have Jobs made by a Rollout in namespace default: that takes the verb create on jobs of batch there"
	ro := func(name string, change func(*v1alpha1.RolloutSpec)) *v1alpha1.Rollout {
		weight := int32(5)
		out := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: v1alpha1.RolloutSpec{
			WorkloadRef: v1alpha1.WorkloadRef{Name: "web"}, ServiceRef: v1alpha1.ServiceRef{Name: "web"},
			Strategy: v1alpha1.Strategy{Canary: &v1alpha1.Canary{TotalWeight: 100, Steps: []v1alpha1.Step{{Weight: &weight}}}},
		}}
		change(&out.Spec)
		return out
	}
	hook := func(s *v1alpha1.RolloutSpec) {
		s.Hooks = []v1alpha1.Hook{{Name: "smoke", At: v1alpha1.BeforePromotion, Job: smoke()}}
	}
	check := func(s *v1alpha1.RolloutSpec) {
		s.Analysis = &v1alpha1.Analysis{Interval: metav1.Duration{Duration: time.Minute}, Checks: []v1alpha1.Check{{Name: "smoke", Job: smoke()}}}
	}
	otto, jane := c.as("otto"), c.as("jane")
	waitUntil(t, "the policy acts", func() bool {
		return otto.Create(t.Context(), ro("probe", hook), client.DryRunAll) != nil
	})
	refused(t, "a hook", otto.Create(t.Context(), ro("a", hook)), want)
	refused(t, "a check", otto.Create(t.Context(), ro("a", check)), want)
	refused(t, "no Job", otto.Create(t.Context(), ro("plain", func(*v1alpha1.RolloutSpec) {})), "")
	refused(t, "she may make Jobs", jane.Create(t.Context(), ro("both", func(s *v1alpha1.RolloutSpec) { hook(s); check(s) })), "")
	refused(t, "she may make Jobs", jane.Create(t.Context(), ro("b", check)), "")
	patch := func(name, body, want string) {
		t.Helper()
		err := otto.Patch(t.Context(), ro(name, func(*v1alpha1.RolloutSpec) {}), client.RawPatch(types.MergePatchType, []byte(body)))
		refused(t, body, err, want)
	}
	patch("both", `{"spec":{"paused":true}}`, "")
	patch("both", `{"metadata":{"annotations":{"crossfade.dev/retry":"x/2"}}}`, "")
	patch("both", `{"spec":{"hooks":[{"name":"smoke","at":"BeforeStart","job":{"template":{"spec":{"template":{"spec":{"serviceAccountName":"admin"}}}}}}]}}`, want)
	patch("b", `{"spec":{"analysis":{"checks":[{"name":"smoke","job":{"template":{"spec":{"template":{"spec":{"serviceAccountName":"admin"}}}}}}]}}}`, want)
	patch("plain", `{"spec":{"hooks":[{"name":"smoke","at":"BeforeStart","job":{"template":{"spec":{}}}}]}}`, want)
	patch("both", `{"metadata":{"annotations":{"crossfade.dev/probe":"jobs"}}}`, "")
	patch("both", `{"spec":{"hooks":null}}`, "")
	c.testJobsGuard(t, guardWorks)
	if err := c.root.Delete(t.Context(), &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: policyJobs}}); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the policy acts no more", func() bool {
		return otto.Create(t.Context(), ro("probe", hook), client.DryRunAll) == nil
	})
	c.testJobsGuard(t, guardMissing)
	t.Run("made", func(t *testing.T) { testMade(t, c.root) })
}

// testJobsGuard asks the prober, with the controller's own rights, about a Rollout with
// a Job.
func (c *crew) testJobsGuard(t *testing.T, want jobsGuard) {
	t.Helper()
	now := time.Unix(1000, 0)
	p := newProber(c.as(ourUser), func() time.Time { return now })
	b := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "b"}}
	if got, err := p.jobs(t.Context(), b); got != want || err != nil {
		t.Errorf("guard %d, want %d: %v", got, want, err)
	}
	p.policiesChanged()
	if got, _ := p.jobs(t.Context(), b); got != guardUnknown {
		t.Errorf("what was proven before a change counts after it: %d", got)
	}
	now = now.Add(settleTime)
	if got, _ := p.jobs(t.Context(), b); got != want {
		t.Errorf("when the change has settled: %d, want %d", got, want)
	}
	if err := c.root.Get(t.Context(), client.ObjectKeyFromObject(b), b); err != nil || b.Annotations[annotationProbe] != "" {
		t.Errorf("the probe left something behind: %v, %v", b.Annotations, err)
	}
}

// testMade makes Jobs at a real API server, which alone knows what a Job must be.
func testMade(t *testing.T, c client.Client) {
	stored := &v1alpha1.Rollout{}
	if err := c.Get(t.Context(), types.NamespacedName{Namespace: "default", Name: "b"}, stored); err != nil {
		t.Fatal(err)
	}
	ro := withJob()
	ro.Namespace, ro.Name, ro.UID = stored.Namespace, stored.Name, stored.UID
	ro.Spec.Hooks[0].Job = stored.Spec.Analysis.Checks[0].Job
	r, j := gateRun(t, ro), &jobs{cache: c, api: c, guard: guarding(guardWorks)}
	for range 2 {
		if end, err := j.run(t.Context(), r); err != nil || end != nil {
			t.Fatalf("make a Job: %+v, %v", end, err)
		}
	}
	if err := j.create(t.Context(), r); err != nil {
		t.Errorf("make it twice: %v", err)
	}
	job := &batchv1.Job{}
	if err := c.Get(t.Context(), types.NamespacedName{Namespace: "default", Name: r.name()}, job); err != nil {
		t.Fatal(err)
	}
	if env := job.Spec.Template.Spec.Containers[0].Env; len(env) != 1 || !strings.Contains(env[0].Value, `"rollout":"b"`) || !controlledBy(job, stored.UID) {
		t.Errorf("the Job has the variables %+v and the owners %+v", env, job.OwnerReferences)
	}
	bad := smoke()
	bad.Template.Spec.Raw = []byte(`{"template":{"spec":{"containers":[{"name":"x","image":"x"}]}}}`)
	ro.Spec.Hooks[0].Job, ro.Status.Record.Attempt = bad, 9
	other := gateRun(t, ro)
	other.key = "other"
	if _, err := j.run(t.Context(), other); !errors.Is(err, errNotMade) || !strings.Contains(err.Error(), "restartPolicy") {
		t.Errorf("a Job without a restartPolicy: %v", err)
	}
}
