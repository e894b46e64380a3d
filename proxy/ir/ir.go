// Package ir says what the proxies should do, in Crossfade's own words: which
// Services there are, how the requests to each are divided between its revisions,
// and what enters at the gateways. It stands between the objects of the cluster
// (package proxy writes it) and Envoy (package proxy/xds reads it), so that
// neither has to know the other.
//
// Everything in it is sorted, and equal clusters give equal values: all replicas
// of the controller must render the same bytes.
package ir

// Config is the whole world of the proxies.
type Config struct {
	// TrustDomain is the part of all identities that they have in common. Where it is
	// empty there are no identities: nothing is encrypted, and there are no sidecars.
	TrustDomain string `json:"trustDomain,omitempty"`
	// IPv6 says that the cluster has IPv6 addresses, so that sidecars listen on them.
	IPv6 bool `json:"ipv6,omitempty"`
	// Collector is where sidecars send their spans.
	Collector Collector `json:"collector,omitzero"`
	// Services are sorted by namespace, then name.
	Services []Service `json:"services,omitempty"`
	// Gateways are sorted by namespace, then name.
	Gateways []Gateway `json:"gateways,omitempty"`
	// Sidecars are sorted by namespace, then shape.
	Sidecars []Sidecar `json:"sidecars,omitempty"`
}

// ServiceKey names a Service.
type ServiceKey struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String returns "<namespace>/<name>".
func (k ServiceKey) String() string { return k.Namespace + "/" + k.Name }

// Service is one Service whose pods can be reached.
type Service struct {
	ServiceKey
	// PerRevision says that a delivery looks after the Service, so that its pods are
	// told apart by revision. Otherwise every port has the one revision Whole.
	PerRevision bool `json:"perRevision,omitempty"`
	// Total is what the weights of every port add up to. It does not change while a
	// delivery is on its way: proxies that pick by hash would move users.
	Total uint32 `json:"total"`
	// ClusterIPs are the addresses by which clients in the cluster know it, the first
	// family's first. A headless Service has none: its clients know its pods.
	ClusterIPs []string `json:"clusterIPs,omitempty"`
	// Headless says that clients choose the pods by themselves, by name.
	Headless bool `json:"headless,omitempty"`
	// Ports are sorted by number.
	Ports []Port `json:"ports,omitempty"`
	// Policy is what the Service's owner asks of its clients.
	Policy ServicePolicy `json:"policy,omitzero"`
}

// Whole is the name of the only revision of a Service that no delivery looks
// after. It cannot be a pod-template-hash, which has no dash.
const Whole = "-"

// Protocol is what a port's pods speak.
type Protocol string

// The protocols, all of which are cleartext to the proxies. A gateway speaks HTTP
// to every port that a route leads to: HTTP/2 where it is declared, else HTTP/1.1.
const (
	HTTP1 Protocol = "HTTP1"
	HTTP2 Protocol = "HTTP2"
	// TCP is a declared protocol other than HTTP.
	TCP Protocol = "TCP"
	// Undeclared is what nobody has said anything of: sidecars look at the first bytes
	// of a connection, and treat what is not HTTP/1.1 as TCP.
	Undeclared Protocol = "Undeclared"
)

// HTTP says whether requests can be told apart in (some of) the connections.
func (p Protocol) HTTP() bool { return p != TCP }

// Opaque says whether (some of) the connections are only bytes.
func (p Protocol) Opaque() bool { return p == TCP || p == Undeclared }

// Port is one port of a Service and how its requests are divided.
type Port struct {
	// Number is the Service's port, which clients know; the pods' ports are with
	// the endpoints.
	Number   uint32   `json:"number"`
	Name     string   `json:"name,omitempty"`
	Protocol Protocol `json:"protocol"`
	// Revisions are sorted by name and are the same for all ports of a Service. One
	// with weight 0 stays listed until its delivery is over.
	Revisions []Revision `json:"revisions"`
	// Traffic is nil where all requests follow the weights.
	Traffic *Traffic `json:"traffic,omitempty"`
	// Pods is where the pods of a headless Service listen, ready or not: whoever asks
	// for one of them by name knows what he does. Sorted by IP, then port.
	Pods []Endpoint `json:"pods,omitempty"`
}

// Revision is one revision's part of a port.
type Revision struct {
	// Name is the pod-template-hash, or Whole.
	Name string `json:"name"`
	// Weight is its share of the requests, out of the Service's Total.
	Weight uint32 `json:"weight"`
	// NoEjection says that the Service's outlier detection does not hold for it.
	NoEjection bool `json:"noEjection,omitempty"`
	// Endpoints are the ready pods, sorted by IP, then port, without duplicates.
	Endpoints []Endpoint `json:"endpoints,omitempty"`
}

// Endpoint is where one pod listens.
type Endpoint struct {
	IP   string `json:"ip"`
	Port uint32 `json:"port"`
	// Meshed says that a sidecar of ours takes the connections to this port, so that
	// they can be encrypted and authenticated.
	Meshed bool `json:"meshed,omitempty"`
}

// Gateway is a set of proxies where requests from outside the mesh enter.
type Gateway struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Listeners are sorted by port; there is one for a port.
	Listeners []Listener `json:"listeners,omitempty"`
}

// Listener is one port that is listened on.
type Listener struct {
	Name string `json:"name"`
	// Port is the one that clients know, BindPort the one that the proxy's process
	// binds: it has no right to bind a port below 1024.
	Port     uint32 `json:"port"`
	BindPort uint32 `json:"bindPort"`
	// VirtualHosts are sorted by domain.
	VirtualHosts []VirtualHost `json:"virtualHosts,omitempty"`
}

// VirtualHost is what happens to requests for one domain. A request belongs to
// the virtual host with the most specific domain that fits, and to no other.
type VirtualHost struct {
	// Domain is a host name in lower case ("shop.example.com"), a suffix with a
	// leading wildcard ("*.example.com"), or "*".
	Domain string `json:"domain"`
	// Routes are tried in order; the first that matches decides.
	Routes []Route `json:"routes,omitempty"`
}

// Route says where the requests go that match.
type Route struct {
	// Origin is the rule that this comes from, for people who read the proxy's
	// configuration: "<namespace>/<HTTPRoute>/<rule, from 0>".
	Origin string `json:"origin"`
	Match  Match  `json:"match"`
	// Backends are sorted by Service and port, each pair at most once.
	Backends []Backend `json:"backends,omitempty"`
	// Invalid is the weight of the backends that cannot be reached at all (no such
	// Service, not permitted). Their share of the requests is answered with a 500;
	// so are all requests when nothing else has a weight.
	Invalid uint32 `json:"invalid,omitempty"`
}

// Match is a condition on a request; all that is set must hold.
type Match struct {
	Path PathMatch `json:"path"`
	// Method is empty when any will do.
	Method  string        `json:"method,omitempty"`
	Headers []HeaderMatch `json:"headers,omitempty"`
}

// PathMatch is a condition on the path, without the query.
type PathMatch struct {
	// Exact says that the path must be Value. Otherwise Value is a prefix of whole
	// segments: "/foo" fits "/foo" and "/foo/bar", but not "/foobar". A prefix has no
	// slash at its end, save "/", which fits everything.
	Exact bool   `json:"exact,omitempty"`
	Value string `json:"value"`
}

// HeaderMatch is a condition on one header.
type HeaderMatch struct {
	// Name is in lower case.
	Name string `json:"name"`
	// Regex says that Value is an RE2 expression that the whole value must match.
	Regex bool   `json:"regex,omitempty"`
	Value string `json:"value"`
}

// Backend is one Service's share of a route.
type Backend struct {
	Service ServiceKey `json:"service"`
	Port    uint32     `json:"port"`
	// Weight is relative to the other backends' and to Invalid; 0 is allowed.
	Weight uint32 `json:"weight"`
}
