package controllers

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"unicode"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Bounds of what is kept and told of Jobs.
const (
	// jobsKept is how many that completed, and how many that failed, are kept of each
	// hook and each check.
	jobsKept = 3
	// logLines and logBytes are how much of a failed Job's log is told.
	logLines = 10
	logBytes = 1 << 10
)

// envHook is the variable by which a Job's containers learn what it is about.
const envHook = "CROSSFADE_HOOK"

// podLogs reads the last lines of a container's log.
type podLogs func(ctx context.Context, namespace, pod, container string, lines int64) (io.ReadCloser, error)

// jobs makes Jobs for hooks and checks, and reads how they ended.
type jobs struct {
	// cache has the Jobs with our label, and all pods.
	cache client.Reader
	api   client.Client
	logs  podLogs
	// guard says whether the API server asks who writes Jobs into Rollouts.
	guard func(context.Context, *v1alpha1.Rollout) (jobsGuard, error)
}

// jobRun is one Job that is to be run once.
type jobRun struct {
	rollout *v1alpha1.Rollout
	// label says whose it is, LabelHook or LabelCheck; of is that one's name.
	label, of string
	// key is what it is about: with the same key it is the same Job.
	key    string
	source *v1alpha1.JobSource
	// about is what its containers are told.
	about []byte
}

// jobEnd is how a Job ended.
type jobEnd struct {
	complete bool
	message  string
}

// errNotMade says that a Job could not be made, in the API server's words.
var errNotMade = errors.New("the Job could not be made")

// name follows from the key, so that making a Job twice makes one.
func (r *jobRun) name() string { return jobName(r.rollout.Name, r.of, r.key) }

func jobName(rollout, of, key string) string {
	h := fnv.New64a()
	_, _ = io.WriteString(h, key) // It never fails.
	name := strings.ReplaceAll(rollout, ".", "-") + "-" + of
	return fmt.Sprintf("%s-%012x", strings.TrimRight(name[:min(len(name), 50)], "-"), h.Sum64()&0xffffffffffff)
}

// run makes the Job unless it is there, and says how it ended; nil while it runs.
func (j *jobs) run(ctx context.Context, r *jobRun) (*jobEnd, error) {
	job := &batchv1.Job{}
	err := j.cache.Get(ctx, types.NamespacedName{Namespace: r.rollout.Namespace, Name: r.name()}, job)
	if apierrors.IsNotFound(err) {
		return nil, j.create(ctx, r)
	}
	if err != nil {
		return nil, fmt.Errorf("get Job: %w", err)
	}
	if !controlledBy(job, r.rollout.UID) {
		return nil, fmt.Errorf("%w: there is a Job %s that is somebody else's: delete it", errNotMade, job.Name)
	}
	return j.ended(ctx, job, r.source), nil
}

// ended is how a Job ended, nil while it runs or goes.
func (j *jobs) ended(ctx context.Context, job *batchv1.Job, source *v1alpha1.JobSource) *jobEnd {
	if job.DeletionTimestamp != nil {
		return nil
	}
	for _, c := range job.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == batchv1.JobComplete:
			return &jobEnd{complete: true, message: fmt.Sprintf("Job %s is complete", job.Name)}
		case c.Type == batchv1.JobFailed:
			message := fmt.Sprintf("Job %s failed", job.Name)
			if c.Reason != "" {
				message += " (" + oneLine(c.Reason) + ")"
			}
			if log := j.lastLines(ctx, job, source); log != "" {
				message += ": " + log
			}
			return &jobEnd{message: message}
		}
	}
	return nil
}

// create makes a Job from its template as the user wrote it, so that no field is lost
// that this client does not know.
func (j *jobs) create(ctx context.Context, r *jobRun) error {
	if err := j.allowed(ctx, r.rollout); err != nil {
		return err
	}
	job, err := jobOf(r)
	if err != nil {
		return fmt.Errorf("%w: %s", errNotMade, oneLine(err.Error()))
	}
	err = j.api.Create(ctx, job, client.FieldOwner(fieldManager))
	switch {
	case err == nil, apierrors.IsAlreadyExists(err): // Made before, and the cache does not show it yet.
		return nil
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err):
		return fmt.Errorf("%w: %s", errNotMade, oneLine(err.Error()))
	}
	return fmt.Errorf("create Job: %w", err)
}

// jobOf writes a Job out.
func jobOf(r *jobRun) (*unstructured.Unstructured, error) {
	spec := map[string]any{}
	if err := json.Unmarshal(r.source.Template.Spec.Raw, &spec); err != nil {
		return nil, fmt.Errorf("read its spec: %w", err)
	}
	delete(spec, "ttlSecondsAfterFinished") // It could be gone before anybody has looked.
	tellContainers(spec, string(r.about))
	job := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	job.SetGroupVersionKind(batchv1.SchemeGroupVersion.WithKind("Job"))
	job.SetNamespace(r.rollout.Namespace)
	job.SetName(r.name())
	labels := map[string]string{}
	for key, value := range r.source.Template.Metadata.Labels {
		labels[key] = value
	}
	labels[v1alpha1.LabelRollout], labels[r.label] = r.rollout.Name, r.of
	job.SetLabels(labels)
	job.SetAnnotations(r.source.Template.Metadata.Annotations)
	yes := true
	job.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "Rollout", Name: r.rollout.Name, UID: r.rollout.UID, Controller: &yes,
	}})
	return job, nil
}

// tellContainers adds a variable with what the Job is about to each container that has
// none of that name.
func tellContainers(spec map[string]any, about string) {
	containers, _, _ := unstructured.NestedSlice(spec, "template", "spec", "containers")
	for i := range containers {
		c, ok := containers[i].(map[string]any)
		if !ok {
			continue
		}
		env, _ := c["env"].([]any)
		has := slices.ContainsFunc(env, func(v any) bool {
			m, _ := v.(map[string]any)
			return m["name"] == envHook
		})
		if !has {
			c["env"] = append(env, map[string]any{"name": envHook, "value": about})
		}
	}
	if len(containers) > 0 {
		_ = unstructured.SetNestedSlice(spec, containers, "template", "spec", "containers") // The path was just read.
	}
}

// lastLines are the end of a failed Job's log, of its newest pod's first container.
// Without rights, or without a pod, there are none: that is no error.
func (j *jobs) lastLines(ctx context.Context, job *batchv1.Job, source *v1alpha1.JobSource) string {
	pods := &corev1.PodList{}
	if err := j.cache.List(ctx, pods, client.InNamespace(job.Namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}); err != nil || len(pods.Items) == 0 {
		return ""
	}
	newest := slices.MaxFunc(pods.Items, func(a, b corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	var spec batchv1.JobSpec
	if err := json.Unmarshal(source.Template.Spec.Raw, &spec); err != nil || len(spec.Template.Spec.Containers) == 0 {
		return ""
	}
	stream, err := j.logs(ctx, job.Namespace, newest.Name, spec.Template.Spec.Containers[0].Name, logLines)
	if err != nil {
		return ""
	}
	defer func() { _ = stream.Close() }() // It was only read.
	raw, err := io.ReadAll(io.LimitReader(stream, 64<<10))
	if err != nil {
		return ""
	}
	return tail(raw)
}

// tail is the last lines of a log on one line, bounded, of printable characters.
func tail(raw []byte) string {
	var lines []string
	for _, line := range bytes.Split(raw, []byte("\n")) {
		if text := oneLine(string(line)); text != "" {
			lines = append(lines, text)
		}
	}
	text := strings.Join(lines[max(0, len(lines)-logLines):], " | ")
	if over := len(text) - logBytes; over > 0 {
		text = "…" + strings.ToValidUTF8(text[over:], "")
	}
	return text
}

// oneLine makes foreign text fit for a message: one line, printable, bounded.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > logBytes {
		text = strings.ToValidUTF8(text[:logBytes], "") + "…"
	}
	return text
}

// tidy deletes what nobody waits for any more, and finished Jobs beyond the history
// limit.
func (j *jobs) tidy(ctx context.Context, ro *v1alpha1.Rollout, wanted map[string]bool) error {
	list := &batchv1.JobList{}
	if err := j.cache.List(ctx, list, client.InNamespace(ro.Namespace), client.MatchingLabels{v1alpha1.LabelRollout: ro.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list Jobs: %w", err)
	}
	var failed []error
	for _, job := range superfluous(list.Items, ro.UID, wanted) {
		gone := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: job.Namespace, Name: job.Name}}
		err := j.api.Delete(ctx, gone, client.Preconditions{UID: &job.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
		failed = append(failed, client.IgnoreNotFound(err))
	}
	return errors.Join(failed...)
}

// superfluous are the Jobs to delete: those that run for nobody, and of the finished
// ones all but the newest.
func superfluous(list []batchv1.Job, owner types.UID, wanted map[string]bool) []*batchv1.Job {
	var out []*batchv1.Job
	finished := map[string][]*batchv1.Job{}
	for i := range list {
		job := &list[i]
		if !controlledBy(job, owner) || job.DeletionTimestamp != nil || wanted[job.Name] {
			continue
		}
		kind := job.Labels[v1alpha1.LabelHook] + "/" + job.Labels[v1alpha1.LabelCheck]
		switch {
		case jobIs(job, batchv1.JobComplete):
			finished[kind+"/complete"] = append(finished[kind+"/complete"], job)
		case jobIs(job, batchv1.JobFailed):
			finished[kind+"/failed"] = append(finished[kind+"/failed"], job)
		default:
			out = append(out, job)
		}
	}
	for _, of := range finished {
		slices.SortFunc(of, func(a, b *batchv1.Job) int {
			return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
		})
		out = append(out, of[min(len(of), jobsKept):]...)
	}
	slices.SortFunc(out, func(a, b *batchv1.Job) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func jobIs(job *batchv1.Job, kind batchv1.JobConditionType) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == kind && c.Status == corev1.ConditionTrue
	})
}
