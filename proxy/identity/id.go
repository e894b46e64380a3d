package identity

import "strings"

const (
	scheme = "spiffe://"
	// maxTrustDomain is what SPIFFE allows; the other two are Kubernetes' own.
	maxTrustDomain    = 255
	maxNamespace      = 63
	maxServiceAccount = 253
)

// ID is who a workload is: a ServiceAccount of a cluster.
type ID struct {
	TrustDomain, Namespace, ServiceAccount string
}

// String is the id as certificates carry it,
// spiffe://<trust domain>/ns/<namespace>/sa/<service account>.
func (id ID) String() string {
	return scheme + id.TrustDomain + "/ns/" + id.Namespace + "/sa/" + id.ServiceAccount
}

// ParseID reads an id back. It takes exactly what String gives: an id has one way
// to be written, so that whoever compares two of them, Envoy with its prefixes
// too, compares bytes. There is no escaping, since no name needs any.
func ParseID(uri string) (ID, error) {
	rest, ok := strings.CutPrefix(uri, scheme)
	if !ok {
		return ID{}, Refuse(ReasonMalformed, "%.300q is not an identity: want spiffe://<trust domain>/ns/<namespace>/sa/<service account>", uri)
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" {
		return ID{}, Refuse(ReasonMalformed, "%.300q is not an identity: want spiffe://<trust domain>/ns/<namespace>/sa/<service account>", uri)
	}
	id := ID{TrustDomain: parts[0], Namespace: parts[2], ServiceAccount: parts[4]}
	return id, id.Validate()
}

// Validate says what is wrong with the names, if anything is.
func (id ID) Validate() error {
	switch {
	case !isTrustDomain(id.TrustDomain):
		return Refuse(ReasonMalformed, "trust domain %.300q: want lower-case letters, digits, '.', '-' and '_'", id.TrustDomain)
	case !isLabel(id.Namespace):
		return Refuse(ReasonMalformed, "namespace %.300q is not a DNS label", id.Namespace)
	case !isSubdomain(id.ServiceAccount):
		return Refuse(ReasonMalformed, "service account %.300q is not a DNS subdomain", id.ServiceAccount)
	}
	return nil
}

func isTrustDomain(s string) bool {
	if s == "" || len(s) > maxTrustDomain {
		return false
	}
	for _, c := range []byte(s) {
		if !isAlphanumeric(c) && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// isSubdomain says whether s is a name as Kubernetes gives most objects.
func isSubdomain(s string) bool {
	if len(s) > maxServiceAccount {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if !isDashed(part) {
			return false
		}
	}
	return true
}

// isLabel says whether s is a name as Kubernetes gives namespaces.
func isLabel(s string) bool { return len(s) <= maxNamespace && isDashed(s) }

// isDashed says whether s has letters, digits, and dashes between those.
func isDashed(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if !isAlphanumeric(c) && c != '-' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
