package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/clientcmd"
)

// Exit codes that hold for every verb.
const (
	ExitOK = 0
	// ExitError is anything that has no code of its own.
	ExitError = 1
)

// Exit ends the program with a code of its own.
type Exit struct {
	// Code is the exit code.
	Code int
	// Message is printed before; empty when all was said.
	Message string
}

// Error is the message.
func (e *Exit) Error() string { return e.Message }

// ExitCode is the exit code that an error asks for.
func ExitCode(err error) int {
	if exit := (*Exit)(nil); errors.As(err, &exit) {
		return exit.Code
	}
	return ExitError
}

// Explain is the sentence for an error, with what to do next where that is known.
func Explain(err error) string {
	if exit := (*Exit)(nil); errors.As(err, &exit) {
		return exit.Message
	}
	if next := next(err); next != "" {
		return fmt.Sprintf("%s; %s", strings.TrimSuffix(err.Error(), "."), next)
	}
	return err.Error()
}

// next is what to do about an error of the cluster's or of the configuration's.
func next(err error) string {
	var network net.Error
	switch {
	case clientcmd.IsEmptyConfig(err):
		return "say which cluster with --kubeconfig, KUBECONFIG or --context"
	case apierrors.IsNotFound(err) && MissingKind(err):
		return "this cluster does not have that kind: is Crossfade installed there, and new enough? (kubectl crossfade version; kubectl get crd rollouts.crossfade.dev)"
	case apierrors.IsNotFound(err):
		return "look for the name with: kubectl crossfade get -A"
	case apierrors.IsForbidden(err):
		return "ask an administrator for a role that may do this (ClusterRoles whose names begin with crossfade-; kubectl auth can-i --list shows what you have)"
	case apierrors.IsUnauthorized(err):
		return "log in to the cluster again, or choose another --context"
	case apierrors.IsConflict(err):
		return "somebody changed it meanwhile: look again and repeat"
	case errors.Is(err, context.DeadlineExceeded):
		return "the API server did not answer in time: try again, or look with kubectl cluster-info"
	case errors.As(err, &network):
		return "the API server cannot be reached: check --context, --kubeconfig and the network with kubectl cluster-info"
	}
	return ""
}

// MissingKind tells a kind that the API server does not serve from an object that is
// not there: the answer about a kind does not come from the registry of its objects,
// so it has these words, whatever was asked for.
func MissingKind(err error) bool {
	status := apierrors.APIStatus(nil)
	return errors.As(err, &status) && strings.Contains(status.Status().Message, "could not find the requested resource")
}
