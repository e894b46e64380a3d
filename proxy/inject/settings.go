package inject

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/intercept"
)

// settings are a pod's wishes about its sidecar.
type settings struct {
	excluded  intercept.Exclusions
	resources corev1.ResourceRequirements
	// workload and revision are how metrics and spans name the pod; empty for none.
	workload, revision string
}

// What a sidecar gets without annotations: measured, an idle Envoy with its
// agent takes about 80 MiB and a few milliseconds of CPU a second. There is no
// CPU limit, because a throttled proxy is slow at the very time it is needed.
const (
	defaultCPU         = "50m"
	defaultMemory      = "96Mi"
	defaultMemoryLimit = "512Mi"
)

// maxConcurrency keeps a limit of a million cores from becoming a million threads.
const maxConcurrency = 64

func readSettings(pod *corev1.Pod) (settings, error) {
	var s settings
	var wrong [6]error
	s.workload, s.revision = workloadOf(pod), revisionOf(pod)
	a := pod.Annotations
	s.excluded.InboundPorts, wrong[0] = read(a, v1alpha1.AnnotationExcludeInboundPorts, intercept.ParsePorts)
	s.excluded.OutboundPorts, wrong[1] = read(a, v1alpha1.AnnotationExcludeOutboundPorts, intercept.ParsePorts)
	s.excluded.InboundCIDRs, wrong[2] = read(a, v1alpha1.AnnotationExcludeInboundCIDRs, intercept.ParseCIDRs)
	s.excluded.OutboundCIDRs, wrong[3] = read(a, v1alpha1.AnnotationExcludeOutboundCIDRs, intercept.ParseCIDRs)
	wrong[4] = s.readCPU(a)
	wrong[5] = s.readMemory(a)
	return s, errors.Join(wrong[:]...)
}

// InboundPorts reads which of a pod's ports are not intercepted. Wrong text
// counts as none: the webhook refuses it before a pod can have it.
func InboundPorts(annotations map[string]string) []uint16 {
	out, _ := intercept.ParsePorts(annotations[v1alpha1.AnnotationExcludeInboundPorts])
	return out
}

func read[T any](annotations map[string]string, name string, parse func(string) ([]T, error)) ([]T, error) {
	out, err := parse(annotations[name])
	if err != nil {
		return nil, fmt.Errorf("annotation %s: %w", name, err)
	}
	return out, nil
}

func (s *settings) readCPU(a map[string]string) error {
	request, err := quantity(a, v1alpha1.AnnotationProxyCPU)
	if err != nil {
		return err
	}
	limit, err := quantity(a, v1alpha1.AnnotationProxyCPULimit)
	if err != nil {
		return err
	}
	if request == nil {
		request = lesser(resource.MustParse(defaultCPU), limit)
	}
	if limit != nil && request.Cmp(*limit) > 0 {
		return fmt.Errorf("annotation %s: %s is more than %s, %s", v1alpha1.AnnotationProxyCPU, request, v1alpha1.AnnotationProxyCPULimit, limit)
	}
	s.set(corev1.ResourceCPU, request, limit)
	return nil
}

// readMemory knows a default limit, which gives way to a larger request.
func (s *settings) readMemory(a map[string]string) error {
	request, err := quantity(a, v1alpha1.AnnotationProxyMemory)
	if err != nil {
		return err
	}
	limit, err := quantity(a, v1alpha1.AnnotationProxyMemoryLimit)
	if err != nil {
		return err
	}
	given := limit != nil
	if !given {
		standard := resource.MustParse(defaultMemoryLimit)
		limit = &standard
	}
	if request == nil {
		request = lesser(resource.MustParse(defaultMemory), limit)
	}
	if request.Cmp(*limit) > 0 {
		if given {
			return fmt.Errorf("annotation %s: %s is more than %s, %s", v1alpha1.AnnotationProxyMemory, request, v1alpha1.AnnotationProxyMemoryLimit, limit)
		}
		limit = request
	}
	s.set(corev1.ResourceMemory, request, limit)
	return nil
}

func (s *settings) set(name corev1.ResourceName, request, limit *resource.Quantity) {
	if s.resources.Requests == nil {
		s.resources = corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	}
	s.resources.Requests[name] = *request
	if limit != nil {
		s.resources.Limits[name] = *limit
	}
}

// lesser is the default, or the limit where that is lower.
func lesser(standard resource.Quantity, limit *resource.Quantity) *resource.Quantity {
	if limit != nil && limit.Cmp(standard) < 0 {
		return limit
	}
	return &standard
}

// quantity reads an annotation; nil when it is not there.
func quantity(annotations map[string]string, name string) (*resource.Quantity, error) {
	text, has := annotations[name]
	if !has {
		return nil, nil
	}
	q, err := resource.ParseQuantity(text)
	if err != nil || q.Sign() <= 0 {
		return nil, fmt.Errorf("annotation %s: %q is no quantity above 0: write such as 250m or 1 for CPU, 128Mi for memory", name, text)
	}
	return &q, nil
}

// concurrency is how many threads of Envoy a CPU limit can keep busy. Without a
// limit it is two: one for each core of a large node would cost every idle
// sidecar its memory and spread its connection pools thin.
func (s settings) concurrency() int64 {
	limit, has := s.resources.Limits[corev1.ResourceCPU]
	if !has {
		return 2
	}
	return min(limit.Value(), maxConcurrency) // Value rounds up.
}
