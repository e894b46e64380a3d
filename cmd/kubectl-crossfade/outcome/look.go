package outcome

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

// looker reads the Rollout first and the Deployment after it: a template that is
// newer than the status is a revision that the status does not name, never the other
// way round.
func looker(client dynamic.Interface, namespace, name string) func(context.Context) Sight {
	return func(ctx context.Context) Sight {
		object, err := rollouts.Get(ctx, client, namespace, name)
		if err != nil {
			return troubled(err)
		}
		family, err := rollouts.GatherWorkload(ctx, client, object)
		if err != nil {
			return troubled(err)
		}
		return Sight{Family: family}
	}
}

// troubled tells what will be over by itself from what will not.
func troubled(err error) Sight {
	s := Sight{Trouble: Away, Words: session.Explain(err)}
	switch {
	case apierrors.IsNotFound(err) && !session.MissingKind(err):
		s.Trouble = Gone
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		// An API server that is just starting says so, too.
		s.Trouble = Refused
	default:
		s.Words = fmt.Sprintf("the API server does not answer, trying again: %v", err)
	}
	return s
}

const (
	// watchFor is how long one watch lasts before it is opened anew.
	watchFor = 5 * time.Minute
	// watchAgain is the time between two watches, so that one that always ends at once
	// is no load.
	watchAgain = 2 * time.Second
)

// waker watches the Rollout. It only wakes: what there is, is read again, so that a
// watch which ends, expires (410) or never comes costs some seconds and no truth.
func waker(client dynamic.Interface, namespace, name string) func(context.Context) <-chan struct{} {
	return func(ctx context.Context) <-chan struct{} {
		woken := make(chan struct{}, 1)
		go func() {
			for ctx.Err() == nil {
				watchOnce(ctx, client, namespace, name, woken)
				pause(ctx, watchAgain)
			}
		}()
		return woken
	}
}

func watchOnce(ctx context.Context, client dynamic.Interface, namespace, name string, woken chan<- struct{}) {
	seconds := int64(watchFor.Seconds())
	ctx, cancel := context.WithTimeout(ctx, watchFor+lookTime)
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
