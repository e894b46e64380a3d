package controllers

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/proxy/server"
)

// setupPolicies wires the statuses of MeshPolicies. The mesh loop tells them what it
// has published.
func setupPolicies(ctx context.Context, mgr ctrl.Manager, xdsServer *server.Server, w *world, now func() time.Time) (*policyStatuses, error) {
	wake := make(chan event.GenericEvent, 1024)
	s := &policyStatuses{
		client: mgr.GetClient(), lag: xdsServer, world: w, now: now,
		told: map[types.NamespacedName][]metav1.Condition{}, pending: map[types.NamespacedName]*awaited{},
		wake: func(key types.NamespacedName) {
			policy := &v1alpha1.MeshPolicy{}
			policy.Namespace, policy.Name = key.Namespace, key.Name
			select {
			case wake <- event.GenericEvent{Object: policy}:
			case <-ctx.Done():
			}
		},
	}
	if err := mgr.Add(policyPump{server: xdsServer, statuses: s}); err != nil {
		return nil, fmt.Errorf("add policy pump: %w", err)
	}
	err := ctrl.NewControllerManagedBy(mgr).Named("meshpolicy").
		For(&v1alpha1.MeshPolicy{}).
		WatchesRawSource(source.Channel(wake, &handler.EnqueueRequestForObject{})).
		Complete(s)
	if err != nil {
		return nil, fmt.Errorf("set up policy statuses: %w", err)
	}
	return s, nil
}

// policyPump wakes the policies that wait for proxies whenever an ack comes in.
type policyPump struct {
	server   *server.Server
	statuses *policyStatuses
}

// Start runs until the process ends.
func (p policyPump) Start(ctx context.Context) error {
	changed, cancel := p.server.Subscribe()
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			p.statuses.acked()
		}
	}
}
