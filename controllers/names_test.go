package controllers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

const ourUser = "system:serviceaccount:crossfade-system:crossfade-controller"

// crew are people with the roles that we ship, and the controller with its own.
type crew struct {
	t      *testing.T
	config *rest.Config
	root   client.Client
}

// TestWhoActs asks a real API server who is written down as having acted, and who
// may.
func TestWhoActs(t *testing.T) {
	log.SetLogger(logr.Discard())
	config := startAPIServer(t, envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "config", "crd")}})
	c := &crew{t: t, config: config, root: newClient(t, config)}
	c.create("rbac", "people.yaml", "role.yaml")
	for who, role := range map[string]string{
		"vera": "crossfade-viewer", "otto": "crossfade-operator", "anna": "crossfade-administrator", "mallory": "cluster-admin",
		ourUser: "crossfade-controller",
	} {
		c.bind(who, role)
	}
	c.testProbe(t, false)
	c.create("policies", "names.yaml", "acts.yaml")
	c.settle(t)
	c.testProbe(t, true)
	t.Run("verbs", c.testVerbs)
	t.Run("names", c.testNames)
	t.Run("annotations", c.testAnnotations)
	c.testPartOfThem(t)
}

// testVerbs lets everybody ask for everything.
func (c *crew) testVerbs(t *testing.T) {
	const denied = " Rollout web in namespace default: that takes the verb "
	cases := map[string]struct {
		reason, who string
		action      v1alpha1.ActionKind
		want        string
	}{
		"viewer":               {"he only looks", "vera", v1alpha1.ActionPromote, `User "vera" cannot create resource "rolloutactions"`},
		"operator promotes":    {"he steers", "otto", v1alpha1.ActionPromote, ""},
		"operator aborts":      {"he steers", "otto", v1alpha1.ActionAbort, ""},
		"operator retries":     {"he steers", "otto", v1alpha1.ActionRetry, ""},
		"operator pauses":      {"he steers", "otto", v1alpha1.ActionPause, ""},
		"operator resumes":     {"he steers", "otto", v1alpha1.ActionResume, ""},
		"operator, full":       {"that goes past checks", "otto", v1alpha1.ActionPromoteFull, "otto may not promotefull" + denied + "promotefull on rollouts of crossfade.dev, which the ClusterRole crossfade-administrator has"},
		"operator, override":   {"that goes past windows", "otto", v1alpha1.ActionOverride, "otto may not override" + denied},
		"administrator, full":  {"he may everything", "anna", v1alpha1.ActionPromoteFull, ""},
		"administrator":        {"he may everything", "anna", v1alpha1.ActionOverride, ""},
		"creates, has no verb": {"a role of somebody's own", "only create", v1alpha1.ActionAbort, "only create may not abort" + denied + "abort on rollouts of crossfade.dev, which the ClusterRole crossfade-operator has"},
		"one Rollout only":     {"resourceNames", "only web", v1alpha1.ActionAbort, ""},
		"the controller":       {"it acts for nobody", ourUser, v1alpha1.ActionPromote, "the controller acts for nobody"},
	}
	c.role("only create", rbacv1.PolicyRule{APIGroups: []string{"crossfade.dev"}, Resources: []string{"rolloutactions"}, Verbs: []string{"create"}})
	c.role("only web",
		rbacv1.PolicyRule{APIGroups: []string{"crossfade.dev"}, Resources: []string{"rolloutactions"}, Verbs: []string{"create"}},
		rbacv1.PolicyRule{APIGroups: []string{"crossfade.dev"}, Resources: []string{"rollouts"}, ResourceNames: []string{"web"}, Verbs: []string{"abort"}})
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a := action(tc.action)
			err := c.as(tc.who).Create(t.Context(), a)
			refused(t, tc.reason, err, tc.want)
			if err == nil && a.Annotations[v1alpha1.AnnotationBy] != tc.who {
				t.Errorf("%s acts, and %q is written down", tc.who, a.Annotations[v1alpha1.AnnotationBy])
			}
		})
	}
	other := action(v1alpha1.ActionAbort)
	other.Spec.Rollout = "other"
	refused(t, "only web is his", c.as("only web").Create(t.Context(), other), "may not abort Rollout other")
}

// testAnnotations: what an annotation asks for takes the verb that an action takes.
func (c *crew) testAnnotations(t *testing.T) {
	rollouts := []string{"rollouts"}
	edit := rbacv1.PolicyRule{APIGroups: []string{"crossfade.dev"}, Resources: rollouts, Verbs: []string{"get", "patch"}}
	c.role("only edit", edit)
	edit.Verbs = append(edit.Verbs, "promote")
	c.role("may promote", edit)
	ro := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Name: "annotated", Namespace: "default"},
		Spec: v1alpha1.RolloutSpec{
			WorkloadRef: v1alpha1.WorkloadRef{Name: "web"}, ServiceRef: v1alpha1.ServiceRef{Name: "web"},
			Strategy: v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: []v1alpha1.Step{{Weight: new(int32(5))}}}},
		},
	}
	if err := c.root.Create(t.Context(), ro); err != nil {
		t.Fatal(err)
	}
	promote, retry := `{"metadata":{"annotations":{"crossfade.dev/promote":"x/1"}}}`, `{"metadata":{"annotations":{"crossfade.dev/retry":"x/2"}}}`
	for _, tc := range []struct{ reason, who, body, want string }{
		{"no verb", "only edit", promote, "only edit may not promote Rollouts in namespace default"},
		{"no verb", "only edit", retry, "only edit may not retry Rollouts in namespace default"},
		{"another verb", "may promote", retry, "may promote may not retry Rollouts"},
		{"his verb", "may promote", promote, ""},
		{"what stands there stays", "only edit", `{"metadata":{"annotations":{"own":"other"}},"spec":{"paused":true}}`, ""},
		{"nothing is asked for by taking it away", "only edit", `{"metadata":{"annotations":{"crossfade.dev/promote":null}}}`, ""},
	} {
		refused(t, tc.reason, c.as(tc.who).Patch(t.Context(), ro.DeepCopy(), merge(tc.body)), tc.want)
	}
}

// testNames tries to act under another name, and to change what is written.
func (c *crew) testNames(t *testing.T) {
	forged := action(v1alpha1.ActionPromote)
	forged.Annotations = map[string]string{v1alpha1.AnnotationBy: "anna", "own": "annotation"}
	if err := c.as("otto").Create(t.Context(), forged); err != nil {
		t.Fatal(err)
	}
	if got := forged.Annotations; got[v1alpha1.AnnotationBy] != "otto" || got["own"] != "annotation" {
		t.Errorf("the forged name stands, or the user's own annotation is lost: %v", got)
	}
	kept := "who acted is written down once"
	ours := "what came of an action is the controller's to say"
	status := `{"status":{"phase":"Applied","by":"anna","message":"done"}}`
	for name, tc := range map[string]struct {
		reason, who, body, sub, want string
	}{
		"another name":           {"not even the cluster's administrator", "mallory", `{"metadata":{"annotations":{"crossfade.dev/by":"anna"}}}`, "", kept},
		"no name":                {"not even the cluster's administrator", "mallory", `{"metadata":{"annotations":null}}`, "", kept},
		"name by status":         {"the other way to write metadata", "mallory", `{"metadata":{"annotations":{"crossfade.dev/by":"anna"}}}`, "status", ours},
		"the controller":         {"it writes no names either", ourUser, `{"metadata":{"annotations":{"crossfade.dev/by":"anna"}}}`, "", kept},
		"spec":                   {"immutable", "mallory", `{"spec":{"action":"Abort"}}`, "", "an action cannot be changed: create another one"},
		"somebody's answer":      {"nobody answers but the controller", "mallory", status, "status", ours},
		"another annotation":     {"that is anybody's", "mallory", `{"metadata":{"annotations":{"own":"other"}}}`, "", ""},
		"the controller's owner": {"it goes with the Rollout", ourUser, `{"metadata":{"ownerReferences":[{"apiVersion":"crossfade.dev/v1alpha1","kind":"Rollout","name":"web","uid":"u"}]}}`, "", ""},
		"the controller answers": {"it does", ourUser, `{"status":{"phase":"Applied","by":"otto","message":"done","appliedAt":"2026-01-01T12:00:00.000000Z"}}`, "status", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := forged.DeepCopy()
			var err error
			if tc.sub == "status" {
				err = c.as(tc.who).Status().Patch(t.Context(), a, merge(tc.body))
			} else {
				err = c.as(tc.who).Patch(t.Context(), a, merge(tc.body))
			}
			refused(t, tc.reason, err, tc.want)
		})
	}
	if err := c.as(ourUser).Delete(t.Context(), forged); err != nil {
		t.Errorf("the controller removes an old action: %v", err)
	}
}

// testProbe asks the prober, with the controller's own rights.
func (c *crew) testProbe(t *testing.T, works bool) {
	t.Helper()
	p := newProber(c.as(ourUser), func() time.Time { return time.Unix(1000, 0) })
	got := p.names(t.Context(), "default")
	if !got.Known || got.Kept != works || works == got.Since.IsZero() || works == (got.Message != "") {
		t.Errorf("got %+v, want that names are kept: %v", got, works)
	}
	left := &v1alpha1.RolloutActionList{}
	if err := c.root.List(t.Context(), left, client.MatchingFields{selectableRollout: "none"}); err != nil || len(left.Items) > 0 {
		t.Errorf("the probe left something behind: %v, %v", left.Items, err)
	}
}

// testPartOfThem takes the policies away, one after the other.
func (c *crew) testPartOfThem(t *testing.T) {
	for _, gone := range []client.Object{
		&admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: policyActs}},
		&admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: policyNames}},
	} {
		if err := c.root.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		c.testProbe(t, false)
	}
}

// settle waits until the policies act.
func (c *crew) settle(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		a := action(v1alpha1.ActionPromote)
		err := c.as("otto").Create(t.Context(), a, client.DryRunAll)
		name := c.as(ourUser).Create(t.Context(), action(v1alpha1.ActionPromote), client.DryRunAll)
		if err == nil && a.Annotations[v1alpha1.AnnotationBy] == "otto" && name != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the policies do not act after 30 s: %v, %v", err, name)
		}
	}
}

func refused(t *testing.T, reason string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", reason, err)
	case want != "" && err == nil:
		t.Errorf("%s: nothing was refused, want %q", reason, want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("%s: got %q, want %q", reason, err, want)
	}
}

func action(kind v1alpha1.ActionKind) *v1alpha1.RolloutAction {
	return &v1alpha1.RolloutAction{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "web-", Namespace: "default"},
		Spec:       v1alpha1.RolloutActionSpec{Rollout: "web", Action: kind, Revision: "78bd5d695", Reason: "INC-7"},
	}
}

// as is a client with somebody's rights.
func (c *crew) as(who string) client.Client {
	c.t.Helper()
	config := rest.CopyConfig(c.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: who, Groups: []string{"system:authenticated"}}
	return newClient(c.t, config)
}

// create applies files of a folder of config.
func (c *crew) create(folder string, files ...string) {
	c.t.Helper()
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join("..", "config", folder, file))
		if err != nil {
			c.t.Fatal(err)
		}
		for _, text := range strings.Split(strings.TrimPrefix(string(raw), "---\n"), "\n---\n") {
			o := object(c.t, text)
			if o.GetNamespace() != "" {
				continue // what the controller may in its own namespace is no matter here
			}
			if err := c.root.Create(c.t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
				c.t.Fatalf("create from %s: %v", file, err)
			}
		}
	}
}

func (c *crew) bind(who, role string) {
	c.t.Helper()
	b := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "crew-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: who}},
	}
	if err := c.root.Create(c.t.Context(), b); err != nil {
		c.t.Fatal(err)
	}
}

// role makes a role of somebody's own.
func (c *crew) role(who string, rules ...rbacv1.PolicyRule) {
	c.t.Helper()
	r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: strings.ReplaceAll(who, " ", "-")}, Rules: rules}
	if err := c.root.Create(c.t.Context(), r); err != nil {
		c.t.Fatal(err)
	}
	c.bind(who, r.Name)
}
