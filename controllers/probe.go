package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// settleTime is how long a created or deleted policy may take until the API
// server acts on it (1.0 s was measured).
const settleTime = 2 * time.Second

// policyHeld is the validating policy that refuses a changed template which
// nothing has held.
const policyHeld = "held.crossfade.dev"

// annotationProbe is what the dry-run changes in a template.
const annotationProbe = "crossfade.dev/probe"

// prober proves by dry-runs that the API server holds a changed template and
// keeps a pin, instead of believing that a policy of the right name does. It
// proves it before each adoption, and once again for the Rollouts that are
// adopted already whenever a policy or binding changes.
type prober struct {
	client client.Client
	now    func() time.Time

	mu      sync.Mutex
	changed time.Time
	epoch   int64
	last    delivery.Policies
	lastOf  int64
	// adopting remembers which Rollout was proven in which epoch.
	adopting map[types.UID]int64
	vouched  map[string]proof[delivery.Names]
	guarded  map[string]proof[jobsGuard]
}

// proof is what was proven of a namespace, and in which epoch.
type proof[T any] struct {
	epoch int64
	value T
}

func newProber(c client.Client, now func() time.Time) *prober {
	return &prober{
		client: c, now: now, epoch: 1, adopting: map[types.UID]int64{},
		vouched: map[string]proof[delivery.Names]{}, guarded: map[string]proof[jobsGuard]{},
	}
}

// prove asks once for each namespace after every change of a policy. Until that has
// settled the answer is not known: it is the zero value then, as with an error.
func prove[T any](p *prober, known map[string]proof[T], namespace string, ask func() (T, error)) (T, error) {
	var unknown T
	p.mu.Lock()
	epoch, last := p.epoch, known[namespace]
	early := p.now().Before(p.changed.Add(settleTime))
	p.mu.Unlock()
	if last.epoch == epoch {
		return last.value, nil
	}
	if early {
		return unknown, nil
	}
	out, err := ask()
	if err != nil {
		return unknown, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoch == epoch {
		known[namespace] = proof[T]{epoch, out}
	}
	return out, nil
}

// policiesChanged starts a new epoch: nothing proven before it counts.
func (p *prober) policiesChanged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch++
	p.changed = p.now()
	clear(p.adopting)
}

// policies says what the API server does by itself. A dry-run that could not be
// asked (a conflict, an API server that is away) leaves it unknown; the error is
// in the message and the next pass asks again.
func (p *prober) policies(ctx context.Context, o *observed) delivery.Policies {
	if o.Deployment == nil || o.Service == nil {
		return delivery.Policies{}
	}
	p.mu.Lock()
	epoch, last, lastOf, proven := p.epoch, p.last, p.lastOf, p.adopting[o.Rollout.UID]
	early := p.now().Before(p.changed.Add(settleTime))
	p.mu.Unlock()
	adopted := o.Rollout.Status.Record != nil
	if lastOf == epoch && (adopted || proven == epoch) {
		return last
	}
	if early && adopted {
		return last // The answer would be about the policies before the change.
	}
	if early {
		return delivery.Policies{}
	}
	out, err := p.probe(ctx, o)
	if err != nil {
		if adopted && lastOf != 0 {
			return last
		}
		return delivery.Policies{Message: err.Error()}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoch == epoch {
		p.last, p.lastOf, p.adopting[o.Rollout.UID] = out, epoch, epoch
	}
	return out
}

// due is when an unknown answer is worth asking for again.
func (p *prober) due() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed.Add(settleTime)
}

// proven says whether the last answer is about the policies as they are.
func (p *prober) proven() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lastOf == p.epoch
}

func (p *prober) probe(ctx context.Context, o *observed) (delivery.Policies, error) {
	hold, err := p.probeHold(ctx, o)
	if err != nil {
		return delivery.Policies{}, err
	}
	pin, err := p.probePin(ctx, o)
	if err != nil {
		return delivery.Policies{}, err
	}
	out := delivery.Policies{Hold: hold, Pin: pin, Known: true}
	switch {
	case !hold && !pin:
		out.Message = "the policies hold.crossfade.dev and pin.crossfade.dev do not work in this cluster (MutatingAdmissionPolicy needs Kubernetes 1.36)"
	case !hold:
		out.Message = "the policy hold.crossfade.dev does not work: is it there, with its binding?"
	case !pin:
		out.Message = "the policy pin.crossfade.dev does not work: is it there, with its binding?"
	}
	return out, nil
}

// probeHold changes the template in a dry-run and looks whether the answer is
// held. The controller's own change of a template is held like anybody's.
func (p *prober) probeHold(ctx context.Context, o *observed) (bool, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(deploymentKind)
	u.SetNamespace(o.Rollout.Namespace)
	u.SetName(o.Deployment.Name)
	// A Deployment that is held already, by the controller itself perhaps, would prove a policy that is not there:
	// the dry-run takes the hold away, and only a policy puts it back.
	err := p.dryRun(ctx, u, patch{
		"metadata": patch{
			"labels":      patch{v1alpha1.LabelRollout: o.Rollout.Name},
			"annotations": patch{v1alpha1.AnnotationHold: nil},
		},
		"spec": patch{
			"paused":   nil,
			"template": patch{"metadata": patch{"annotations": patch{annotationProbe: "hold"}}},
		},
	})
	if err != nil && strings.Contains(err.Error(), policyHeld) {
		return false, nil // The second net caught it: nothing holds the template before.
	}
	if err != nil {
		return false, fmt.Errorf("try the hold in a dry-run: %w", err)
	}
	return u.GetAnnotations()[v1alpha1.AnnotationHold] != "" && truth(u, "spec", "paused"), nil
}

// probePin writes a pin in a dry-run and looks whether the key appears in the
// selector.
func (p *prober) probePin(ctx context.Context, o *observed) (bool, error) {
	const revision = "probe"
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: o.Rollout.Namespace, Name: o.Service.Name}}
	err := p.dryRun(ctx, s, patch{"metadata": patch{
		"labels":      patch{v1alpha1.LabelRollout: o.Rollout.Name},
		"annotations": patch{v1alpha1.AnnotationPin: revision},
	}})
	if err != nil {
		return false, fmt.Errorf("try the pin in a dry-run: %w", err)
	}
	return s.Spec.Selector[appsv1.DefaultDeploymentUniqueLabelKey] == revision, nil
}

func (p *prober) dryRun(ctx context.Context, obj client.Object, change patch) error {
	raw, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	return p.client.Patch(ctx, obj, client.RawPatch(types.MergePatchType, raw), client.DryRunAll, client.FieldOwner(fieldManager))
}
