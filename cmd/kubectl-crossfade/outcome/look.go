package outcome

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
