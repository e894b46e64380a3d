package advice

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// serviceRules judge the Service whose requests are shifted.
var serviceRules = []Rule{
	{
		Code: "XF0301", Name: "ServiceNotFound", Severity: Error,
		What: "There is no Service of the name in serviceRef: nothing is delivered.",
		Mend: "Create it, or correct spec.serviceRef.name.",
		find: serviceNotFound,
	},
	{
		Code: "XF0302", Name: "SelectorMismatch", Severity: Error,
		What: "The Service does not select the Deployment's pods: it is refused with reason SelectorMismatch.",
		Mend: "Make the Service's selector match the labels of the pod template.",
		find: selectorMismatch,
	},
	{
		Code: "XF0303", Name: "SelectorFollowsTemplate", Severity: Warning,
		What: "The Service selects by a label that is not in the Deployment's own selector. A template with another value of it (a label version, say) is not selected: its pods would get no requests, and the rollout is stuck.",
		Mend: "Take the label out of the Service's selector, and let the Deployment's selector and the Service's be the same.",
		find: selectorFollows,
	},
	{
		Code: "XF0304", Name: "TwoRolloutsOneService", Severity: Error,
		What: "Two Rollouts shift the requests of the same Service: the later one is refused with reason Conflict.",
		Mend: "Give each Deployment a Service of its own.",
		find: func(s *scene) {
			s.twice("Service", "spec.serviceRef.name", func(ro *v1alpha1.Rollout) string { return ro.Spec.ServiceRef.Name })
		},
	},
	{
		Code: "XF0305", Name: "NamedPortMissing", Severity: Error,
		What: "A targetPort is a name that no container of the pods gives to a port: nobody serves that port of the Service. When a changed template drops the name, the canary gets no requests.",
		Mend: "Name the container's port, or correct the Service's targetPort.",
		find: namedPortMissing,
	},
	{
		Code: "XF0306", Name: "PerConnection", Severity: Warning,
		What: "A port of the Service is declared as something that is not HTTP: proxies divide its connections and not its requests. A client with one long connection is wholly on one revision, and a weight of 5 may move nobody or half of the load.",
		Mend: "Declare HTTP ports as such (name http-… or appProtocol); for others expect shares of connections, and hold the steps as long as connections live.",
		find: perConnection,
	},
	{
		Code: "XF0307", Name: "NotShifted", Severity: Warning,
		What: "A port of the Service is UDP or SCTP: proxies do not carry it. Its clients stay with stable during the rollout, and all get the canary at the promotion.",
		Mend: "Move it to a Service of its own, or accept that this port has no steps.",
		find: notShifted,
	},
	{
		Code: "XF0308", Name: "SessionAffinity", Severity: Warning,
		What: "The Service has sessionAffinity ClientIP, which kube-proxy keeps and proxies do not: through the mesh a client meets both revisions.",
		Mend: "Use sticky in the Rollout's strategy, which keeps a user on the revision that he was given.",
		find: sessionAffinity,
	},
	{
		Code: "XF0309", Name: "Headless", Severity: Warning,
		What: "The Service is headless (clusterIP None): clients choose a pod themselves by its address, so no weight holds for them. They see stable's pods only, and at the promotion all change.",
		Mend: "Give the clients a Service with an address.",
		find: headless,
	},
	{
		Code: "XF0310", Name: "NoPods", Severity: Error,
		What: "The Service has no selector, or is of type ExternalName: it has no pods of which some could be the canary's.",
		Mend: "Name a Service that selects the Deployment's pods.",
		find: noPods,
	},
	{
		Code: "XF0311", Name: "Unpinnable", Severity: Error,
		What: "A Service selects the pods of the Deployment and those of another one, so it cannot be pinned to a revision: canary pods would get its requests at once. The Rollout is refused with reason UnpinnedServices.",
		Mend: "Narrow that Service's selector to one Deployment.",
		find: unpinnable,
	},
	{
		Code: "XF0312", Name: "UnreadyAddresses", Severity: Warning,
		What: "publishNotReadyAddresses is set: clients outside the mesh are sent to pods that are not ready.",
		Mend: "Leave it out, or move it to the headless Service by which peers find each other.",
		find: unreadyAddresses,
	},
	{
		Code: "XF0313", Name: "UndeclaredPort", Severity: Info,
		What: "Neither the name nor the appProtocol of a port says what its pods speak: proxies look at the first bytes of each connection. HTTP/2 without TLS, gRPC among it, is not recognised by that in all cases.",
		Mend: "Name the port http-… or grpc-…, or set appProtocol.",
		find: undeclaredPort,
	},
	{
		Code: "XF0314", Name: "OpenToOutside", Severity: Info,
		What: "The Service is of type NodePort or LoadBalancer: what comes in there passes no proxy. These clients get stable only, and the canary all at once at the promotion.",
		Mend: "Lead outside clients through a Gateway with an HTTPRoute.",
		find: openToOutside,
	},
}

func serviceNotFound(s *scene) {
	for _, d := range s.deliveries {
		if d.service == nil && s.whole("Service", d.rollout.Namespace) {
			s.found(RefTo("Rollout", d.rollout), "spec.serviceRef.name", "there is no Service %s in namespace %s", d.rollout.Spec.ServiceRef.Name, d.rollout.Namespace)
		}
	}
}

// services calls back for each Service whose requests are shifted.
func (s *scene) services(f func(d *delivered, o *corev1.Service, at Ref)) {
	for i := range s.deliveries {
		if d := &s.deliveries[i]; d.service != nil {
			f(d, d.service, RefTo("Service", d.service))
		}
	}
}

func hasPods(o *corev1.Service) bool {
	return len(ownSelector(o)) > 0 && o.Spec.Type != corev1.ServiceTypeExternalName
}

func selectorMismatch(s *scene) {
	s.services(func(d *delivered, o *corev1.Service, at Ref) {
		if d.deployment != nil && hasPods(o) && !selects(o, d.deployment.Spec.Template.Labels) {
			s.found(at, "spec.selector", "the Service does not select the pods of Deployment %s", d.deployment.Name)
		}
	})
}

func selectorFollows(s *scene) {
	s.services(func(d *delivered, o *corev1.Service, at Ref) {
		if d.deployment == nil || d.deployment.Spec.Selector == nil || !selects(o, d.deployment.Spec.Template.Labels) {
			return
		}
		var loose []string
		for key, value := range ownSelector(o) {
			if d.deployment.Spec.Selector.MatchLabels[key] != value {
				loose = append(loose, key)
			}
		}
		if slices.Sort(loose); len(loose) > 0 {
			s.found(at, "spec.selector", "it selects by %s, which the selector of Deployment %s does not hold fast", strings.Join(loose, ", "), d.deployment.Name)
		}
	})
}

func namedPortMissing(s *scene) {
	s.services(func(d *delivered, o *corev1.Service, at Ref) {
		if d.deployment == nil {
			return
		}
		var names []string
		pod := d.deployment.Spec.Template.Spec
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			for _, p := range c.Ports {
				names = append(names, p.Name)
			}
		}
		for _, p := range o.Spec.Ports {
			if p.TargetPort.Type == intstr.String && !slices.Contains(names, p.TargetPort.StrVal) {
				s.found(at, "spec.ports", "no container of Deployment %s names a port %s, which port %d leads to", d.deployment.Name, p.TargetPort.StrVal, p.Port)
			}
		}
	})
}

// portsOf calls back for each port of a Service whose requests are shifted.
func (s *scene) portsOf(f func(p corev1.ServicePort, at Ref)) {
	s.services(func(_ *delivered, o *corev1.Service, at Ref) {
		for _, p := range o.Spec.Ports {
			f(p, at)
		}
	})
}

func isTCP(p corev1.ServicePort) bool { return p.Protocol == "" || p.Protocol == corev1.ProtocolTCP }

func perConnection(s *scene) {
	s.portsOf(func(p corev1.ServicePort, at Ref) {
		if isTCP(p) && proxy.Declared(p) == ir.TCP {
			s.found(at, "spec.ports", "port %d is declared as no HTTP: its connections are divided, not its requests", p.Port)
		}
	})
}

func notShifted(s *scene) {
	s.portsOf(func(p corev1.ServicePort, at Ref) {
		if !isTCP(p) {
			s.found(at, "spec.ports", "port %d is %s", p.Port, p.Protocol)
		}
	})
}

func sessionAffinity(s *scene) {
	s.services(func(_ *delivered, o *corev1.Service, at Ref) {
		if o.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
			s.found(at, "spec.sessionAffinity", "proxies do not keep a client by its address")
		}
	})
}

func headless(s *scene) {
	s.services(func(_ *delivered, o *corev1.Service, at Ref) {
		if o.Spec.ClusterIP == corev1.ClusterIPNone {
			s.found(at, "spec.clusterIP", "clients choose pods by their addresses")
		}
	})
}

func noPods(s *scene) {
	s.services(func(_ *delivered, o *corev1.Service, at Ref) {
		if !hasPods(o) {
			s.found(at, "spec.selector", "the Service selects no pods")
		}
	})
}

func unpinnable(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		for _, o := range s.Services {
			if o.Namespace != at.Namespace || !selects(o, d.deployment.Spec.Template.Labels) {
				continue
			}
			var others []string
			for _, other := range s.behind(o) {
				if other != d.deployment {
					others = append(others, other.Name)
				}
			}
			if slices.Sort(others); len(others) > 0 {
				s.found(RefTo("Service", o), "spec.selector", "it selects the pods of Deployment %s and of %s", d.deployment.Name, strings.Join(others, ", "))
			}
		}
	})
}

func unreadyAddresses(s *scene) {
	s.services(func(_ *delivered, o *corev1.Service, at Ref) {
		if o.Spec.PublishNotReadyAddresses {
			s.found(at, "spec.publishNotReadyAddresses", "pods that are not ready get requests")
		}
	})
}

func undeclaredPort(s *scene) {
	s.portsOf(func(p corev1.ServicePort, at Ref) {
		if isTCP(p) && proxy.Declared(p) == ir.Undeclared {
			s.found(at, "spec.ports", "port %d does not say what its pods speak", p.Port)
		}
	})
}

func openToOutside(s *scene) {
	s.services(func(_ *delivered, o *corev1.Service, at Ref) {
		if o.Spec.Type == corev1.ServiceTypeNodePort || o.Spec.Type == corev1.ServiceTypeLoadBalancer {
			s.found(at, "spec.type", "clients of the %s get stable only", o.Spec.Type)
		}
	})
}
