package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crossfade-dev/crossfade/proxy"
)

// gatewayStatuses writes what was found out about the objects of the Gateway API.
type gatewayStatuses struct {
	client client.Client
	now    func() time.Time
}

// write brings the statuses up to date; what is equal already is not written.
func (g *gatewayStatuses) write(ctx context.Context, in proxy.Input, out proxy.Output) error {
	for _, class := range in.GatewayClasses {
		if status, ours := out.GatewayClasses[class.Name]; ours {
			next := class.DeepCopy()
			next.Status.Conditions = g.merge(class.Status.Conditions, status.Conditions)
			if err := g.patch(ctx, class, next, equality.Semantic.DeepEqual(class.Status, next.Status)); err != nil {
				return err
			}
		}
	}
	for _, gateway := range in.Gateways {
		if status, ours := out.Gateways[keyOf(gateway)]; ours {
			next := gateway.DeepCopy()
			next.Status = g.gateway(gateway.Status, status)
			if err := g.patch(ctx, gateway, next, equality.Semantic.DeepEqual(gateway.Status, next.Status)); err != nil {
				return err
			}
		}
	}
	for _, route := range in.HTTPRoutes {
		next := route.DeepCopy()
		next.Status.Parents = g.parents(route.Status.Parents, out.HTTPRoutes[keyOf(route)].Parents, in.Options.ControllerName)
		if err := g.patch(ctx, route, next, equality.Semantic.DeepEqual(route.Status, next.Status)); err != nil {
			return err
		}
	}
	return nil
}

// patch writes a status. A conflict means that the object has changed: the next
// pass sees it.
func (g *gatewayStatuses) patch(ctx context.Context, before, after client.Object, equal bool) error {
	if equal {
		return nil
	}
	// The cache's own object must not be changed by the answer.
	base, _ := before.DeepCopyObject().(client.Object)
	err := g.client.Status().Patch(ctx, after, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}), client.FieldOwner(fieldManager))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("patch status of %T %s/%s: %w", before, before.GetNamespace(), before.GetName(), err)
	}
	return nil
}

func (g *gatewayStatuses) gateway(before, wanted gatewayv1.GatewayStatus) gatewayv1.GatewayStatus {
	after := wanted
	after.Addresses = before.Addresses
	after.Conditions = g.merge(before.Conditions, wanted.Conditions)
	after.Listeners = append([]gatewayv1.ListenerStatus(nil), wanted.Listeners...)
	for i := range after.Listeners {
		for _, was := range before.Listeners {
			if was.Name == after.Listeners[i].Name {
				after.Listeners[i].Conditions = g.merge(was.Conditions, after.Listeners[i].Conditions)
			}
		}
		after.Listeners[i].Conditions = g.merge(nil, after.Listeners[i].Conditions)
	}
	return after
}

// parents replaces our entries and keeps other controllers'.
func (g *gatewayStatuses) parents(before, wanted []gatewayv1.RouteParentStatus, ours gatewayv1.GatewayController) []gatewayv1.RouteParentStatus {
	var after []gatewayv1.RouteParentStatus
	for _, p := range before {
		if p.ControllerName != ours {
			after = append(after, p)
		}
	}
	for _, p := range wanted {
		var was []metav1.Condition
		for _, b := range before {
			if b.ControllerName == ours && equality.Semantic.DeepEqual(b.ParentRef, p.ParentRef) {
				was = b.Conditions
			}
		}
		p.Conditions = g.merge(was, p.Conditions)
		after = append(after, p)
	}
	if len(after) == 0 {
		return before[:0]
	}
	return after
}

// merge dates conditions: from before where the status did not change, from now
// where it did. Conditions of others are kept.
func (g *gatewayStatuses) merge(before, wanted []metav1.Condition) []metav1.Condition {
	after := make([]metav1.Condition, 0, len(wanted))
	for _, c := range wanted {
		if c.LastTransitionTime.IsZero() {
			c.LastTransitionTime = metav1.NewTime(g.now())
		}
		for _, was := range before {
			if was.Type == c.Type && was.Status == c.Status {
				c.LastTransitionTime = was.LastTransitionTime
			}
		}
		after = append(after, c)
	}
	for _, was := range before {
		known := false
		for _, c := range wanted {
			known = known || c.Type == was.Type
		}
		if !known {
			after = append(after, was)
		}
	}
	return after
}

func keyOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}
