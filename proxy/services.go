package proxy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// renderedServices is the part of an Output that is about Services.
type renderedServices struct {
	rendered  []ir.Service
	effective map[types.NamespacedName]Effective
}

// delivered is a Service with the Rollout that looks after it, if any.
type delivered struct {
	service *corev1.Service
	rollout *v1alpha1.Rollout
	// split is of the Rollout's record.
	split split
	// selectors find the pods of each revision of split.names, in that order; without
	// a Rollout there is one for all pods.
	selectors []podSelector
}

func renderServices(in Input) renderedServices {
	rollouts := rolloutsByService(in.Rollouts)
	out := renderedServices{effective: map[types.NamespacedName]Effective{}}
	for _, rollout := range in.Rollouts {
		if record := rollout.Status.Record; record != nil {
			out.effective[keyOf(rollout)] = Effective{Service: serviceOf(rollout), Total: splitOf(record).total}
		}
	}
	var list []delivered
	var selectors, direct []podSelector
	for _, service := range sorted(in.Services) {
		if !selectsPods(service) {
			continue
		}
		d := deliver(service, lookedAfter(service, rollouts))
		list = append(list, d)
		selectors = append(selectors, d.selectors...)
		if isHeadless(service) {
			direct = append(direct, d.all())
		}
	}
	pods := podIndexes{ready: newPodIndex(in.Pods, selectors, serves), addressed: newPodIndex(in.Pods, direct, hasAddress)}
	for _, d := range list {
		rendered := d.render(pods)
		out.rendered = append(out.rendered, rendered)
		if d.rollout != nil {
			out.effective[keyOf(d.rollout)] = d.effective(rendered)
		}
	}
	return out
}

// lookedAfter is the Rollout that decides how a Service is rendered. A person who
// broke the glass has taken the Service out of every Rollout's hands: it is
// rendered as kube-proxy sees it, or pods that he starts would never be reached.
// That lasts until the Rollout's status, which comes with its new record, says that
// the glass is whole again: its old one may name revisions without any pod.
func lookedAfter(service *corev1.Service, rollouts map[types.NamespacedName]*v1alpha1.Rollout) *v1alpha1.Rollout {
	if _, broken := service.Annotations[v1alpha1.AnnotationBreakGlass]; broken {
		return nil
	}
	rollout := rollouts[keyOf(service)]
	if rollout == nil {
		return nil
	}
	ready := meta.FindStatusCondition(rollout.Status.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.Reason == v1alpha1.ReasonBreakGlass {
		return nil
	}
	return rollout
}

// rolloutsByService finds the Rollout that looks after each Service. Only one with
// a record does. If ever two claim a Service, the older one has it on every
// replica, as the controller also decides.
func rolloutsByService(rollouts []*v1alpha1.Rollout) map[types.NamespacedName]*v1alpha1.Rollout {
	byService := map[types.NamespacedName]*v1alpha1.Rollout{}
	for _, rollout := range rollouts {
		record := rollout.Status.Record
		if record == nil || record.Stable == "" {
			continue
		}
		key := serviceOf(rollout)
		if other := byService[key]; other == nil || older(rollout, other) {
			byService[key] = rollout
		}
	}
	return byService
}

func serviceOf(rollout *v1alpha1.Rollout) types.NamespacedName {
	return types.NamespacedName{Namespace: rollout.Namespace, Name: rollout.Status.Record.Service}
}

func older(a, b *v1alpha1.Rollout) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name)) < 0
}

// selectsPods says whether a Service has pods that can be found by its selector.
func selectsPods(service *corev1.Service) bool {
	return service.Spec.Type != corev1.ServiceTypeExternalName && len(service.Spec.Selector) > 0
}

func deliver(service *corev1.Service, rollout *v1alpha1.Rollout) delivered {
	all := podSelector{namespace: service.Namespace, labels: service.Spec.Selector}
	if rollout == nil {
		return delivered{service: service, selectors: []podSelector{all}}
	}
	d := delivered{service: service, rollout: rollout, split: splitOf(rollout.Status.Record)}
	// The Service may be pinned to one revision, for clients outside the mesh. What
	// the user wrote is the rest.
	if _, pinned := all.labels[revisionLabel]; pinned {
		all.labels = maps.Clone(all.labels)
		delete(all.labels, revisionLabel)
	}
	for _, name := range d.split.names {
		all.revision = name
		d.selectors = append(d.selectors, all)
	}
	return d
}

// all selects the pods of all revisions.
func (d delivered) all() podSelector {
	return podSelector{namespace: d.service.Namespace, labels: d.selectors[0].labels}
}

// podIndexes are the pods that take requests, and, for headless Services, those that
// have an address.
type podIndexes struct{ ready, addressed podIndex }

// render returns the Service for the proxies.
func (d delivered) render(index podIndexes) ir.Service {
	out := ir.Service{
		ServiceKey:  ir.ServiceKey{Namespace: d.service.Namespace, Name: d.service.Name},
		PerRevision: d.rollout != nil,
		Total:       1,
		ClusterIPs:  clusterIPs(d.service),
		Headless:    isHeadless(d.service),
	}
	if out.PerRevision {
		out.Total = d.split.total
	}
	pods := map[string][]*corev1.Pod{}
	for _, selector := range d.selectors {
		pods[selector.revision] = index.ready.find(selector)
	}
	var addressed []*corev1.Pod
	if out.Headless {
		addressed = index.addressed.find(d.all())
	}
	for _, port := range httpPorts(d.service) {
		rendered := ir.Port{Number: uint32(port.Port), Name: port.Name, Protocol: protocolOf(port)}
		if out.PerRevision {
			d.divide(&rendered, port, pods)
		} else {
			endpoints := endpointsOf(pods[""], d.service, port)
			rendered.Revisions = []ir.Revision{{Name: ir.Whole, Weight: out.Total, Endpoints: endpoints}}
		}
		rendered.Pods = endpointsOf(addressed, d.service, port)
		out.Ports = append(out.Ports, rendered)
	}
	return out
}

// divide gives each revision its pods and its share of a port, and says which
// requests are none of the share.
func (d delivered) divide(out *ir.Port, port corev1.ServicePort, pods map[string][]*corev1.Pod) {
	var revisions []ir.Revision
	serves := map[string]bool{}
	for _, name := range d.split.names {
		endpoints := endpointsOf(pods[name], d.service, port)
		serves[name] = len(endpoints) > 0
		revisions = append(revisions, ir.Revision{Name: name, Endpoints: endpoints})
	}
	carried := d.split.carried(len(pods[d.split.canary]))
	canary := d.split.canaryWeight(carried, serves[d.split.stable], serves[d.split.canary])
	for i := range revisions {
		revisions[i].Weight = d.split.weight(revisions[i].Name, canary)
	}
	out.Revisions = revisions
	out.Traffic = d.split.trafficOn(serves[d.split.stable], serves[d.split.canary])
}

// effective sums up what was rendered for a delivery.
func (d delivered) effective(rendered ir.Service) Effective {
	e := Effective{Service: keyOf(d.service), Total: d.split.total, Revisions: d.split.names}
	var missing []string
	ready := false
	for i, port := range rendered.Ports {
		stable, canary := find(port, d.split.stable), find(port, d.split.canary)
		if i == 0 || canary.Weight < e.Weight {
			e.Weight = canary.Weight
		}
		if len(canary.Endpoints) > 0 {
			ready = true
		} else if len(stable.Endpoints) > 0 {
			missing = append(missing, spell(port))
		}
		if port.Protocol == ir.TCP && len(rendered.ClusterIPs) > 0 {
			e.ByConnection = append(e.ByConnection, spell(port))
		}
	}
	if ready {
		e.Lacking = missing
	}
	return e
}

// spell writes a port for people: "9000 (admin)".
func spell(port ir.Port) string {
	return strings.TrimSuffix(fmt.Sprintf("%d (%s)", port.Number, port.Name), " ()")
}

// find returns a revision of a port by name, an empty one when it has none.
func find(port ir.Port, name string) ir.Revision {
	for _, r := range port.Revisions {
		if r.Name == name {
			return r
		}
	}
	return ir.Revision{}
}

// httpPorts are the ports that requests can come to, by number: UDP and SCTP are
// not proxied.
func httpPorts(service *corev1.Service) []corev1.ServicePort {
	var ports []corev1.ServicePort
	for _, p := range service.Spec.Ports {
		if isTCP(p.Protocol) && p.Port > 0 {
			ports = append(ports, p)
		}
	}
	slices.SortFunc(ports, func(a, b corev1.ServicePort) int { return cmp.Compare(a.Port, b.Port) })
	return ports
}
