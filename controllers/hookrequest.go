package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/controllers/outbound"
	"github.com/crossfade-dev/crossfade/delivery"
)

// hookVersion is that of hookBody; it changes when a field changes its meaning or
// goes, not when one comes.
const hookVersion = "hooks.crossfade.dev/v1"

// headerDelivery is the key of a question: whoever is asked twice finds the same one.
const headerDelivery = "Crossfade-Delivery"

// hookBody is what a hook is told. There is nothing in it that is not in the Rollout.
type hookBody struct {
	APIVersion string              `json:"apiVersion"`
	Kind       string              `json:"kind"`
	Hook       string              `json:"hook"`
	At         v1alpha1.HookMoment `json:"at"`
	Key        string              `json:"key"`
	Namespace  string              `json:"namespace"`
	Rollout    string              `json:"rollout"`
	UID        types.UID           `json:"uid"`
	Deployment string              `json:"deployment"`
	Service    string              `json:"service"`
	// Stable serves everybody else; Canary is the revision that the hook is about.
	Stable string `json:"stable"`
	Canary string `json:"canary"`
	// Attempt counts the deliveries of this revision, Try the questions of this hook.
	Attempt int32 `json:"attempt"`
	Try     int32 `json:"try"`
	// Step is the step that is about to begin, or is held; 0 where none is meant.
	Step int32 `json:"step"`
	// Weight is the canary's share at the time, out of TotalWeight.
	Weight      int32          `json:"weight"`
	TotalWeight int32          `json:"totalWeight"`
	Phase       v1alpha1.Phase `json:"phase"`
	// Reason and Message say why a revision was rolled back.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// hookKey is the same for every call about the same thing.
func hookKey(ro *v1alpha1.Rollout, q delivery.Question) string {
	return fmt.Sprintf("%s/%s/%d/%s/%d", ro.UID, q.Revision, q.Attempt, q.Hook, q.Step)
}

// hookRequest is what is sent.
func hookRequest(ro *v1alpha1.Rollout, q delivery.Question) ([]byte, http.Header, error) {
	rec := ro.Status.Record
	b := hookBody{
		APIVersion: hookVersion, Kind: "HookRequest", Hook: q.Hook, At: q.At, Key: hookKey(ro, q),
		Namespace: ro.Namespace, Rollout: ro.Name, UID: ro.UID, Deployment: rec.Workload, Service: rec.Service,
		Stable: rec.Stable, Canary: q.Revision, Attempt: q.Attempt, Try: 1, Step: q.Step,
		Weight: rec.Weight, TotalWeight: rec.Total, Phase: ro.Status.Phase,
	}
	if e := delivery.HookOf(rec, q); e != nil {
		b.Try = e.Answers + 1
	}
	if q.At == v1alpha1.AfterRollback {
		b.Reason, b.Message = rec.Reason, rec.Message
	}
	raw, err := json.Marshal(b)
	if err != nil {
		return nil, nil, fmt.Errorf("encode request: %w", err)
	}
	return raw, http.Header{headerDelivery: {b.Key}, "User-Agent": {"crossfade-controller"}}, nil
}

// hookURL is the URL of a hook that names one.
func hookURL(hook *v1alpha1.HTTPHook) (*url.URL, error) {
	u, err := url.Parse(hook.URL)
	if err != nil {
		return nil, fmt.Errorf("read URL: %w", err)
	}
	if hook.Path == "" {
		return u, nil
	}
	path, err := url.Parse(hook.Path)
	if err != nil {
		return nil, fmt.Errorf("read path: %w", err)
	}
	u.Path, u.RawPath, u.RawQuery = path.Path, path.RawPath, path.RawQuery
	return u, nil
}

// target is who a hook asks, or why nobody can be asked. A Service's addresses are
// those of its ready endpoints, so that what is checked is what is dialled: behind a
// ClusterIP may be anything.
func (a *asker) target(ctx context.Context, namespace string, hook *v1alpha1.HTTPHook) (t outbound.Target, why string, err error) {
	if hook.ServiceRef == nil {
		t.URL, err = hookURL(hook)
		return t, "", err
	}
	ref, path := hook.ServiceRef, hook.Path
	if !strings.HasPrefix(path, "/") {
		path = "/"
	}
	if t.URL, err = url.Parse(fmt.Sprintf("http://%s.%s:%d%s", ref.Name, namespace, ref.Port, path)); err != nil {
		return t, "", fmt.Errorf("write URL: %w", err)
	}
	service := &corev1.Service{}
	if err := a.live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, service); err != nil {
		if apierrors.IsNotFound(err) {
			return t, fmt.Sprintf("there is no Service %s", ref.Name), nil
		}
		return t, "", fmt.Errorf("get Service: %w", err)
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return t, fmt.Sprintf("Service %s is of type ExternalName, which leads out of the namespace: name the host by url", ref.Name), nil
	}
	for _, p := range service.Spec.Ports {
		if p.Port == ref.Port && (p.Protocol == corev1.ProtocolTCP || p.Protocol == "") {
			t.Own, err = a.endpoints(ctx, service, p.Name)
			return t, "", err
		}
	}
	return t, fmt.Sprintf("Service %s has no TCP port %d", ref.Name, ref.Port), nil
}

// endpoints are the addresses of a Service's ready endpoints at a port; never nil.
func (a *asker) endpoints(ctx context.Context, s *corev1.Service, port string) ([]netip.AddrPort, error) {
	list := &discoveryv1.EndpointSliceList{}
	if err := a.live.List(ctx, list, client.InNamespace(s.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: s.Name}); err != nil {
		return nil, fmt.Errorf("list EndpointSlices: %w", err)
	}
	own := []netip.AddrPort{}
	for i := range list.Items {
		for _, p := range list.Items[i].Ports {
			if p.Port == nil || *p.Port < 1 || *p.Port > 65535 || (p.Name == nil && port != "") || (p.Name != nil && *p.Name != port) {
				continue
			}
			for _, a := range readyAddresses(&list.Items[i]) {
				own = append(own, netip.AddrPortFrom(a, uint16(*p.Port)))
			}
		}
	}
	return own, nil
}

func readyAddresses(slice *discoveryv1.EndpointSlice) []netip.Addr {
	var out []netip.Addr
	for _, e := range slice.Endpoints {
		if e.Conditions.Ready != nil && !*e.Conditions.Ready {
			continue
		}
		for _, text := range e.Addresses {
			if a, err := netip.ParseAddr(text); err == nil {
				out = append(out, a)
			}
		}
	}
	return out
}

// post sends a question and says what its answer means. What cannot be asked, or must
// not be, waits for somebody to correct it, until the deadline.
func (a *asker) post(ctx context.Context, ro *v1alpha1.Rollout, hook *v1alpha1.HTTPHook, q delivery.Question) delivery.HookAnswer {
	target, why, err := a.target(ctx, ro.Namespace, hook)
	if err != nil {
		why = "the API server did not say where its Service is"
	}
	body, headers, err := hookRequest(ro, q)
	if err != nil {
		why = "the request could not be written"
	}
	if why != "" {
		return delivery.HookAnswer{Outcome: delivery.HookLater, Message: why}
	}
	timeout := defaultHookTimeout
	if hook.Timeout.Duration > 0 {
		timeout = hook.Timeout.Duration
	}
	return meaning(a.poster.Post(ctx, target, body, headers, timeout))
}

// meaning is what an answer says about the delivery.
func meaning(a outbound.Answer) delivery.HookAnswer {
	out := delivery.HookAnswer{Outcome: delivery.HookNo, Message: a.Message}
	switch {
	case a.Refused:
		out.Outcome = delivery.HookLater
	case a.Code == 0:
		out.Outcome = delivery.HookSilent
	case a.Code >= 200 && a.Code < 300:
		out.Outcome = delivery.HookYes
	case a.Code == http.StatusConflict, a.Code == http.StatusTooEarly:
		out.Outcome = delivery.HookLater
		out.Message += ", not yet"
	}
	return out
}

// forbiddenHook is what is wrong with the hooks of a Rollout already by what they say.
func forbiddenHook(ro *v1alpha1.Rollout, p poster) *delivery.Refusal {
	for i := range ro.Spec.Hooks {
		h := &ro.Spec.Hooks[i]
		if h.HTTP == nil || h.HTTP.ServiceRef != nil {
			continue
		}
		u, err := hookURL(h.HTTP)
		if err == nil {
			err = p.CheckURL(u)
		}
		if err != nil {
			return &delivery.Refusal{Reason: v1alpha1.ReasonHookForbidden, Message: fmt.Sprintf("hook %s: %v", h.Name, err)}
		}
	}
	return nil
}
