// Package certificates is how a proxy gets its certificate: what goes over the
// wire, the endpoint that answers, and the question that the agent asks.
//
// One request over TLS in which only the server has a certificate: the pod's
// token, which says who it is, and a signing request, which says for which key.
// The answer is the certificate, whom to believe, and when to ask again.
package certificates
