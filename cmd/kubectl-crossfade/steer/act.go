package steer

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

// askEvery is the time between two looks for the controller's answer.
const askEvery = 200 * time.Millisecond

func (a *action) run(ctx context.Context, name string) error {
	if err := a.output.Check(); err != nil {
		return err
	}
	if a.timeout <= 0 {
		return fmt.Errorf("--timeout %s: want a time above 0, such as 30s", a.timeout)
	}
	client, err := a.Client()
	if err != nil {
		return err
	}
	namespace, err := a.Namespace()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	object, err := rollouts.Get(ctx, client, namespace, name)
	if err != nil {
		return err
	}
	r, _ := rollouts.Read(object)
	revision := a.revision
	if revision == "" {
		if revision, err = a.find(ctx, client, object, r); err != nil {
			return err
		}
	}
	created, err := client.Resource(session.Actions).Namespace(namespace).Create(ctx, request(r, a.kind, revision, a.reason), metav1.CreateOptions{})
	if apierrors.IsNotFound(err) && session.MissingKind(err) {
		return a.older(ctx, client, r, revision)
	}
	if err != nil {
		return fmt.Errorf("create the RolloutAction: %w", err)
	}
	answered, err := a.answer(ctx, client, created)
	if err != nil {
		return err
	}
	return a.say(answered, revision)
}

// find is the revision that an action is about when none is named. One that is held before its start, by a window for
// one, is no canary yet: it is that of the Deployment's template.
func (a *action) find(ctx context.Context, client dynamic.Interface, object *unstructured.Unstructured, r *v1alpha1.Rollout) (string, error) {
	if revision := meant(r, a.kind); revision != "" {
		return revision, nil
	}
	if record := r.Status.Record; a.kind != v1alpha1.ActionRetry && record != nil && record.Stage == v1alpha1.StagePreparing {
		family, err := rollouts.GatherWorkload(ctx, client, object)
		if err != nil {
			return "", err
		}
		if current := family.Current(); current != nil {
			return current.Hash, nil
		}
	}
	return "", nothing(r, a.kind)
}

// meant is the revision on its way, or that which failed.
func meant(r *v1alpha1.Rollout, kind v1alpha1.ActionKind) string {
	record := r.Status.Record
	switch {
	case record == nil:
		return ""
	case kind == v1alpha1.ActionRetry:
		return record.Failed
	default:
		return record.Canary
	}
}

// nothing says why there is nothing to act on.
func nothing(r *v1alpha1.Rollout, kind v1alpha1.ActionKind) error {
	next := "change the Deployment's template first"
	switch {
	case kind == v1alpha1.ActionRetry:
		return fmt.Errorf("no revision of Rollout %s was rolled back, so there is none to try again: it is %s (%s)", r.Name, orUnseen(r.Status.Phase), r.Status.Message)
	case r.Status.Phase == v1alpha1.PhaseRolledBack:
		next = "it was rolled back already; kubectl crossfade retry tries it once more"
	}
	return fmt.Errorf("no revision of Rollout %s is on its way: it is %s (%s); %s", r.Name, orUnseen(r.Status.Phase), r.Status.Message, next)
}

func orUnseen(phase v1alpha1.Phase) string {
	if phase == "" {
		return "not seen by a controller yet"
	}
	return string(phase)
}

// request is the RolloutAction. A promotion is of the step that was looked at: when
// another one is held by then, nobody has looked at that.
func request(r *v1alpha1.Rollout, kind v1alpha1.ActionKind, revision, reason string) *unstructured.Unstructured {
	spec := map[string]any{"rollout": r.Name, "action": string(kind), "revision": revision}
	if record := r.Status.Record; kind == v1alpha1.ActionPromote && record != nil && record.Step > 0 {
		spec["step"] = int64(record.Step)
	}
	if reason != "" {
		spec["reason"] = reason
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": session.Actions.GroupVersion().String(),
		"kind":       "RolloutAction",
		"metadata":   map[string]any{"generateName": r.Name + "-", "namespace": r.Namespace},
		"spec":       spec,
	}}
}

// answer waits until the controller has applied or refused the action.
func (a *action) answer(ctx context.Context, client dynamic.Interface, created *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	name, namespace := created.GetName(), created.GetNamespace()
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		now, err := client.Resource(session.Actions).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case err == nil && phaseOf(now) != "":
			return now, nil
		case apierrors.IsNotFound(err):
			return nil, fmt.Errorf("RolloutAction %s was deleted before it was answered; repeat it", name)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("RolloutAction %s was created, and not answered within %s; is crossfade-controller running? (kubectl -n %s get pods; kubectl -n %s get rolloutaction %s). It is still applied when it comes back; delete it if it must not be",
				name, a.timeout, session.SystemNamespace, namespace, name)
		case <-ticker.C:
		}
	}
}

func phaseOf(object *unstructured.Unstructured) string {
	phase, _, _ := unstructured.NestedString(object.Object, "status", "phase")
	return phase
}

// say prints the controller's sentence. What was refused is no success.
func (a *action) say(object *unstructured.Unstructured, revision string) error {
	message, _, _ := unstructured.NestedString(object.Object, "status", "message")
	phase := phaseOf(object)
	rollout, _, _ := unstructured.NestedString(object.Object, "spec", "rollout")
	refused := phase != string(v1alpha1.ActionApplied)
	if a.output.Objects() {
		if err := a.output.Print(a.Out, object); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("rollout %s: %s of revision %s %s", rollout, a.kind, revision, strings.ToLower(phase))
	if message != "" {
		text += ": " + message
	}
	if refused {
		return &session.Exit{Code: session.ExitError, Message: text}
	}
	if !a.output.Objects() {
		fmt.Fprintln(a.Out, text)
	}
	return nil
}
