package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// relabelEvery is how often the leader looks whether its label is still where it
// put it.
const relabelEvery = 30 * time.Second

// leaderLabel marks the leader's pod, which the Service for proxies selects: a
// standby, which does not listen for them, never gets one. It is added after the
// lease is held, and taken from whoever led before.
type leaderLabel struct {
	live client.Reader
	api  client.Client
	self types.NamespacedName
	log  logr.Logger
}

// Start runs at the leader until ctx ends. The label stays then: a pod that ends
// leaves the Service by itself, and the next leader takes the label from one that
// does not.
func (l leaderLabel) Start(ctx context.Context) error {
	ticker := time.NewTicker(relabelEvery) //nolint:forbidigo // A pace, no decision.
	defer ticker.Stop()
	for {
		if err := l.label(ctx); err != nil {
			l.log.Error(err, "The leader's pod is not labelled, proxies cannot find it")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (l leaderLabel) label(ctx context.Context) error {
	own := &corev1.Pod{}
	// Read live: just after the pod has started the cache may not have it.
	if err := l.live.Get(ctx, l.self, own); err != nil {
		return fmt.Errorf("get own pod: %w", err)
	}
	var failed []error
	if own.Labels[v1alpha1.LabelLeader] != "true" {
		failed = append(failed, l.patch(ctx, own.Name, `"true"`))
	}
	others := &corev1.PodList{}
	if err := l.live.List(ctx, others, client.InNamespace(l.self.Namespace), client.HasLabels{v1alpha1.LabelLeader}); err != nil {
		return errors.Join(append(failed, fmt.Errorf("list former leaders: %w", err))...)
	}
	for i := range others.Items {
		if name := others.Items[i].Name; name != own.Name {
			failed = append(failed, client.IgnoreNotFound(l.patch(ctx, name, "null")))
		}
	}
	return errors.Join(failed...)
}

func (l leaderLabel) patch(ctx context.Context, pod, value string) error {
	p := &corev1.Pod{}
	p.Namespace, p.Name = l.self.Namespace, pod
	body := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, v1alpha1.LabelLeader, value)
	if err := l.api.Patch(ctx, p, client.RawPatch(types.MergePatchType, body)); err != nil {
		return fmt.Errorf("label pod %s: %w", pod, err)
	}
	return nil
}
