package identity

import (
	"errors"
	"fmt"
)

// Reason says in one word, from a closed set, why somebody was refused. Metrics
// have it as a label.
type Reason string

// Reasons why a peer, a request for a certificate, or a stream was refused.
const (
	// ReasonMalformed: it cannot be read as what it should be.
	ReasonMalformed Reason = "malformed"
	// ReasonTooLarge: it is larger than anything honest, and was not read.
	ReasonTooLarge Reason = "too_large"
	// ReasonKey: the key is not of the one kind that is signed.
	ReasonKey Reason = "key"
	// ReasonToken: the API server does not stand for the token, for this audience.
	ReasonToken Reason = "token"
	// ReasonNoCertificate: the peer showed none, or did not speak TLS at all.
	ReasonNoCertificate Reason = "no_certificate"
	// ReasonUntrusted: the certificate does not chain up to a root of the mesh.
	ReasonUntrusted Reason = "untrusted"
	// ReasonExpired: the certificate's time is over, or has not begun.
	ReasonExpired Reason = "expired"
	// ReasonTrustDomain: the identity is one of another mesh.
	ReasonTrustDomain Reason = "trust_domain"
	// ReasonNoPod: there is no such pod, or it has ended.
	ReasonNoPod Reason = "no_pod"
	// ReasonOtherPod: there is a pod of that name, but it is not the one that the
	// certificate or the token was made for.
	ReasonOtherPod Reason = "other_pod"
	// ReasonServiceAccount: the pod runs under another ServiceAccount.
	ReasonServiceAccount Reason = "service_account"
	// ReasonKind: the pod is not the kind of proxy that it says it is.
	ReasonKind Reason = "kind"
	// ReasonRate: too many, come again later.
	ReasonRate Reason = "rate"
	// ReasonInternal: the fault is ours, or the API server's: it may be asked again.
	ReasonInternal Reason = "internal"
)

// Reasons are all of them, for metrics that show every series from the start.
func Reasons() []Reason {
	return []Reason{
		ReasonMalformed, ReasonTooLarge, ReasonKey, ReasonToken, ReasonNoCertificate, ReasonUntrusted, ReasonExpired,
		ReasonTrustDomain, ReasonNoPod, ReasonOtherPod, ReasonServiceAccount, ReasonKind, ReasonRate, ReasonInternal,
	}
}

// Refusal is why somebody was refused, as an error.
type Refusal struct {
	Reason Reason
	text   string
}

// Error is the reason as a sentence without its full stop.
func (r *Refusal) Error() string { return r.text }

// Refuse makes a Refusal whose text is formatted like fmt.Sprintf's.
func Refuse(reason Reason, format string, args ...any) error {
	return &Refusal{Reason: reason, text: fmt.Sprintf(format, args...)}
}

// ReasonOf finds the reason in an error; what is no refusal is ReasonInternal.
func ReasonOf(err error) Reason {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return ReasonInternal
}
