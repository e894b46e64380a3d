package rollouts

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

const (
	// watchFor is how long one watch lasts before it is opened anew.
	watchFor = 5 * time.Minute
	// watchAgain is the time between two watches, so that one that always ends at once
	// is no load.
	watchAgain = 2 * time.Second
)

// Wake tells of changes of a Rollout until ctx ends. It only wakes: what there is, is
// read again, so that a watch which ends, expires (410) or never comes costs some
// seconds and no truth.
func Wake(ctx context.Context, client dynamic.Interface, namespace, name string) <-chan struct{} {
	woken := make(chan struct{}, 1)
	go func() {
		for ctx.Err() == nil {
			watchOnce(ctx, client, namespace, name, woken)
			Pause(ctx, watchAgain)
		}
	}()
	return woken
}

func watchOnce(ctx context.Context, client dynamic.Interface, namespace, name string, woken chan<- struct{}) {
	seconds := int64(watchFor.Seconds())
	ctx, cancel := context.WithTimeout(ctx, watchFor+time.Minute)
	defer cancel()
	w, err := client.Resource(session.Rollouts).Namespace(namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector: "metadata.name=" + name, TimeoutSeconds: &seconds,
	})
	if err != nil {
		return // Without the right to watch, it is looked every few seconds.
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		if event.Type == watch.Error {
			return
		}
		select {
		case woken <- struct{}{}:
		default:
		}
	}
}

// Pause waits for a time, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
