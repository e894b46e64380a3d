package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/crossfade-dev/crossfade/proxy/intercept"
	"github.com/crossfade-dev/crossfade/proxy/probe"
)

// rewriteProbes points the probes and HTTP hooks of the pod's own containers at
// the agent, and returns the originals with those that were rewritten before.
// What runs in the container (exec) or asks another host stays.
func rewriteProbes(pod *corev1.Pod, known probe.Table) probe.Table {
	table := probe.Table{}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			c := &list[i]
			if c.Name == InitContainer || c.Name == ProxyContainer {
				continue
			}
			r := rewriter{container: c, known: known, table: table}
			r.probe(probe.Liveness, c.LivenessProbe)
			r.probe(probe.Readiness, c.ReadinessProbe)
			r.probe(probe.Startup, c.StartupProbe)
			if c.Lifecycle != nil {
				r.hook(probe.PostStart, c.Lifecycle.PostStart)
				r.hook(probe.PreStop, c.Lifecycle.PreStop)
			}
		}
	}
	return table
}

type rewriter struct {
	container    *corev1.Container
	known, table probe.Table
}

func (r rewriter) probe(kind probe.Kind, p *corev1.Probe) {
	if p == nil {
		return
	}
	original := probe.Probe{TimeoutSeconds: max(p.TimeoutSeconds, 1)} // 0 is the API's word for 1.
	switch {
	case p.HTTPGet != nil:
		if r.keep(kind, p.HTTPGet) {
			return
		}
		original.HTTP = r.http(p.HTTPGet)
	case p.TCPSocket != nil && p.TCPSocket.Host == "":
		if port, ok := r.port(p.TCPSocket.Port); ok {
			original.TCP = &probe.TCP{Port: port}
		}
	case p.GRPC != nil:
		original.GRPC = r.grpc(p.GRPC)
	}
	if original.HTTP == nil && original.TCP == nil && original.GRPC == nil {
		return
	}
	key := probe.Key(r.container.Name, kind)
	r.table[key] = original
	p.ProbeHandler = corev1.ProbeHandler{HTTPGet: toAgent(key)}
}

// hook treats HTTP hooks only: the API server has accepted, and the kubelet
// ignored, TCP hooks since the first version.
func (r rewriter) hook(kind probe.Kind, h *corev1.LifecycleHandler) {
	if h == nil || h.HTTPGet == nil || r.keep(kind, h.HTTPGet) {
		return
	}
	if original := r.http(h.HTTPGet); original != nil {
		key := probe.Key(r.container.Name, kind)
		r.table[key] = probe.Probe{HTTP: original}
		h.HTTPGet = toAgent(key)
	}
}

// keep says whether a handler asks the agent already, and then takes its original
// over from before.
func (r rewriter) keep(kind probe.Kind, get *corev1.HTTPGetAction) bool {
	key := probe.Key(r.container.Name, kind)
	original, known := r.known[key]
	if !known || get.Path != probe.Path+key || get.Port.IntValue() != intercept.ReadyPort {
		return false
	}
	r.table[key] = original
	return true
}

// http returns nil for what is not to be rewritten.
func (r rewriter) http(get *corev1.HTTPGetAction) *probe.HTTP {
	port, ok := r.port(get.Port)
	if get.Host != "" || !ok {
		return nil
	}
	out := &probe.HTTP{Port: port, Path: get.Path}
	if get.Scheme == corev1.URISchemeHTTPS {
		out.Scheme = string(get.Scheme)
	}
	for _, h := range get.HTTPHeaders {
		out.Headers = append(out.Headers, probe.Header{Name: h.Name, Value: h.Value})
	}
	return out
}

// grpc returns nil for what is not to be rewritten.
func (r rewriter) grpc(action *corev1.GRPCAction) *probe.GRPC {
	port, ok := r.port(intstr.FromInt32(action.Port))
	if !ok {
		return nil
	}
	out := &probe.GRPC{Port: port}
	if action.Service != nil {
		out.Service = *action.Service
	}
	return out
}

// port resolves a named port among the container's own, as the kubelet does.
// One that does not exist is left for the kubelet to complain about.
func (r rewriter) port(p intstr.IntOrString) (int32, bool) {
	if p.Type == intstr.Int {
		return p.IntVal, p.IntVal >= 1 && p.IntVal <= 65535
	}
	i := slices.IndexFunc(r.container.Ports, func(c corev1.ContainerPort) bool { return c.Name == p.StrVal })
	if i < 0 {
		return 0, false
	}
	return r.container.Ports[i].ContainerPort, true
}

func toAgent(key string) *corev1.HTTPGetAction {
	return &corev1.HTTPGetAction{Path: probe.Path + key, Port: intstr.FromInt32(intercept.ReadyPort), Scheme: corev1.URISchemeHTTP}
}

// setProbes hands the originals to the agent. Without any the variable is left
// out.
func setProbes(proxy *corev1.Container, table probe.Table) error {
	text, err := table.Encode()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(proxy.Env, func(e corev1.EnvVar) bool { return e.Name == probe.Variable })
	switch {
	case i >= 0:
		proxy.Env[i].Value = text
	case text != "":
		proxy.Env = append(proxy.Env, corev1.EnvVar{Name: probe.Variable, Value: text})
	}
	return nil
}
