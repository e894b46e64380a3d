package advice

import (
	"encoding/json"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// hookRules judge whom a delivery asks on its way, and the Jobs that it waits for.
var hookRules = []Rule{
	{
		Code: "XF0191", Name: "HookNotFound", Severity: Error,
		What: "A hook asks a Service that is not there, has no such TCP port, or leads out of the namespace (ExternalName). The delivery waits for an answer until progressDeadlineSeconds are over.",
		Mend: "Correct serviceRef, create the Service, or name the host by url (the administrator has to allow it).",
		find: hookNotFound,
	},
	{
		Code: "XF0192", Name: "HookOutlastsDeadline", Severity: Warning, Alone: true,
		What: "A hook that does not answer is asked again for longer than progressDeadlineSeconds: the deadline ends the wait, and not all retries are made.",
		Mend: "Lower timeout or retries, or raise progressDeadlineSeconds above timeout times retries + 1.",
		find: hookOutlastsDeadline,
	},
	{
		Code: "XF0193", Name: "JobOutlastsDeadline", Severity: Warning, Alone: true,
		What: "The Job of a hook or a check tries again for longer than progressDeadlineSeconds before it has failed: Kubernetes waits 10s, 20s, 40s and so on between the tries, and makes 6 more when backoffLimit is not set. A failure is never told as one; the deadline ends the wait.",
		Mend: "Set backoffLimit (0 or 1) in the Job's spec, or activeDeadlineSeconds below progressDeadlineSeconds.",
		find: jobOutlastsDeadline,
	},
}

// hooks calls back for each hook of each Rollout.
func (s *scene) hooks(f func(ro *v1alpha1.Rollout, h *v1alpha1.Hook, field string)) {
	for _, ro := range s.Rollouts {
		for i := range ro.Spec.Hooks {
			h := &ro.Spec.Hooks[i]
			f(ro, h, "spec.hooks["+h.Name+"]")
		}
	}
}

func hookNotFound(s *scene) {
	s.hooks(func(ro *v1alpha1.Rollout, h *v1alpha1.Hook, field string) {
		if h.HTTP == nil || h.HTTP.ServiceRef == nil {
			return
		}
		ref := h.HTTP.ServiceRef
		service := s.service(ro.Namespace, ref.Name)
		switch {
		case service == nil && s.whole("Service", ro.Namespace):
			s.found(RefTo("Rollout", ro), field+".http.serviceRef", "hook %s: there is no Service %s", h.Name, ref.Name)
		case service == nil:
		case service.Spec.Type == corev1.ServiceTypeExternalName:
			s.found(RefTo("Rollout", ro), field+".http.serviceRef", "hook %s: Service %s is of type ExternalName", h.Name, ref.Name)
		case !hasTCPPort(service, ref.Port):
			s.found(RefTo("Rollout", ro), field+".http.serviceRef", "hook %s: Service %s has no TCP port %d", h.Name, ref.Name, ref.Port)
		}
	})
}

func hasTCPPort(service *corev1.Service, port int32) bool {
	for _, p := range service.Spec.Ports {
		if p.Port == port && (p.Protocol == corev1.ProtocolTCP || p.Protocol == "") {
			return true
		}
	}
	return false
}

// The API server's defaults, which a file has not got yet.
const (
	hookTimeout = 10 * time.Second
	hookRetries = 3
	jobRetries  = 6
)

func hookOutlastsDeadline(s *scene) {
	s.hooks(func(ro *v1alpha1.Rollout, h *v1alpha1.Hook, field string) {
		if h.HTTP == nil || delivery.Afterwards(h.At) {
			return // Nothing waits for what is told afterwards.
		}
		timeout, retries := hookTimeout, int32(hookRetries)
		if h.HTTP.Timeout.Duration > 0 {
			timeout = h.HTTP.Timeout.Duration
		}
		if h.HTTP.Retries != nil {
			retries = *h.HTTP.Retries
		}
		deadline := delivery.Deadline(ro)
		if all := timeout * time.Duration(retries+1); all > deadline {
			s.found(RefTo("Rollout", ro), field+".http", "hook %s: %d times %s is more than progressDeadlineSeconds (%d)", h.Name, retries+1, timeout, int(deadline/time.Second))
		}
	})
}

func jobOutlastsDeadline(s *scene) {
	slow := func(ro *v1alpha1.Rollout, job *v1alpha1.JobSource, what, field string) {
		deadline := delivery.Deadline(ro)
		if job == nil {
			return
		}
		if waits := jobWaits(job); waits > deadline {
			s.found(RefTo("Rollout", ro), field+".job.template.spec", "the Job of %s waits %s at least between its tries, and progressDeadlineSeconds is %d", what, waits, int(deadline/time.Second))
		}
	}
	s.hooks(func(ro *v1alpha1.Rollout, h *v1alpha1.Hook, field string) {
		if !delivery.Afterwards(h.At) {
			slow(ro, h.Job, "hook "+h.Name, field)
		}
	})
	s.checks(func(ro *v1alpha1.Rollout, c *v1alpha1.Check, field string) { slow(ro, c.Job, "check "+c.Name, field) })
}

// jobWaits is for how long at least Kubernetes waits between the tries of a Job that
// always fails; 0 where something else ends it before, or nobody knows.
func jobWaits(job *v1alpha1.JobSource) time.Duration {
	var spec batchv1.JobSpec
	if err := json.Unmarshal(job.Template.Spec.Raw, &spec); err != nil || spec.ActiveDeadlineSeconds != nil || spec.PodFailurePolicy != nil || spec.BackoffLimitPerIndex != nil {
		return 0
	}
	retries := int32(jobRetries)
	if spec.BackoffLimit != nil {
		retries = *spec.BackoffLimit
	}
	sum, next := time.Duration(0), 10*time.Second
	for range min(retries, maxJobRetries) {
		sum += next
		next = min(2*next, 5*time.Minute) // Where the kubelet starts containers again; the Job's own waits grow longer.
	}
	return sum
}

// maxJobRetries is more than any progressDeadlineSeconds has room for.
const maxJobRetries = 10000
