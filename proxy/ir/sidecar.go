package ir

import (
	"slices"
	"time"
)

// Sidecar is a set of sidecars that do the same: those of the pods of one
// namespace that the same policies touch.
type Sidecar struct {
	Namespace string `json:"namespace"`
	// Shape tells the sets of a namespace apart. It is made of the names of the
	// policies and not of what these say, so that a policy that changes changes what a
	// set does, and not which set a pod belongs to. It is empty for the pods that only
	// policies of the whole namespace touch.
	Shape     string    `json:"shape,omitempty"`
	Inbound   Inbound   `json:"inbound"`
	Egress    Egress    `json:"egress,omitzero"`
	Telemetry Telemetry `json:"telemetry,omitzero"`
}

// Equal says whether two sets of sidecars do the same.
func (s Sidecar) Equal(o Sidecar) bool {
	return s.Namespace == o.Namespace && s.Shape == o.Shape && s.Inbound.Equal(o.Inbound) && s.Egress.Equal(o.Egress) &&
		s.Telemetry == o.Telemetry
}

// Telemetry is what sidecars tell of the requests from and to their pods, beside the
// statistics that all keep.
type Telemetry struct {
	// AccessLog writes a line for each request.
	AccessLog bool `json:"accessLog,omitempty"`
	// TracingPercent is the share of requests that spans are made of, 0 to 100, where
	// nobody has decided before. Without a collector there are none.
	TracingPercent uint32 `json:"tracingPercent,omitempty"`
}

// Collector is where spans go, by OTLP over gRPC. The zero value is none.
type Collector struct {
	Host string `json:"host"`
	Port uint32 `json:"port"`
}

// MTLSMode says which connections a sidecar takes.
type MTLSMode string

// The modes.
const (
	// Permissive takes those of the mesh and, on the same ports, cleartext.
	Permissive MTLSMode = "Permissive"
	// Strict takes those of the mesh only.
	Strict MTLSMode = "Strict"
)

// Inbound is what a sidecar does with connections to its pod. It depends on the
// pod and on policies, not on Services: a Service whose selector moves must not
// take the way to their application from requests that are still coming.
type Inbound struct {
	MTLS MTLSMode `json:"mtls"`
	// Access is nil where everybody may ask for everything.
	Access *Access `json:"access,omitempty"`
}

// Equal says whether two sidecars treat connections to their pods alike.
func (i Inbound) Equal(o Inbound) bool {
	return i.MTLS == o.MTLS &&
		(i.Access == nil) == (o.Access == nil) && (i.Access == nil || i.Access.Equal(*o.Access))
}

// AccessAction is what happens to requests that no rule is about.
type AccessAction string

// The actions.
const (
	Allow AccessAction = "Allow"
	Deny  AccessAction = "Deny"
)

// Access says who may ask for what.
type Access struct {
	Default AccessAction `json:"default"`
	// Allow are the rules; a request that one of them fits is allowed.
	Allow []AccessRule `json:"allow,omitempty"`
}

// Equal says whether two lists of rules are the same.
func (a Access) Equal(o Access) bool {
	return a.Default == o.Default && slices.EqualFunc(a.Allow, o.Allow, AccessRule.Equal)
}

// AccessRule fits a request that fits one entry of each list; an empty list fits
// all.
type AccessRule struct {
	From    []AccessSource `json:"from,omitempty"`
	Methods []string       `json:"methods,omitempty"`
	// Paths are whole paths, or prefixes with an asterisk at the end.
	Paths []string `json:"paths,omitempty"`
	// Ports are those that the pod listens on.
	Ports []uint32 `json:"ports,omitempty"`
}

// Equal says whether two rules are the same.
func (r AccessRule) Equal(o AccessRule) bool {
	return slices.EqualFunc(r.From, o.From, AccessSource.Equal) && slices.Equal(r.Methods, o.Methods) &&
		slices.Equal(r.Paths, o.Paths) && slices.Equal(r.Ports, o.Ports)
}

// AccessSource is who asks: ServiceAccounts of a namespace, all of them where none
// is named.
type AccessSource struct {
	Namespace       string   `json:"namespace"`
	ServiceAccounts []string `json:"serviceAccounts,omitempty"`
}

// Equal says whether two sources are the same.
func (s AccessSource) Equal(o AccessSource) bool {
	return s.Namespace == o.Namespace && slices.Equal(s.ServiceAccounts, o.ServiceAccounts)
}

// Egress is what a sidecar does with connections from its pod.
type Egress struct {
	// Block refuses connections to what the mesh does not know.
	Block bool `json:"block,omitempty"`
	// Namespaces are those whose Services are known, sorted; nil means all.
	Namespaces []string `json:"namespaces,omitempty"`
}

// Equal says whether two sidecars treat connections from their pods alike.
func (e Egress) Equal(o Egress) bool {
	return e.Block == o.Block && (e.Namespaces == nil) == (o.Namespaces == nil) && slices.Equal(e.Namespaces, o.Namespaces)
}

// Sees says whether the Services of a namespace are known.
func (e Egress) Sees(namespace string) bool {
	if e.Namespaces == nil {
		return true
	}
	_, found := slices.BinarySearch(e.Namespaces, namespace)
	return found
}

// ServicePolicy is what a Service's owner asks of its clients. Nil leaves a part
// at its default.
type ServicePolicy struct {
	Timeouts       *Timeouts       `json:"timeouts,omitempty"`
	Retries        *Retries        `json:"retries,omitempty"`
	CircuitBreaker *CircuitBreaker `json:"circuitBreaker,omitempty"`
	Outlier        *Outlier        `json:"outlier,omitempty"`
}

// Equal says whether two policies ask for the same.
func (p ServicePolicy) Equal(o ServicePolicy) bool {
	return same(p.Timeouts, o.Timeouts) && same(p.CircuitBreaker, o.CircuitBreaker) && same(p.Outlier, o.Outlier) &&
		(p.Retries == nil) == (o.Retries == nil) && (p.Retries == nil || p.Retries.Equal(*o.Retries))
}

// OfRequests is the part that is about each request by itself. The rest is about all
// that go to one revision.
func (p ServicePolicy) OfRequests() ServicePolicy {
	out := ServicePolicy{Timeouts: p.Timeouts}
	if p.Retries != nil {
		retries := *p.Retries
		retries.BudgetPercent = 0
		out.Retries = &retries
	}
	return out
}

// IsZero says whether nothing is asked for.
func (p ServicePolicy) IsZero() bool { return p.Equal(ServicePolicy{}) }

func same[T comparable](a, b *T) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}

// Timeouts bound a request; 0 leaves one at its default.
type Timeouts struct {
	// Request is from the end of the request to the end of the answer, with all its
	// retries.
	Request time.Duration `json:"request,omitempty"`
	// Idle is how long a request may go without a byte.
	Idle time.Duration `json:"idle,omitempty"`
}

// Retries say which requests are tried again.
type Retries struct {
	// Attempts is how often, at most.
	Attempts uint32 `json:"attempts"`
	// PerTry bounds one try; 0 is no bound.
	PerTry time.Duration `json:"perTry,omitempty"`
	// On are Envoy's conditions and statuses of answers, such as "503".
	On []string `json:"on,omitempty"`
	// BudgetPercent is the largest share of all requests that may be retries; 0 is no
	// bound.
	BudgetPercent uint32 `json:"budgetPercent,omitempty"`
}

// Equal says whether two policies try the same requests again.
func (r Retries) Equal(o Retries) bool {
	return r.Attempts == o.Attempts && r.PerTry == o.PerTry && r.BudgetPercent == o.BudgetPercent && slices.Equal(r.On, o.On)
}

// CircuitBreaker bounds what one client's proxy asks of a Service at a time; 0 is
// no bound.
type CircuitBreaker struct {
	MaxConnections     uint32 `json:"maxConnections,omitempty"`
	MaxPendingRequests uint32 `json:"maxPendingRequests,omitempty"`
	MaxRequests        uint32 `json:"maxRequests,omitempty"`
}

// Outlier takes pods that answer with errors out of the balancing for a while.
type Outlier struct {
	Consecutive5xx     uint32        `json:"consecutive5xx,omitempty"`
	Interval           time.Duration `json:"interval,omitempty"`
	BaseEjection       time.Duration `json:"baseEjection,omitempty"`
	MaxEjectionPercent uint32        `json:"maxEjectionPercent,omitempty"`
}
