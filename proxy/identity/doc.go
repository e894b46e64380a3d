// Package identity is who is who in the mesh: names (SPIFFE ids), the root that
// all certificates chain up to, what is signed for whom, whom to believe, and how
// one root follows another without a failed request.
//
// All of it is pure: time and randomness are arguments, Secrets, files and
// sockets are other packages' affair. What is refused is a Refusal: a sentence
// for the log and a Reason, from a closed set, for the metric.
//
// # Whose key is where
//
// A proxy makes its key itself and sends a certificate signing request. Of that
// request only the public key is used: who the proxy is comes from the token that
// it shows, never from what it says about itself. The certificate carries the
// ServiceAccount as its one URI and the pod's UID as the subject's serial number,
// so that a stolen certificate is of no use under another pod's name.
package identity
