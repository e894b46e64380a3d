package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	requestv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/inject"
)

// Values of the metric's label result, besides the reasons of package inject why
// a pod is left alone.
const (
	resultInjected = "Injected"
	resultRefused  = "Refused"
	resultFailed   = "Failed"
)

// injector answers the API server. It keeps nothing from one request to the next.
type injector struct {
	options        inject.Options
	configurations client.Reader
	meters         *injectionMeters
}

// under is the handler for pods of namespaces with these labels.
func (i *injector) under(namespace map[string]string) admission.Handler {
	return admission.HandlerFunc(func(ctx context.Context, request admission.Request) admission.Response {
		response, result := i.answer(ctx, request, namespace)
		i.meters.injections.WithLabelValues(result).Inc()
		return response
	})
}

func (i *injector) answer(ctx context.Context, request admission.Request, namespace map[string]string) (admission.Response, string) {
	pod := &corev1.Pod{}
	if request.Operation != requestv1.Create || request.Kind.Kind != "Pod" || request.SubResource != "" {
		return admission.Allowed(""), inject.ReasonNobodyAsks
	}
	if err := json.Unmarshal(request.Object.Raw, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("read pod: %w", err)), resultFailed
	}
	pod.Namespace = request.Namespace // A pod may be created without naming it.
	o := i.options
	if _, asksIstio := namespace[v1alpha1.LabelIstioInjection]; asksIstio {
		name, err := istioInjector(ctx, i.configurations)
		if err != nil {
			return admission.Errored(http.StatusInternalServerError, err), resultFailed
		}
		o.IstioInstalled = name != ""
	}
	out, decision, err := inject.Inject(pod, namespace, o)
	if err != nil {
		log.FromContext(ctx).Info("Refused a pod", "pod", podName(pod), "why", err.Error())
		return admission.Denied("crossfade cannot inject its sidecar: " + err.Error()), resultRefused
	}
	if !decision.Injected {
		return admission.Allowed(""), decision.Reason
	}
	patch := inject.Patch(pod, out)
	if len(patch) == 0 {
		return admission.Allowed(""), decision.Reason
	}
	raw, err := json.Marshal(patch)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, fmt.Errorf("encode patch: %w", err)), resultFailed
	}
	log.FromContext(ctx).V(1).Info("Injected a sidecar", "pod", podName(pod), "reason", decision.Reason)
	kind := requestv1.PatchTypeJSONPatch
	return admission.Response{AdmissionResponse: requestv1.AdmissionResponse{Allowed: true, Patch: raw, PatchType: &kind}}, resultInjected
}

// podName is what a pod is called before the API server has named it.
func podName(pod *corev1.Pod) string {
	if pod.Name == "" {
		return pod.Namespace + "/" + pod.GenerateName + "*"
	}
	return pod.Namespace + "/" + pod.Name
}

// istioInjector returns the name of the configuration by which Istio's injector
// is installed; empty if it is not. Istio names it after its revision, and labels
// each the same.
func istioInjector(ctx context.Context, configurations client.Reader) (string, error) {
	all := &admissionv1.MutatingWebhookConfigurationList{}
	if err := configurations.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		return "", fmt.Errorf("list webhook configurations: %w", err)
	}
	for i := range all.Items {
		c := &all.Items[i]
		if c.Labels["app"] == "sidecar-injector" || strings.HasPrefix(c.Name, "istio-sidecar-injector") {
			return c.Name, nil
		}
	}
	return "", nil
}

// istioWatch says aloud when Istio's injector comes or goes.
type istioWatch struct {
	configurations client.Reader
	meters         *injectionMeters
	last           string // Only one Reconcile runs at a time.
}

// Reconcile looks at all configurations: which one has changed does not matter.
func (w *istioWatch) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	name, err := istioInjector(ctx, w.configurations)
	if err != nil {
		return ctrl.Result{}, err
	}
	logger := log.FromContext(ctx)
	switch {
	case name != "" && w.last == "":
		w.meters.istio.Set(1)
		logger.Info("Istio's injector is installed: the label istio-injection is left to it, use "+v1alpha1.LabelInjection, "configuration", name)
	case name == "" && w.last != "":
		w.meters.istio.Set(0)
		logger.Info("Istio's injector is gone: the label istio-injection is read as " + v1alpha1.LabelInjection)
	}
	w.last = name
	return ctrl.Result{}, nil
}
