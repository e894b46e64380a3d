package certificates

import (
	"encoding/json"
	"time"
)

// Path is where certificates are asked for, with POST.
const Path = "/v1/certificate"

// MaxRequest is how many bytes of a request are read. A token has about 1,200,
// a signing request 500.
const MaxRequest = 16 << 10

// Request is what a proxy asks.
type Request struct {
	// Token is a ServiceAccount's, bound to the pod, for the audience crossfade.
	Token string `json:"token"`
	// CSR is a signing request (PEM) with a key on P-256. Names in it are ignored.
	CSR string `json:"csr"`
}

// Answer is what it gets.
type Answer struct {
	// Chain is the certificate and those between it and the root (PEM).
	Chain string `json:"certificateChain"`
	// Bundle are all the roots to believe (PEM).
	Bundle string `json:"trustBundle"`
	// RenewAfter is in how long to ask again: half of the certificate's life.
	RenewAfter Duration `json:"renewAfter"`
}

// Problem is the answer to a request that was refused.
type Problem struct {
	// Reason is one word for programs, Error a sentence for people.
	Reason string `json:"reason"`
	Error  string `json:"error"`
}

// Duration is written as people do: "12h0m0s".
type Duration time.Duration

// MarshalJSON writes it.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads it.
func (d *Duration) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(s)
	*d = Duration(parsed)
	return err
}
